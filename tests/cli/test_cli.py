"""The command line as a user meets it: one line for an error, exit statuses, JSON for machines."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import graphs
import onnx
import pytest
from PIL import Image

from onnxbin_cli.group import cli


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([8, 64, 64, 64, 6], shape=(1, 3, 32, 32)).SerializeToString())
    return path


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_help_shows_an_example(onnxbin, command):
    result = onnxbin(command, "--help")
    assert result.returncode == 0
    assert f"onnxbin {command}" in result.stdout.split("Example")[1]


def test_compress_then_inspect(onnxbin, model):
    result = onnxbin("compress", model, "--no-finetune", "--until-ratio", "1.5", "--priority", "depth")
    assert result.returncode == 0, result.stderr
    assert "c3" in result.stdout
    small = model.with_suffix(".binary.onnx")
    ratio = model.stat().st_size / small.stat().st_size
    assert f"{ratio:.2f} times smaller" in result.stdout

    listed = json.loads(onnxbin("inspect", model, "--json").stdout)
    assert [layer["turn"] for layer in listed["layers"]] == [None, 3, 2, 1, None]
    assert listed["layers"][0]["left_alone"].startswith("first convolution")
    table = onnxbin("inspect", small).stdout
    assert "2 of 4 convolutions can become binary" in table


def test_json_is_alone_on_standard_output(onnxbin, model):
    result = onnxbin("compress", model, "--no-finetune", "--until-ratio", "50", "--json")
    assert result.returncode == 3
    content = json.loads(result.stdout)
    assert content["reached"] is False
    assert content["bytes"] == model.with_suffix(".binary.onnx").stat().st_size
    assert "out of reach" in result.stderr


def make(folder, kind):
    """One bad input; the arguments for it."""
    path = folder / "input.onnx"
    good = graphs.chain([8, 16, 16, 6], shape=(1, 3, 32, 32)).SerializeToString()
    path.write_bytes(good)
    if kind == "JPEG renamed":
        Image.new("RGB", (64, 64)).save(path, "JPEG")
    elif kind == "no convolution":
        node = onnx.helper.make_node("Relu", ["x"], ["y"])
        path.write_bytes(graphs.model([node], []).SerializeToString())
    elif kind == "empty folder":
        (folder / "photos").mkdir()
        return [path, "--images", folder / "photos"]
    elif kind == "truncated":
        path.write_bytes(good[: len(good) // 2])
    elif kind == "no folder to write to":
        return [path, "-o", folder / "none" / "small.onnx"]
    elif kind == "ratio below one":
        return [path, "--until-ratio", "0.5"]
    elif kind == "not a number":
        return [path, "--until-ratio", "many"]
    elif kind == "no such option":
        return [path, "--fast"]
    elif kind == "missing":
        path.unlink()
    return [path]


@pytest.mark.parametrize(
    "kind",
    [
        "JPEG renamed",
        "no convolution",
        "empty folder",
        "truncated",
        "no folder to write to",
        "ratio below one",
        "not a number",
        "no such option",
        "missing",
    ],
)
def test_bad_input_gives_one_line_and_leaves_nothing(onnxbin, tmp_path, kind):
    arguments = make(tmp_path, kind)
    before = sorted(tmp_path.rglob("*"))
    result = onnxbin("compress", *arguments, "--no-finetune")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("onnxbin: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_target_is_known_before_the_work(onnxbin, model):
    target = model.with_name("small.onnx")
    target.touch(mode=0o444)
    result = onnxbin("compress", model, "-o", target, "--no-finetune")
    assert result.returncode == 2
    assert result.stderr == f"onnxbin: {target}: cannot be written: the file is read-only\n"


def test_names_from_a_model_do_not_steer_the_terminal(onnxbin, model):
    proto = onnx.load(model)
    proto.graph.node[4].name = "evil\x1b[2J[red]name"
    model.write_bytes(proto.SerializeToString())
    for arguments in (["inspect", model], ["compress", model, "--no-finetune"]):
        result = onnxbin(*arguments)
        assert result.returncode == 0
        assert "\x1b" not in result.stdout
        assert "[red]name" in result.stdout


def test_finetune_functions_are_named_when_they_cannot_be_found(onnxbin, model):
    for name, message in [
        ("nocolon", "module:function"),
        ("nowhere:f", "No module"),
        ("json:f", "no attribute"),
    ]:
        result = onnxbin("compress", model, "--finetune", name)
        assert result.returncode == 2
        assert message in result.stderr


def test_doctor_finds_everything_in_order(onnxbin):
    result = onnxbin("doctor", "--json")
    findings = json.loads(result.stdout)
    assert result.returncode == 0
    assert findings["healthy"] is True
    assert findings["onnxruntime"]


def test_ctrl_c_before_the_first_layer_writes_nothing(model):
    process = subprocess.Popen(
        [sys.executable, "-m", "onnxbin_cli", "compress", str(model), "--steps-per-layer", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert any(line.startswith(" #  ratio") for line in process.stdout)  # the head: training has begun
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors == "onnxbin: stopped by Ctrl-C; no model was written\n"
    assert not model.with_suffix(".binary.onnx").exists()


def test_a_reader_that_leaves_does_not_stop_the_run(model):
    command = f"{sys.executable} -m onnxbin_cli compress {model} --no-finetune | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert model.with_suffix(".binary.onnx").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["inspect", "compress --no-finetune"])
def test_a_full_disk_behind_the_output_gives_no_traceback(model, command):
    line = f"{sys.executable} -m onnxbin_cli {command} {model} > /dev/full"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=120, check=False)
    assert len(done.stderr.splitlines()) <= 1
    assert "Traceback" not in done.stderr


def test_json_stays_json_whatever_the_libraries_say(onnxbin, model):
    """graphsurgeon remarks on bfloat16 tensors; not on standard output."""
    proto = onnx.load(model)
    proto.graph.initializer.append(onnx.helper.make_tensor("b", onnx.TensorProto.BFLOAT16, [1], [1.0]))
    model.write_bytes(proto.SerializeToString())
    assert json.loads(onnxbin("inspect", model, "--json").stdout)["layers"]


def test_piped_tables_are_not_cut(onnxbin, model):
    proto = onnx.load(model)
    proto.graph.node[4].name = "a" * 150
    model.write_bytes(proto.SerializeToString())
    assert "a" * 150 in onnxbin("inspect", model).stdout
    assert "a" * 150 in onnxbin("compress", model, "--no-finetune").stdout
