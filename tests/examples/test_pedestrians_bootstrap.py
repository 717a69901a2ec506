"""Intervals against sets drawn one by one, and against what theory says of a mean."""

import math

import numpy as np
import pytest
from bootstrap import drawn_sets, interval, resampled

from onnxbin.detection.matching import Matches
from onnxbin.detection.metrics import average_precision, log_average_miss_rate


def image(rng, found=6):
    """The matches of one image: of eight labels some are found, at scores that no other image has."""
    scores = np.sort(rng.random(found)).astype(np.float32)[::-1]
    return Matches(scores, rng.random(found) < 0.6, 8, 1)


def together(images):
    """The matches of several images, one of which may be among them more than once."""
    scores = np.concatenate([i.scores for i in images])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([i.right for i in images])[order]
    return Matches(scores[order], right, sum(i.truths for i in images), len(images))


@pytest.fixture
def images():
    rng = np.random.default_rng(3)
    return [image(rng, found) for found in (6, 0, 3, 9, 1, 5, 4)]


@pytest.mark.parametrize("figure", [average_precision, log_average_miss_rate])
def test_a_set_gives_what_its_images_give(images, figure):
    sets = drawn_sets(len(images), 50)
    expected = [
        figure(together([images[i] for i in range(len(images)) for _ in range(times[i])])) for times in sets
    ]
    assert resampled(images, figure, sets) == pytest.approx(expected)
    assert len(set(expected)) > 25


def test_every_image_once_is_all_of_them(images):
    all_of_them = np.ones((1, len(images)), int)
    found = resampled(images, average_precision, all_of_them)
    assert found == pytest.approx([average_precision(together(images))])


def test_sets_are_as_large_as_the_data_and_the_same_every_time():
    sets = drawn_sets(40, 300)
    assert (sets.sum(axis=1) == 40).all()
    assert sets.mean(axis=0) == pytest.approx(1, abs=0.3)
    np.testing.assert_array_equal(sets, drawn_sets(40, 300))
    assert (sets != drawn_sets(40, 300, seed=1)).any()


def test_a_mean_varies_as_theory_says():
    """The standard error of the mean of n values is their standard deviation over the root of n."""
    rng = np.random.default_rng(0)
    images = [image(rng, found) for found in rng.integers(0, 9, 60)]
    values = np.array([i.right.sum() for i in images])

    def mean(matches):
        return matches.right.sum() / matches.images

    found = resampled(images, mean, drawn_sets(60, 4000))
    expected = values.std() / math.sqrt(60)
    assert found.std() == pytest.approx(expected, rel=0.05)
    low, high = interval(found)
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * expected, values.mean() + 1.96 * expected), rel=0.05
    )


def test_interval_leaves_out_sets_without_a_label():
    assert interval([None, *range(101), None], level=0.9) == pytest.approx((5, 95))
