import math

import numpy as np
import pytest

from onnxbin.detection.comparison import compare
from onnxbin.detection.detections import Detections


def found(*rows: tuple[float, ...]) -> Detections:
    """Detections from rows of x1, y1, x2, y2, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def test_a_model_is_like_itself() -> None:
    images = [found((0, 0, 10, 10, 0.9, 0), (20, 20, 30, 30, 0.5, 1), (5, 5, 9, 9, 0.1, 0)), found()]
    result = compare(images, images)
    assert (result.average_precision, result.f1, result.mean_iou, result.score_change) == (1, 1, 1, 0)
    assert (result.reference_boxes, result.boxes, result.matched) == (2, 2, 2)


def test_by_hand() -> None:
    first = [found((0, 0, 10, 10, 0.9, 0), (50, 50, 60, 60, 0.8, 0), (20, 20, 30, 30, 0.5, 1))]
    second = [
        found(
            (0, 0, 10, 8, 0.6, 0),  # the first box, IoU 0.8, 0.3 less sure
            (50, 50, 60, 60, 0.2, 0),  # the second, below the floor
            (20, 20, 30, 30, 0.5, 0),  # the third, but of another class
        )
    ]
    result = compare(first, second)
    assert (result.reference_boxes, result.boxes, result.matched) == (3, 2, 1)
    assert result.f1 == pytest.approx(2 / 5)
    assert result.mean_iou == pytest.approx(0.8)
    assert result.score_change == pytest.approx(-0.3)
    # Class 0: right, wrong (the stray), right = 1/2 + 1/2 * 2/3; class 1: nothing found.
    assert result.average_precision == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_scores_that_only_sink_are_not_lost_to_the_average_precision() -> None:
    first = [found((0, 0, 10, 10, 0.9, 0), (50, 50, 60, 60, 0.8, 0))]
    second = [found((0, 0, 10, 10, 0.2, 0), (50, 50, 60, 60, 0.1, 0))]
    assert compare(first, second).average_precision == 1
    assert compare(first, second).f1 == 0


def test_nothing_to_see() -> None:
    result = compare([found()], [found()])
    assert result.f1 == 1
    assert math.isnan(result.average_precision)
    assert math.isnan(result.mean_iou)
    assert compare([found()], [found((0, 0, 9, 9, 0.9, 0))]).f1 == 0
