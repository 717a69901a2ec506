import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxbin.detection.detections import Candidates, Detections, Selection, iou, nms


def boxes_and_scores(count: int, seed: int, classes: int = 1) -> Detections:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (count, 2))], axis=1)
    scores = rng.choice(np.linspace(0, 1, 12), count)  # with ties
    return Detections(boxes.astype(np.float32), scores.astype(np.float32), rng.integers(0, classes, count))


def scalar_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = float(max(width, 0)) * float(max(height, 0))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_iou_by_hand() -> None:
    square = [[0, 0, 10, 10]]
    others = [
        [0, 0, 10, 10],
        [5, 0, 15, 10],
        [0, 0, 5, 5],
        [10, 0, 20, 10],
        [20, 20, 30, 30],
        [3, 3, 3, 3],
        [9, 9, 1, 1],
    ]
    np.testing.assert_allclose(iou(square, others)[0], [1, 1 / 3, 0.25, 0, 0, 0, 0])
    assert iou(np.empty((0, 4)), square).shape == (0, 1)


def test_iou_against_scalar_arithmetic() -> None:
    a, b = boxes_and_scores(30, 1).boxes.astype(float), boxes_and_scores(20, 2).boxes.astype(float)
    expected = [[scalar_iou(first, second) for second in b] for first in a]
    np.testing.assert_allclose(iou(a, b), expected, rtol=1e-9)


@given(
    st.integers(0, 40), st.integers(0, 1000), st.integers(1, 3), st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0])
)
def test_nms_against_the_definition(count: int, seed: int, classes: int, threshold: float) -> None:
    found = boxes_and_scores(count, seed, classes)
    kept: list[int] = []
    for i in sorted(range(count), key=lambda i: (-found.scores[i], i)):
        better = [j for j in kept if found.classes[j] == found.classes[i]]
        if all(scalar_iou(*found.boxes[[i, j]].astype(float)) <= threshold for j in better):
            kept.append(i)
    assert nms(found, threshold).tolist() == kept
    assert nms(found, threshold, limit=3).tolist() == kept[:3]


def test_selection_floor_limit_and_classes() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.float32)
    scores = np.array([[0.9, 0.2], [0.8, 0.0], [0.3, 0.05]], np.float32)
    found = Selection(min_score=0.1)(Candidates(boxes, scores))
    # The second box falls to the first; the first is both classes; class 1 of the third is below the floor.
    assert found.scores.tolist() == pytest.approx([0.9, 0.3, 0.2])
    assert found.classes.tolist() == [0, 0, 1]
    assert found.boxes.tolist() == boxes[[0, 2, 0]].tolist()
    assert len(Selection(min_score=0.1, limit=2)(Candidates(boxes, scores))) == 2
    only = Selection(min_score=0.1)(Candidates(boxes, scores), np.array([1, 7]))
    assert only.classes.tolist() == [1]
    # What the model has suppressed itself is left as it is, only sorted.
    kept = Selection(min_score=0.1)(Candidates(boxes, scores, suppressed=True))
    assert kept.scores.tolist() == pytest.approx([0.9, 0.8, 0.3, 0.2])


def test_selection_drops_what_is_not_finite() -> None:
    boxes = np.array([[0, 0, np.inf, 10], [np.nan, 0, 10, 9], [5, 5, 6, 6], [0, 0, 1, 1]], np.float32)
    scores = np.array([[0.9], [0.8], [0.7], [np.nan]], np.float32)
    assert Selection()(Candidates(boxes, scores)).boxes.tolist() == [[5, 5, 6, 6]]


def test_selection_of_nothing() -> None:
    nothing = Candidates(np.empty((0, 4), np.float32), np.empty((0, 80), np.float32))
    assert len(Selection()(nothing)) == 0
