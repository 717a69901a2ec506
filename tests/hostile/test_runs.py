"""Run folders that somebody has edited, or copied in half: named as damaged, or still of use."""

import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from damage import FACTOR, damaged
from test_labels import HOSTILE, edited, parts

from onnxbin import OnnxbinError
from onnxbin.report.run import read_run
from onnxbin.run_folder import RunFolder


@pytest.fixture
def run(good, tmp_path):
    return shutil.copytree(good.run, tmp_path / "copy.run")


def read(folder):
    """Read all of a folder; whether it can be."""
    try:
        read_run(folder)
        opened = RunFolder.open(folder)
        opened.read_finished()
        opened.read_turn()
        opened.read_last()
    except OnnxbinError as error:
        line = str(error)
    else:
        return True
    assert str(folder) in line or "--" in line, line  # a setting that makes no sense is named as an option
    assert len(line.splitlines()) == 1
    return False


@pytest.mark.parametrize("name", ["run.json", "curve.json"])
def test_every_part_of_the_json_files(run, name):
    path = run / name
    content = json.loads(path.read_text())
    taken = refused = 0
    for place in range(parts(content)):
        for value in HOSTILE:
            path.write_text(json.dumps(edited(content, place, value)))
            if read(run):
                taken += 1
            else:
                refused += 1
    assert taken
    assert refused


@pytest.mark.parametrize("name", ["run.json", "curve.json", "finished.npz"])
def test_damaged_files(run, name):
    path = run / name
    content = path.read_bytes()
    for seed in range(100 * FACTOR):
        path.write_bytes(damaged(content, seed))
        read(run)


def test_every_part_of_the_progress(run):
    path = run / "finished.npz"
    with np.load(path) as state:
        arrays = dict(state)
    progress = json.loads(arrays.pop("progress").tobytes())
    for place in range(parts(progress)):
        for value in HOSTILE:
            text = json.dumps(edited(progress, place, value)).encode()
            np.savez(path, progress=np.frombuffer(text, np.uint8), **arrays)
            read(run)


def bomb():
    """An array of zeros: 200 kB in the file, 200 MB in memory."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("progress.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (2 * 10**8,)}
        )
        for _ in range(200):
            file.write(bytes(10**6))
    return buffer.getvalue()


def claim():
    """An array that says that it has 2^60 elements."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("progress.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (2**60,)}
        )
    return buffer.getvalue()


def pickled():
    """An array of objects, which only code can make."""
    buffer = io.BytesIO()
    np.savez(buffer, progress=np.array([print], object))
    return buffer.getvalue()


def without(*names):
    def change(run):
        for name in names:
            path = run / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def written(name, content):
    return lambda run: (run / name).write_bytes(content() if callable(content) else content)


def settings(**values):
    def change(run):
        path = run / "run.json"
        content = json.loads(path.read_text())
        content["settings"] |= values
        path.write_text(json.dumps(content, indent=2))

    return change


def unfinished(change):
    """A run that has still something to do."""

    def whole(run):
        path = run / "curve.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "result": None}, indent=2))
        change(run)

    return whole


DAMAGES = {
    "no run.json": without("run.json"),
    "no curve.json": without("curve.json"),
    "no steps": without("steps"),
    "no state": without("finished.npz"),
    "last step": without("steps/02.onnx"),
    "another step": lambda run: shutil.copy(run / "steps/01.onnx", run / "steps/02.onnx"),
    "empty state": written("finished.npz", b""),
    "bomb": written("finished.npz", bomb),
    "claim": written("finished.npz", claim),
    "pickled": written("finished.npz", pickled),
    "deep": written("curve.json", b"[" * 100_000),
    "no text": written("run.json", b"\xff\xfe"),
    "code": settings(finetune="hostile:function"),
    "no bases": settings(bases=10**9),
    "another device": settings(device="tpu"),
    "expression": settings(include=["("]),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_commands_on_damaged_runs(commands, run, kind):
    unfinished(DAMAGES[kind])(run) if (run / "curve.json").exists() and kind != "deep" else DAMAGES[kind](run)
    (run.parent / "hostile.py").write_text("from pathlib import Path\n\nPath('hacked').touch()\n")
    for arguments in (
        ["report", run, "-o", run.parent / "report"],
        ["export", run, "-o", run.parent / "out.onnx"],
        ["export", run, "--step", "1", "-o", run.parent / "out.onnx"],
        ["compress", "--resume", run],
    ):
        if arguments[0] == "report" and FACTOR == 1 and kind in ("code", "another step"):
            continue  # it measures: seconds
        commands.run(run.parent, *arguments)
    assert not list(run.parent.rglob("hacked"))
