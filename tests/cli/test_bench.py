"""`onnxbin bench` as a user meets it."""

import io
import json

import graphs
import onnx
import pytest
from rich.console import Console

from onnxbin.benchmark import measure
from onnxbin_cli.benchmark_tables import show


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([8, 64, 6], shape=(1, 3, 16, 16)).SerializeToString())
    return path


def test_help_shows_examples(onnxbin):
    result = onnxbin("bench", "--help")
    assert result.returncode == 0
    assert "onnxbin bench model.onnx model.binary.onnx --int8" in result.stdout


def test_the_table_names_models_threads_and_ratios(onnxbin, model):
    assert onnxbin("compress", model, "--no-finetune").returncode == 0
    result = onnxbin("bench", model, model.with_suffix(".binary.onnx"), "--threads", "1,2", "--runs", "2")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "onnxruntime" in lines[0]
    rows = [line.split() for line in lines if "model.binary.onnx" in line]
    ratio = model.stat().st_size / model.with_suffix(".binary.onnx").stat().st_size
    assert f"{ratio:.2f}x" in rows[0]
    assert [row[0] for row in rows[1:]] == ["1", "2"]


def test_json_is_alone_on_standard_output(onnxbin, model):
    result = onnxbin("bench", model, "--int8", "--threads", "1", "--runs", "1", "--json")
    content = json.loads(result.stdout)
    assert [m["name"] for m in content["measurements"]] == [str(model), f"{model}, int8"]
    assert content["machine"]["onnxruntime"]
    assert "assuming RGB" in result.stderr  # what int8 was calibrated on is a guess


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "many"], "'many' is not a number"),
        (["--runs", "0"], "--runs 0"),
        (["--images", "nowhere"], "nowhere"),
    ],
)
def test_bad_options_give_one_line(onnxbin, model, arguments, message):
    result = onnxbin("bench", model, *arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("onnxbin: ")
    assert message in line


def test_four_models_fit_80_columns(tmp_path, model):
    proto = onnx.load(model)
    for number, node in enumerate(proto.graph.node):
        node.name = f"/model.22/a_long_name/of_a_module/{number}"
    long = tmp_path / "a_detector_with_a_long_name_640x640.onnx"
    long.write_bytes(proto.SerializeToString())
    result = measure([long, model, long, model], threads=[1], runs=1, layers=True)
    console = Console(width=80, file=io.StringIO())
    show(result, console)
    text = console.file.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" in text  # names of layers are cut in the middle
