"""Our matching and curves against pycocotools on the same detections."""

import builtins
import math
from typing import Any

import numpy as np
import pytest

from onnxbin.detection.coco import FIGURES, coco_figures
from onnxbin.detection.detections import Detections
from onnxbin.detection.matching import Truth, match_all
from onnxbin.detection.metrics import precision_recall
from onnxbin.errors import OnnxbinError

pytest.importorskip("pycocotools", reason="pycocotools is an extra")


def scene(seed: int) -> tuple[Detections, Truth]:
    """Labels of two classes, some ignored; detections: shaken copies of them, and made up; tied scores."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 12))
    corners = rng.uniform(0, 300, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 150, (count, 2))], axis=1)
    truth = Truth(boxes.astype(np.float32), rng.integers(0, 2, count), rng.random(count) < 0.2)
    copies = np.repeat(np.arange(count), rng.integers(0, 3, count))
    shaken = boxes[copies] + rng.normal(0, 8, (len(copies), 4))
    made_up = np.concatenate([rng.uniform(0, 200, (5, 2)), rng.uniform(210, 400, (5, 2))], axis=1)
    found = np.concatenate([shaken, made_up]).astype(np.float32)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    kinds = np.concatenate([truth.classes[copies], rng.integers(0, 2, 5)])
    scores = rng.choice(np.linspace(0.05, 1, 15), len(found)).astype(np.float32)
    return Detections(found, scores, kinds), truth


def coco_average_precision(detections: list[Detections], truths: list[Truth], threshold: float) -> float:
    """Our curve, read off at COCO's 101 recalls."""
    results = []
    for kind in (0, 1):
        curve = precision_recall(match_all(detections, truths, kind, threshold))
        points = np.linspace(0, 1, 101)
        results.append(np.mean([curve.precision[curve.recall >= point].max(initial=0) for point in points]))
    return float(np.mean(results))


@pytest.mark.parametrize("seed", range(8))
def test_our_matching_is_that_of_pycocotools(seed: int) -> None:
    scenes = [scene(seed * 100 + image) for image in range(15)]
    detections, truths = [found for found, _ in scenes], [truth for _, truth in scenes]
    figures = coco_figures(detections, truths, [0, 1])
    assert list(figures) == list(FIGURES)
    assert 0.1 < figures["AP50"] < 0.95
    for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
        assert coco_average_precision(detections, truths, threshold) == pytest.approx(figures[name], abs=1e-6)
    steps = np.linspace(0.5, 0.95, 10)
    ours = np.mean([coco_average_precision(detections, truths, threshold) for threshold in steps])
    assert ours == pytest.approx(figures["AP"], abs=1e-6)


def test_of_two_labels_overlapped_alike_the_same_is_taken() -> None:
    # The first detection overlaps both labels by 2/3. The second fits only the first label: it is right only
    # if the first detection took the other one.
    truths = [
        Truth(np.float32([[0, 0, 10, 10], [4, 0, 14, 10]]), np.zeros(2, np.int64), np.zeros(2, np.bool_))
    ]
    found = np.float32([[2, 0, 12, 10], [0, 0, 10, 10]])
    detections = [Detections(found, np.float32([0.9, 0.8]), np.zeros(2, np.int64))]
    assert coco_figures(detections, truths, [0])["AP50"] == pytest.approx(1)
    assert match_all(detections, truths, 0).right.tolist() == [True, True]


def test_perfect_and_empty_detections() -> None:
    truths = [Truth(np.float32([[0, 0, 50, 50]]), np.zeros(1, np.int64), np.zeros(1, np.bool_))]
    perfect = [Detections(truths[0].boxes, np.ones(1, np.float32), truths[0].classes)]
    figures = coco_figures(perfect, truths, [0])
    assert figures["AP"] == pytest.approx(1)
    assert math.isnan(figures["APl"])  # no label above 96 x 96 pixels
    nothing = [Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))]
    assert coco_figures(nothing, truths, [0])["AP"] == 0


def test_a_missing_pycocotools_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *arguments: Any) -> Any:
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(OnnxbinError, match=r"pip install 'onnxbin\[evaluate\]'"):
        coco_figures([], [], [0])
