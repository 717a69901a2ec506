"""`onnxbin reshape` as a user meets it."""

import io
import json
import signal
from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest
from rich.console import Console

from onnxbin import model as files
from onnxbin.layers import inventory
from onnxbin.operator import stock_session
from onnxbin.reshape import Changes, Cost, StageChange, run
from onnxbin.reshape.changes import StageState
from onnxbin.reshape.checkpoint import Checkpoint
from onnxbin_cli.main import main
from onnxbin_cli.reshape import _Progress, table

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
    result = onnxbin("reshape", street, "-o", wide, *options, "--steps", "8", "--batch-size", "2")
    assert result.returncode == 0, result.stderr
    phases = dict(json.loads(result.stdout)["phases"])
    assert phases["trained"]["agreement"] > phases["reshaped"]["agreement"]
    result = onnxbin("compress", wide, *options, "--until-ratio", "15", "--no-finetune")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ratio"] >= 15


def test_ctrl_c_in_training_then_resume_gives_the_same_bits(tmp_path, monkeypatch, capsys):
    model, whole, part = (tmp_path / name for name in ("model.onnx", "whole.onnx", "part.onnx"))
    model.write_bytes(graphs.chain([3, 16, 16, 16, 6]).SerializeToString())

    def reshape(output, *arguments):
        """In this process, which imports torch once; gives status, output, errors."""
        photos = ("--profile", "yolov4", "--images", STREET / "images")
        training = ("--steps", "3", "--batch-size", "2")
        with pytest.raises(SystemExit) as done:
            main([*map(str, ("reshape", model, "-o", output, *photos, *training, *arguments))])
        return done.value.code, *capsys.readouterr()

    assert reshape(whole)[0] == 0
    with monkeypatch.context() as patch:
        write = Checkpoint.write

        def write_and_stop(*state):
            write(*state)
            signal.raise_signal(signal.SIGINT)

        patch.setattr(run, "SAVED_EVERY", 0.0)
        patch.setattr(Checkpoint, "write", write_and_stop)
        status, output, errors = reshape(part)
    assert (status, errors) == (3, "")
    assert "stopped by Ctrl-C; to go on: the same command with --resume\n" in output
    assert part.read_bytes() != whole.read_bytes()
    assert part.with_suffix(".reshape.npz").exists()

    status, _, errors = reshape(part)
    assert status == 2
    assert "go on with it by --resume, or delete it" in errors
    status, output, errors = reshape(part, "--resume")
    assert (status, errors) == (0, "")
    assert "stopped" not in output
    assert part.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "whole.onnx", "part.onnx"}


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
    states = (StageState(16, 1024, Cost(123 * 10**10, 10**9)), StageState(8, 1448, Cost(129 * 10**10, 10**9)))
    stage = StageChange((1080, 1920), *states, 8)
    total = [Cost(3 * state.cost.macs, 3 * state.cost.activations) for state in states]
    console = Console(width=80, file=io.StringIO())
    console.print(table(Changes((stage,), *total)))
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "1.23T > 1.29T" in lines[1]
    assert "(+4.9 %)" in lines[-1]


def test_stages_that_stay_deeper_are_named_in_one_line():
    states = [StageState(depth, 8, Cost(1000, 100)) for depth in (5, 3)]
    stages = tuple(StageChange(size, *states, wanted) for size, wanted in (((20, 24), 2), ((9, 9), 3)))
    console = Console(width=80, file=io.StringIO())
    _Progress(console).reshaped(Changes(stages, Cost(2000, 200), Cost(2000, 200)), {})
    line = "deeper than asked for, as no more can be bypassed: 20x24 (3, not 2)"
    assert console.file.getvalue().splitlines()[-1] == line


@pytest.mark.parametrize(("terminal", "shown"), [(True, "choosing a block of 26x26"), (False, "")])
def test_choosing_blocks_shows_a_bar_in_a_terminal_only(terminal, shown):
    console = Console(width=80, file=io.StringIO(), force_terminal=terminal)
    with _Progress(console) as progress:
        progress.looked_at((26, 26), 1, 3)
    output = console.file.getvalue()
    assert shown in output
    assert bool(output.strip()) == terminal
