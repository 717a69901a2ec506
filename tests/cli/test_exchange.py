"""`onnxbin import` and `onnxbin export` as a user meets them."""

import json
from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest

from onnxbin.surgery import binary_layers

BREVITAS = Path(__file__).parents[1] / "exchange" / "brevitas.onnx"


@pytest.fixture
def small(onnxbin, tmp_path):
    """A compressed model."""
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([8, 64, 64, 64, 6], shape=(1, 3, 32, 32)).SerializeToString())
    assert onnxbin("compress", path, "--no-finetune").returncode == 0
    return tmp_path / "model.binary.onnx"


def test_import(onnxbin, tmp_path):
    path = tmp_path / "small.onnx"
    result = onnxbin("import", BREVITAS, "-o", path)
    assert result.returncode == 0, result.stderr
    assert "3 of 4 convolutions are binary" in result.stdout
    assert "BinaryConvSign 16x8x3x3" in result.stdout
    again = json.loads(onnxbin("import", BREVITAS, "-o", path, "--json").stdout)
    assert again["bytes"] == path.stat().st_size
    assert [layer["op"] for layer in again["layers"]][1:3] == ["BinaryConvSign"] * 2


def test_export_and_import_again(onnxbin, small, tmp_path):
    exported, returned = tmp_path / "qonnx.onnx", tmp_path / "returned.onnx"
    result = onnxbin("export", small, "--qonnx", "-o", exported)
    assert result.returncode == 0, result.stderr
    assert "binary weights are floats" in result.stdout
    assert onnxbin("import", exported, "-o", returned).returncode == 0
    before, after = (binary_layers(onnx.load(path)) for path in (small, returned))
    assert before.keys() == after.keys()
    for name, layer in before.items():
        np.testing.assert_array_equal(layer.weight.packed(), after[name].weight.packed())


def test_export_a_step_of_a_run(onnxbin, small, tmp_path):
    run, path = tmp_path / "model.binary.run", tmp_path / "step.onnx"
    assert onnxbin("export", run, "-o", path).returncode == 0
    assert path.read_bytes() == small.read_bytes()
    assert onnxbin("export", run, "--step", 1, "-o", path).returncode == 0
    binary = [node.op_type for node in onnx.load(path).graph.node if node.domain]
    assert binary == ["BinaryConvRelu"]


@pytest.mark.parametrize("options", [["--inline"], ["--inline", "--float-weights"]])
def test_export_inline(onnxbin, small, tmp_path, options):
    path = tmp_path / "plain.onnx"
    result = onnxbin("export", small, *options, "-o", path, "--json")
    assert json.loads(result.stdout)["bytes"] == path.stat().st_size
    assert not onnx.load(path).functions


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["export", "{model}", "-o", "{other}"], "give --inline or --qonnx"),
        (["export", "{model}", "--inline", "--qonnx", "-o", "{other}"], "exclude each other"),
        (["export", "{model}", "--inline", "--step", "1", "-o", "{other}"], "goes with a run folder"),
        (["export", "{run}", "--step", "7", "-o", "{other}"], "has no step 7; there are 1 to 4"),
        (["export", "{run}/steps", "-o", "{other}"], "is not a run folder"),
        (["export", "{model}", "--qonnx", "--float-weights", "-o", "{other}"], "goes with --inline"),
        (["export", "{model}", "--qonnx", "-o", "{model}"], "is the model itself"),
        (["export", "{real}", "--qonnx", "-o", "{other}"], "model.onnx: has no binary layers"),
        (["export", "{real}", "--inline", "-o", "{other}"], "model.onnx: has no binary layers"),
        (["import", "{real}", "-o", "{other}"], "nothing to import"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(onnxbin, small, tmp_path, arguments, expected):
    names = {
        "model": small,
        "run": tmp_path / "model.binary.run",
        "real": tmp_path / "model.onnx",
        "other": tmp_path / "other.onnx",
    }
    result = onnxbin(*(argument.format(**names) for argument in arguments))
    assert result.returncode == 2
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1
    assert not names["other"].exists()
