"""What matters in a detector's outputs: boxes and scores where it is sure of something.

Most places hold background, and boxes are wanted where something is. That boxes count as much as scores is
left to the unit of errors, see onnxbin.spread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from onnxbin.detection.confidence import Bool, Certainty
from onnxbin.detection.detections import Float32
from onnxbin.shapes import channel_axis

SCORES_SEEN = 0.5
"""The share of the weight that scores have by the detector's confidence; the rest is alike for all."""

BOXES_SEEN = 0.9
"""The same for boxes: where nothing is, where it is hardly matters."""

ConfidenceOf = Callable[[Sequence[Float32]], Sequence[Certainty]]
"""Of the raw outputs for one image; `confidence.Confidence` is one."""

Usual = Sequence[tuple[float, float]]
"""For each output, the mean confidence of elements that decide boxes, and of the others; 0 of none."""


def usual_confidence(certainties: Sequence[Certainty]) -> Usual:
    """Of one image's outputs."""
    return [(_mean(each.confidence[each.boxes]), _mean(each.confidence[~each.boxes])) for each in certainties]


def box_channels(certainty: Certainty) -> Bool:
    """Which channels of an output decide boxes alone, [C]."""
    boxes = certainty.boxes
    others = tuple(axis for axis in range(boxes.ndim) if axis != channel_axis(boxes.shape))
    return np.asarray(boxes.all(others))


class Emphasis:
    """The weight of each element of each raw output.

    usual: of some images, each the outputs' `usual_confidence`.
    """

    def __init__(self, usual: Sequence[Usual]) -> None:
        self._usual = np.mean(usual, axis=0).tolist()

    def __call__(self, certainties: Sequence[Certainty]) -> list[Float32]:
        """Of the outputs for one image: for each its shape; 1 on average over images, boxes as scores."""
        return [_weight(each, *usual) for each, usual in zip(certainties, self._usual, strict=True)]


def _weight(certainty: Certainty, usual_of_boxes: float, usual_of_scores: float) -> Float32:
    weight = np.ones_like(certainty.confidence)
    for which, usual, seen in (
        (certainty.boxes, usual_of_boxes, BOXES_SEEN),
        (~certainty.boxes, usual_of_scores, SCORES_SEEN),
    ):
        if usual > 0:
            weight[which] = 1 - seen + seen / usual * certainty.confidence[which]
    return weight


def _mean(values: Float32) -> float:
    return float(values.mean()) if values.size else 0.0
