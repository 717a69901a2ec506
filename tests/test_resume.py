"""Runs that stop and go on: the same bits as if they had not, or a word on what is damaged."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys

import graphs
import onnx
import pytest
from photos import noise
from short_runs import compress

import onnxbin
from onnxbin import OnnxbinError, int8_rest, loop
from onnxbin.errors import Stopped
from onnxbin.run_folder import RunFolder


@pytest.fixture
def photos(tmp_path):
    return noise(tmp_path / "photos", 6, 24)


class Stopping(onnxbin.Listener):
    """Raises at one point of the run."""

    def __init__(self, number, done, error=KeyboardInterrupt):
        self._at = (number, done)
        self._error = error

    def trained(self, step, done, loss):  # noqa: ARG002
        if (step.number, done) == self._at:
            raise self._error


@pytest.mark.parametrize("saved_every", [0.0, 1e9])
@pytest.mark.parametrize(("number", "done"), [(2, 1), (2, 3), (2, 4)])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    model, photos, tmp_path, monkeypatch, number, done, saved_every
):
    monkeypatch.setattr(loop, "SAVED_EVERY", saved_every)
    whole = compress(model, photos, tmp_path / "whole.onnx")
    stopped = compress(model, photos, tmp_path / "part.onnx", listener=Stopping(number, done))
    assert not stopped.reached
    assert len(stopped.steps) == number - 1
    resumed = onnxbin.resume(stopped.run)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert [record.after for record in resumed.steps] == [record.after for record in whole.steps]
    for step in (1, 2):
        paths = [RunFolder.open(run).model_path(step) for run in (whole.run, resumed.run)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_killed_process_leaves_a_run_that_goes_on_to_the_same_bits(model, photos, tmp_path):
    """kill -9 in the middle of the first layer, with nothing finished."""
    whole = compress(model, photos, tmp_path / "whole.onnx")
    script = tmp_path / "killed.py"
    script.write_text(
        "import os, signal, onnxbin\n"
        "from onnxbin import loop\n"
        "loop.SAVED_EVERY = 0\n"
        "class Kill(onnxbin.Listener):\n"
        "    def trained(self, step, done, loss):\n"
        "        if done == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"onnxbin.compress({str(model)!r}, {str(tmp_path / 'part.onnx')!r}, images={str(photos)!r},\n"
        "    profile='yolov4', inputs='real', steps_per_layer=4, last_steps=0, listener=Kill())\n"
    )
    done = subprocess.run([sys.executable, str(script)], check=False, env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "part.onnx").exists()
    assert (tmp_path / "part.run" / "turn.npz").exists()
    resumed = onnxbin.resume(tmp_path / "part.run")
    assert resumed.path.read_bytes() == whole.path.read_bytes()


def test_every_priority_and_rule_resumes_alike(model, photos, tmp_path):
    """Damage is measured once and remembered, and so is what was tried and undone."""
    rules = {"priority": "damage", "max_drop": 0.2, "last_steps": 2}
    whole = compress(model, photos, tmp_path / "whole.onnx", **rules)
    stopped = compress(model, photos, tmp_path / "part.onnx", listener=Stopping(2, 2), **rules)
    assert onnxbin.resume(stopped.run).path.read_bytes() == whole.path.read_bytes()


def test_without_training_a_run_goes_on_to_the_same_bits(model, photos, tmp_path):
    goal = {"rest": "float32", "finetune": False, "inputs": "8"}
    whole = compress(model, photos, tmp_path / "whole.onnx", until_ratio=2, **goal)
    first = compress(model, photos, tmp_path / "part.onnx", until_ratio=1.3, **goal)
    resumed = onnxbin.resume(first.run, until_ratio=2)
    assert len(first.steps) < len(resumed.steps) == len(whole.steps)
    assert resumed.path.read_bytes() == whole.path.read_bytes()


def test_a_new_goal_goes_further(model, photos, tmp_path):
    first = compress(model, photos, tmp_path / "small.onnx", until_ratio=1.3, rest="float32")
    assert len(first.steps) == 1
    further = onnxbin.resume(first.run, until_ratio=2)
    assert len(further.steps) == 2
    assert further.path == first.path
    assert json.loads((first.run / "curve.json").read_text())["result"]["ratio"] == further.ratio


def test_an_early_stop_leaves_nothing(model, photos, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        compress(model, photos, tmp_path / "part.onnx", listener=Stopping(1, 2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "photos"]


def test_what_was_saved_within_the_first_layer_is_kept(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVED_EVERY", 0.0)
    whole = compress(model, photos, tmp_path / "whole.onnx")
    with pytest.raises(Stopped) as stopped:
        compress(model, photos, tmp_path / "part.onnx", listener=Stopping(1, 2))
    assert stopped.value.run == tmp_path / "part.run"
    with pytest.raises(Stopped):
        onnxbin.resume(tmp_path / "part.run", listener=Stopping(1, 3))
    assert onnxbin.resume(tmp_path / "part.run").path.read_bytes() == whole.path.read_bytes()


def test_a_new_goal_is_remembered_and_what_was_undone_tried_again(model, photos, tmp_path):
    strict = compress(model, photos, tmp_path / "part.onnx", max_drop=1e-4)
    assert strict.steps == ()
    looser = onnxbin.resume(strict.run, max_drop=1.0, listener=Stopping(2, 1))
    assert len(looser.steps) == 1
    assert len(onnxbin.resume(strict.run).steps) == 2
    with pytest.raises(OnnxbinError, match="the run has already lost"):
        onnxbin.resume(strict.run, max_drop=1e-4)
    with pytest.raises(OnnxbinError, match="the run has already reached"):
        onnxbin.resume(strict.run, until_ratio=1.01)


def test_a_budget_ends_a_run(model, photos, tmp_path):
    result = onnxbin.compress(
        model,
        tmp_path / "small.onnx",
        images=photos,
        profile="yolov4",
        inputs="real",
        budget=0.001,
        until_ratio=9,
    )
    assert len(result.steps) == 1
    assert not result.reached
    assert "the time of --budget is up" in result.reason


@pytest.mark.parametrize("left", [[], ["steps"], ["steps", "run.json"], ["steps", ".run.json.x.part"]])
def test_what_an_early_kill_leaves_makes_room(model, photos, tmp_path, left):
    """A folder, with a step that no state knows, and half a file."""
    run = tmp_path / "part.run"
    run.mkdir()
    for name in left:
        if name == "steps":
            (run / name).mkdir()
            (run / name / "01.onnx").write_bytes(b"x")
        else:
            (run / name).write_text("{")
    assert len(compress(model, photos, tmp_path / "part.onnx").steps) == 2


def test_what_a_step_was_is_found_in_the_folder(model, photos, tmp_path):
    result = compress(model, photos, tmp_path / "small.onnx")
    folder = RunFolder.open(result.run)
    assert folder.records() == list(result.steps)
    assert folder.model_path(2).read_bytes() == result.path.read_bytes()
    with pytest.raises(OnnxbinError, match="has no step 3; there are 1 to 2"):
        folder.model_path(3)


def test_a_folder_is_not_shared_and_not_lost(model, photos, tmp_path):
    stopped = compress(model, photos, tmp_path / "part.onnx", listener=Stopping(2, 1))
    with pytest.raises(OnnxbinError, match=r"holds an unfinished run of 1 steps.*--resume"):
        compress(model, photos, tmp_path / "part.onnx")
    folder = RunFolder.open(stopped.run)
    folder.hold()
    with pytest.raises(OnnxbinError, match="another run is going on in this folder"):
        onnxbin.resume(stopped.run)
    folder.release()
    onnxbin.resume(stopped.run)
    compress(model, photos, tmp_path / "part.onnx")  # a finished run makes room
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").touch()
    with pytest.raises(OnnxbinError, match="holds something else than a run"):
        compress(model, photos, tmp_path / "x.onnx", run=tmp_path / "mine")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("run.json", lambda text: text[:-20], "is damaged: run.json"),
        ("run.json", lambda text: text.replace(b'"format": 2', b'"format": 9'), "is of format 9"),
        ("run.json", lambda text: text.replace(b'"seed"', b'"sead"'), "is damaged: run.json.*sead"),
        ("finished.npz", lambda text: text[: len(text) // 2], "is damaged: finished.npz"),
        ("finished.npz", lambda text: text[:900] + b"\0\1\2" + text[903:], "is damaged: finished.npz"),
        ("steps/01.onnx", None, "is damaged: steps/01.onnx is missing"),
        (
            "steps/01.onnx",
            lambda text: text[:-1] + b"x",
            "is damaged: steps/01.onnx is not as it was written",
        ),
        ("run.json", None, "is not a run folder"),
    ],
)
def test_a_damaged_folder_is_named(model, photos, tmp_path, name, change, message):
    stopped = compress(model, photos, tmp_path / "part.onnx", listener=Stopping(2, 1))
    file = stopped.run / name
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))
    before = {path: path.read_bytes() for path in stopped.run.glob("**/*") if path.is_file()}
    with pytest.raises(OnnxbinError, match=message):
        onnxbin.resume(stopped.run)
    assert {path: path.read_bytes() for path in stopped.run.glob("**/*") if path.is_file()} == before


@contextlib.contextmanager
def room_for(size):
    """No file can have more bytes: writes fail half-way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [100, 1500, 5000, 12_000, 40_000])
