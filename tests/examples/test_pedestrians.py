"""The experiment from its command line: equal steps, results that last, a table and a plot."""

import json
import sys

import experiment
import lasting
import numpy as np
import pytest
from figures import measure
from labelled_scenes import write_scenes
from miss_rate_plot import curve
from PIL import Image
from results_table import table

import onnxbin
from onnxbin.detection import Detections, LabelledSet
from onnxbin.detection.labels import LabelledImage
from onnxbin.detection.matching import Truth

STEPS = 4


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 8, seed=300000)
    return folder / "labels.json"


@pytest.fixture
def command(street, scenes, tmp_path, monkeypatch, capsys):
    """Runs the script; returns the exit status and what it said."""
    runs = tmp_path / "runs.json"
    entries = [
        {"name": "inverse depth", "order": "inverse depth"},
        {"name": "all at once", "order": "inverse depth", "last_phase": 1.0},
    ]
    runs.write_text(json.dumps({"settings": {"batch_size": 1, "rest": "float32"}, "runs": entries}))

    def run(*more, ratio=1.7):
        arguments = [
            *(street / "street.onnx", "--images", scenes, "--data", scenes, "-o", tmp_path / "results"),
            *("--runs", runs, "--ratio", ratio, "--steps", STEPS, *more),
        ]
        monkeypatch.setattr(sys, "argv", ["experiment.py", *map(str, arguments)])
        try:
            experiment.main()
            status = 0
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def refuse(*_, **__):
    raise AssertionError("nothing was to be compressed")


def test_from_stop_to_table(command, tmp_path, monkeypatch):
    results = tmp_path / "results"

    # A stop after the first layer.
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(experiment.Progress, "step_finished", stop)
        status, said = command()
    assert status == 2
    assert "the same command goes on" in said
    assert not (results / "inverse-depth-1.7x.json").exists()

    # The same command goes on with that run, and does not begin it anew.
    begun = []
    compress = onnxbin.compress
    with monkeypatch.context() as patched:
        patched.setattr(
            lasting.onnxbin, "compress", lambda *a, **k: begun.append(k["run"].name) or compress(*a, **k)
        )
        status, said = command()
    assert (status, begun) == (0, ["all-at-once-1.7x.run"])
    content = {path.stem: json.loads(path.read_text()) for path in results.glob("*.json")}
    assert sorted(content) == ["all-at-once-1.7x", "inverse-depth-1.7x", "original"]
    first, second = content["inverse-depth-1.7x"], content["all-at-once-1.7x"]
    assert first["order"] == second["order"]
    assert len(first["order"]) > 1
    assert first["reached"]["steps"] == second["reached"]["steps"] == STEPS
    assert first["reached"]["bytes"] == (results / "runs" / "inverse-depth-1.7x.onnx").stat().st_size
    (data,) = content["original"]["data"].values()
    assert 0.5 < data["average_precision"]["low"] <= data["average_precision"]["value"] <= 1
    with Image.open(results / "miss_rate.png") as plot:
        assert plot.format == "PNG"
    assert str(tmp_path) not in (results / "inverse-depth-1.7x.json").read_text()

    # Finished runs are not repeated, and the table is the same.
    monkeypatch.setattr(lasting.onnxbin, "compress", refuse)
    monkeypatch.setattr(lasting.onnxbin, "resume", refuse)
    status, again = command()
    assert status == 0
    assert again.strip()
    assert again.strip() in said
    assert max(map(len, again.splitlines())) <= 80
    # Other steps are another experiment.
    status, said = command("--steps", 2 * STEPS)
    assert status == 2
    assert said.startswith("error: ")
    assert "is a result with another steps_per_layer" in said
    assert said.count("\n") == 1


def test_errors_are_one_line(command, tmp_path):
    for more, says in [
        (("--ratio", 90), "90 times smaller is out of reach"),
        (("--data", tmp_path / "nothing.json"), "no labels here"),
        (("--runs", tmp_path / "nothing.json"), "not a table of runs"),
    ]:
        status, said = command(*more)
        assert (status, said.count("\n")) == (2, 1)
        assert said.startswith("error: ")
        assert says in said


class Known:
    """A detector that says of each image what it was told to, images told apart by their grey."""

    names = ("person",)

    def __init__(self, found):
        self._found = found

    def __call__(self, pixels, classes):  # noqa: ARG002
        boxes, scores = zip(*self._found[int(pixels[0, 0, 0]) // 10], strict=True)
        return Detections(
            np.array(boxes, np.float32), np.array(scores, np.float32), np.zeros(len(scores), np.int64)
        )


def test_figures_of_a_case_worked_by_hand(tmp_path):
    """Two images of one label. Best first: right, wrong, right, wrong; 1, 2, 2 found with 0, 1, 2 wrong."""
    label, elsewhere = (10, 10, 30, 50), (40, 5, 60, 45)
    images = []
    for i in range(2):
        path = tmp_path / f"{i}.png"
        Image.new("RGB", (64, 64), (10 * i,) * 3).save(path)
        truth = Truth(np.array([label], np.float32), np.zeros(1, np.int64), np.zeros(1, np.bool_))
        images.append(LabelledImage(path, truth))
    data = experiment.Data("a/b.json", LabelledSet(images, ["person"]), 0, "")
    found = measure(Known([[(label, 0.9), (elsewhere, 0.8)], [(label, 0.7), (elsewhere, 0.6)]]), data, None)
    assert (found["images"], found["labels"], found["found"]) == (2, 2, [1, 2, 2])
    # Recall 1/2 at precision 1, recall 1 at precision 2/3.
    assert found["average_precision"]["value"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    # The first image alone, twice: 1. The second alone: 1 too. Both: 5/6.
    assert set(found["average_precision"]["resampled"]) == {1.0, round(5 / 6, 4)}
    assert (found["average_precision"]["low"], found["average_precision"]["high"]) == pytest.approx(
        (5 / 6, 1)
    )
    # 0.01 to 1 false positive an image: from 1/2 on, nothing is missed.
    x, y = curve(found)
    assert (x.tolist(), y.tolist()) == ([0.01, 0.5, 1.0], [0.5, 0.0, 0.0])


def figures(values):
    each = {"value": values[0], "low": min(values), "high": max(values), "resampled": values}
    return {"images": 2, "labels": 3, "average_precision": each, "miss_rate": each}


def test_differences_are_taken_pair_by_pair():
    """Both vary a lot, and alike: what lies between them hardly varies."""
    reached = {"ratio": 8.0, "layers": 3, "steps": 10, "seconds": 60.0}
    first, second = (
        {"name": name, "reached": reached, "data": {"a/b.json": figures([v + more for v in (0.5, 0.2, 0.8)])}}
        for name, more in (("first", 0.0), ("second", 0.125))
    )
    text = table(first, {8.0: [first, second]})
    difference = "+.125 (+.125 to +.125)"
    assert f"second           AP@0.5 {difference}  miss rate {difference}" in text.splitlines()
    assert ".500 (.200-.800)" in text
