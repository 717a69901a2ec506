"""The unit of damage, against NumPy's formula and against what losing boxes or scores should count."""

import numpy as np
import pytest
from bridge.onnx_models import random

from onnxbin.agreement import agreement
from onnxbin.detection import Certainty
from onnxbin.output_error import OutputError


def images(count, *shape):
    """One output for each of so many images."""
    return [[random(1, *shape, seed=seed)] for seed in range(count)]


def test_it_is_the_change_over_the_variance_of_each_channel():
    expected = images(4, 3, 8, 8)
    found = [[x + np.float32([0.1, 0.2, 0.4]).reshape(3, 1, 1)] for (x,) in expected]
    variance = np.concatenate([x for (x,) in expected]).var((0, 2, 3))
    wanted = (np.square([0.1, 0.2, 0.4]) / variance).mean()
    assert OutputError(expected)(found) == pytest.approx(wanted, rel=0.07)  # less: the floor of the variance


def test_outputs_count_alike():
    expected = [[random(1, 3, 4, 4), 100 * random(1, 5, seed=1)], [random(1, 3, 4, 4, seed=2), random(1, 5)]]
    error = OutputError(expected)
    first = error([[x + 1, y] for x, y in expected])
    second = error([[x, y + 1] for x, y in expected])
    assert error([[x + 1, y + 1] for x, y in expected]) == pytest.approx(first + second, rel=1e-4)


def test_independent_changes_add_up():
    expected = images(4, 3, 32, 32)
    error = OutputError(expected)
    changes = [images(4, 3, 32, 32), [[random(1, 3, 32, 32, seed=seed)] for seed in range(10, 14)]]
    alone = [error([[x + y] for (x,), (y,) in zip(expected, c, strict=True)]) for c in changes]
    both = [[x + y + z] for (x,), (y,), (z,) in zip(expected, *changes, strict=True)]
    assert error(both) == pytest.approx(sum(alone), rel=0.1)


def test_what_is_not_finite_is_an_infinite_error():
    expected = images(2, 3, 4, 4)
    found = [[x.copy()] for (x,) in expected]
    found[1][0][0, 0, 0, 0] = np.nan
    assert OutputError(expected)(found) == float("inf")


def test_scores_lost_are_seen_beside_boxes_in_pixels():
    """Rows of a YOLOv8: x, y, width, height in pixels, then two classes; one place in ten holds something."""
    rng = np.random.default_rng(0)
    expected = []
    for _ in range(4):
        boxes, scores = rng.uniform(20, 600, (4, 200)), rng.uniform(0, 0.01, (2, 200))
        scores[:, ::10] = rng.uniform(0.5, 1, (2, 20))
        expected.append([np.concatenate([boxes, scores])[None].astype(np.float32)])

    def certainty(outputs):
        (output,) = outputs
        confidence = np.broadcast_to(output[:, 4:].max(1, keepdims=True), output.shape).astype(np.float32)
        decides_boxes = np.zeros(output.shape, bool)
        decides_boxes[:, :4] = True
        return [Certainty(confidence, decides_boxes)]

    def without(rows, places=slice(None)):
        found = [[output.copy()] for (output,) in expected]
        for (output,) in found:
            output[:, rows, places] = output[:, rows].mean()
        return found

    error = OutputError(expected, certainty)
    scores, boxes = without(slice(4, 6)), without(slice(0, 4))
    assert agreement(scores, expected) > 0.99, "which is why agreement does not do"
    assert error(boxes) == pytest.approx(0.5, rel=0.2), "half of the weight, the mean's error is one"
    assert error(scores) > 0.5, "more where it is sure"
    background = without(slice(0, 4), np.arange(200) % 10 != 0)
    assert error(background) < 0.2 * error(boxes), "where nothing is, where it is hardly matters"
