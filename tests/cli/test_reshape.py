"""`onnxbin reshape` as a user meets it."""

import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from rich.console import Console

from onnxbin import model as files
from onnxbin.layers import inventory
from onnxbin.operator import stock_session

STREET = Path(__file__).parents[2] / "examples/street"


@pytest.fixture(scope="module")
def street():
    return STREET / "street.onnx"


def test_dry_run_prints_a_table_and_writes_nothing(onnxbin, street, tmp_path):
    result = onnxbin("reshape", street, "--dry-run", "-o", tmp_path / "wide.onnx")
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.iterdir()) == []
    stage = next(line.split() for line in result.stdout.splitlines() if line.startswith("10x16 "))
    assert stage[1:4] == ["2", ">", "1"]
    assert "left alone: head32.conv" in result.stdout


def test_factor_1_lists_the_stages(onnxbin, street):
    result = onnxbin("reshape", street, "--dry-run", "--factor", "1")
    assert result.returncode == 0, result.stderr
    assert "112M > 112M (+0.0 %)" in result.stdout


def test_the_file_is_what_json_says(onnxbin, street, tmp_path):
    target = tmp_path / "wide.onnx"
    result = onnxbin("reshape", street, "-o", target, "--no-finetune", "--json")
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    wide, before = onnx.load(target), onnx.load(street)
    onnx.checker.check_model(wide, full_check=True)
    macs = [content["changes"][when]["macs"] for when in ("before", "after")]
    assert macs == [sum(layer.macs for layer in inventory(m)) for m in (before, wide)]
    assert macs[1] == pytest.approx(macs[0], rel=0.05)
    assert [name for name, _ in content["phases"]] == ["reshaped"]
    assert "onnxbin.preprocessing" in files.metadata(wide)
    x = np.zeros((1, 3, 160, 256), np.float32)
    shapes = [stock_session(m).run(None, {"images": x})[0].shape for m in (before, wide)]
    assert shapes[0] == shapes[1]


def test_distilled_and_compressed(onnxbin, street, tmp_path):
    wide = tmp_path / "wide.onnx"
    options = ("--images", STREET / "images", "--json")
    result = onnxbin("reshape", street, "-o", wide, *options, "--steps", "30")
    assert result.returncode == 0, result.stderr
    phases = dict(json.loads(result.stdout)["phases"])
    assert phases["trained"]["agreement"] > phases["reshaped"]["agreement"]
    result = onnxbin("compress", wide, *options, "--until-ratio", "15", "--no-finetune")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ratio"] >= 15


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--factor", "0.5"], "--factor 0.5"),
        (["--widths", "8,x"], "'8,x' is not a list of widths"),
        (["--widths", "8,16", "--no-finetune"], "2 numbers, expected"),
        (["--steps", "-1"], "--steps -1"),
        (["--prune", "2"], "--prune 2"),
        (["--prune", "--no-finetune"], "would only undo that"),
        (["--factor", "1", "--no-finetune"], "nothing to reshape"),
        (["-o", "no/such/folder.onnx", "--no-finetune"], "folder.onnx: cannot be written"),
    ],
)
def test_bad_input_gives_one_line(onnxbin, street, arguments, said):
    result = onnxbin("reshape", street, *arguments)
    assert result.returncode == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("onnxbin: ")
    assert said in line


def test_the_table_fits_80_columns():
    from onnxbin.reshape import Changes, Cost, StageChange
    from onnxbin.reshape.changes import StageState
    from onnxbin_cli.reshape import table

    states = (StageState(16, 1024, Cost(123 * 10**10, 10**9)), StageState(8, 1448, Cost(129 * 10**10, 10**9)))
    stage = StageChange((1080, 1920), *states, None)
    total = [Cost(3 * state.cost.macs, 3 * state.cost.activations) for state in states]
    console = Console(width=80, file=io.StringIO())
    console.print(table(Changes((stage,), *total)))
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "1.23T > 1.29T" in lines[1]
    assert "(+4.9 %)" in lines[-1]
