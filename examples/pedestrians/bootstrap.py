"""Confidence intervals of detection figures: how far they would move had other photos been taken.

Images are drawn, with replacement, as many as there are, and the figure is computed of each such set (Efron,
Tibshirani: "An Introduction to the Bootstrap", 1993, chapter 13: the percentile interval). Images, not boxes:
boxes of one image stand and fall together. The sets are the same for all models, so that the difference of
two models on the same images has an interval of its own, much narrower than theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from onnxbin.detection.matching import Matches

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

DRAWN = 1000
"""Sets of images."""

LEVEL = 0.95
"""The share of the sets that lie in the interval."""


def drawn_sets(images: int, count: int = DRAWN, seed: int = 0) -> Int64:
    """How often each image is in each set: int64 [count, images], every row of sum `images`."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(images, size=images), minlength=images) for _ in range(count)])


def resampled(images: Sequence[Matches], figure: Callable[[Matches], float], sets: Int64) -> Float64:
    """The figure of each set: float64 [sets]. images: the matches of each image by itself."""
    scores = np.concatenate([matches.scores for matches in images])
    best_first = np.argsort(-scores, kind="stable")
    scores = scores[best_first]
    right = np.concatenate([matches.right for matches in images])[best_first]
    image = np.repeat(np.arange(len(images)), [len(matches.scores) for matches in images])[best_first]
    labels = np.array([matches.truths for matches in images])

    def of_set(times: Int64) -> float:
        each = times[image]
        drawn = Matches(np.repeat(scores, each), np.repeat(right, each), int(times @ labels), len(images))
        return figure(drawn)

    return np.array([of_set(times) for times in sets])


def interval(values: npt.ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of resampled figures; those of sets without a label, NaN, do not count."""
    low, high = np.nanquantile(np.asarray(values, np.float64), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
