"""Figures of merit of one class: average precision and log-average miss rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxbin.detection.matching import Matches

Float64 = npt.NDArray[np.float64]

FPPI_POINTS: Float64 = np.logspace(-2, 0, 9)
"""The false positives per image at which the miss rate is read off."""


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall when the detections down to each one are taken, best first."""

    precision: Float64
    recall: Float64


@dataclass(frozen=True, eq=False)
class MissRate:
    """False positives per image, and the share of labels not found, down to each detection, best first."""

    fppi: Float64
    miss_rate: Float64


def precision_recall(matches: Matches) -> PrecisionRecall:
    """The curve of one class; recall is 0 where there are no labels."""
    right = np.cumsum(matches.right, dtype=np.float64)
    precision = right / np.arange(1, len(right) + 1)
    return PrecisionRecall(precision, right / max(matches.truths, 1))


def average_precision(matches: Matches) -> float:
    """The area under precision over recall, precision made monotonous (PASCAL VOC from 2010, all points).

    NaN where there is no label to be found.
    """
    if matches.truths == 0:
        return float("nan")
    curve = precision_recall(matches)
    # The precision at a recall is the best that is reached at this recall or a higher one.
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * best))


def miss_rate(matches: Matches) -> MissRate:
    """The curve of one class."""
    right = np.cumsum(matches.right, dtype=np.float64)
    wrong = np.cumsum(~matches.right, dtype=np.float64)
    return MissRate(wrong / max(matches.images, 1), 1 - right / max(matches.truths, 1))


def log_average_miss_rate(matches: Matches) -> float:
    """The geometric mean of the miss rate at nine points of false positives per image, 10^-2 to 10^0.

    Dollár, Wojek, Schiele, Perona: "Pedestrian detection: an evaluation of the state of the art", PAMI 2012,
    section 3.1. At each point the curve's last value up to it counts; 1 before the curve begins. NaN where
    there is no label to be found.
    """
    if matches.truths == 0:
        return float("nan")
    curve = miss_rate(matches)
    reached = np.searchsorted(curve.fppi, FPPI_POINTS, side="right")
    at_points = np.append(1.0, curve.miss_rate)[reached]
    return float(np.exp(np.log(np.maximum(at_points, 1e-10)).mean()))