def test_a_full_disk_costs_nothing_that_was_saved(model, photos, tmp_path, monkeypatch, room):
    monkeypatch.setattr(loop, "SAVED_EVERY", 0.0)
    whole = compress(model, photos, tmp_path / "whole.onnx")
    output = tmp_path / "part.onnx"
    with room_for(room), pytest.raises(OnnxbinError, match="cannot be written: File too large"):
        compress(model, photos, output)
    assert not output.exists()
    assert not list(tmp_path.glob("**/.*.part"))
    run = output.with_suffix(".run")
    begun = (run / "run.json").exists()
    again = onnxbin.resume(run) if begun else compress(model, photos, output)
    assert again.path.read_bytes() == whole.path.read_bytes()


def test_other_versions_are_told(model, photos, tmp_path):
    stopped = compress(model, photos, tmp_path / "part.onnx", listener=Stopping(2, 1))
    assert not onnxbin.resume(stopped.run, listener=Stopping(2, 2)).warnings
    path = stopped.run / "run.json"
    content = json.loads(path.read_text())
    here = content["versions"]["numpy"]
    content["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(content))
    (warning,) = onnxbin.resume(stopped.run).warnings
    assert f"numpy 1.0 (now {here})" in warning


def test_another_model_or_other_images_are_refused(model, photos, tmp_path):
    stopped = compress(model, photos, tmp_path / "part.onnx", listener=Stopping(2, 1))
    extra = photos / "new.png"
    extra.write_bytes((photos / "0.png").read_bytes())
    with pytest.raises(OnnxbinError, match="images have changed: there were 6, now 7"):
        onnxbin.resume(stopped.run)
    extra.unlink()
    model.write_bytes(graphs.chain([8, 16, 16, 7], shape=(1, 3, 24, 24)).SerializeToString())
    with pytest.raises(OnnxbinError, match="is not the model that"):
        onnxbin.resume(stopped.run)


def test_a_finished_run_gives_its_model_with_another_rest(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(int8_rest, "is_faster", lambda *_: True)  # it need not be, of a network this small
    plain = compress(model, photos, tmp_path / "plain.onnx", exclude=["c2"], finetune=False)
    steps = {path.name: path.read_bytes() for path in (plain.run / "steps").iterdir()}
    fast = onnxbin.resume(plain.run, tmp_path / "fast.onnx", rest="static-int8")
    assert (plain.int8, fast.int8) == (False, True)
    assert fast.steps == plain.steps
    assert {path.name: path.read_bytes() for path in (plain.run / "steps").iterdir()} == steps
    at_once = compress(
        model, photos, tmp_path / "once.onnx", exclude=["c2"], finetune=False, rest="static-int8"
    )
    assert graphs_of(fast) == graphs_of(at_once)
    back = onnxbin.resume(plain.run, tmp_path / "back.onnx", rest="int8")
    assert back.path.read_bytes() == plain.path.read_bytes()
    with pytest.raises(OnnxbinError, match=r"--rest float32: .* was begun with --rest int8"):
        onnxbin.resume(plain.run, rest="float32")


def graphs_of(result):
    return onnx.load(result.path).graph
