import math

import numpy as np
import pytest

from onnxbin.detection.matching import Matches
from onnxbin.detection.metrics import average_precision, log_average_miss_rate, miss_rate, precision_recall


def matches(right: list[int], truths: int, images: int = 1) -> Matches:
    scores = np.linspace(0.9, 0.1, len(right), dtype=np.float32)
    return Matches(scores, np.array(right, np.bool_), truths, images)


def test_average_precision_by_hand() -> None:
    # Right, wrong, right of 4 labels: precision 1 up to recall 1/4, then 2/3 up to 1/2, then nothing.
    assert average_precision(matches([1, 0, 1], 4)) == pytest.approx(1 / 4 + 2 / 3 / 4)
    # A late run of right ones lifts the precision before it: 0/1, 1/2, 2/3 of 2 labels.
    assert average_precision(matches([0, 1, 1], 2)) == pytest.approx(2 / 3)
    assert average_precision(matches([1, 1], 2)) == 1
    assert average_precision(matches([0, 0], 2)) == 0
    assert average_precision(matches([], 2)) == 0
    assert math.isnan(average_precision(matches([0], 0)))


def test_precision_recall_by_hand() -> None:
    curve = precision_recall(matches([1, 0, 1], 4))
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 4, 1 / 4, 1 / 2])


def test_log_average_miss_rate_by_hand() -> None:
    # 10 images, 4 labels, detections right, wrong, right, wrong, right:
    #   false positives per image   0    0.1  0.1  0.2  0.2
    #   miss rate                   3/4  3/4  1/2  1/2  1/4
    # The nine points are 10^-2, -1.75 .. 0. At 10^-2 .. 10^-1.25 the curve has reached FPPI 0 (miss rate
    # 3/4), at 10^-1 it has reached 0.1 (1/2), at 10^-0.75 = 0.178 still 0.1, from 10^-0.5 = 0.316 on 0.2
    # (1/4).
    curve = miss_rate(matches([1, 0, 1, 0, 1], 4, 10))
    np.testing.assert_allclose(curve.fppi, [0, 0.1, 0.1, 0.2, 0.2])
    np.testing.assert_allclose(curve.miss_rate, [3 / 4, 3 / 4, 1 / 2, 1 / 2, 1 / 4])
    expected = (0.75**4 * 0.5**2 * 0.25**3) ** (1 / 9)
    assert log_average_miss_rate(matches([1, 0, 1, 0, 1], 4, 10)) == pytest.approx(expected)


def test_log_average_miss_rate_at_the_ends() -> None:
    # Begins with a false positive at FPPI 1: nothing is found before, and at the last point only what comes
    # then.
    assert log_average_miss_rate(matches([0, 1], 2, 1)) == pytest.approx(0.5 ** (1 / 9))
    assert log_average_miss_rate(matches([], 2)) == 1
    assert log_average_miss_rate(matches([1, 1], 2)) == pytest.approx(1e-10)
    assert math.isnan(log_average_miss_rate(matches([], 0)))
