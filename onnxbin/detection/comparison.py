"""How far two models see the same things: for data without labels.

The first model's detections count as the truth; the second's are matched with them, box by box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxbin.detection.detections import Detections, iou
from onnxbin.detection.matching import Truth, match, match_all
from onnxbin.detection.metrics import average_precision


@dataclass(frozen=True)
class Comparison:
    """Two models on a set of images.

    average_precision: of the second model at IoU 0.5, the mean over the classes that the first one sees; 1
    where the second finds every box of the first and ranks none above them that is not one. NaN where the
    first sees nothing.
    reference_boxes, boxes, matched: how many boxes each shows at the score floor, and how many they share.
    mean_iou: of the boxes shared. score_change: the mean of second minus first score over them.
    """

    average_precision: float
    reference_boxes: int
    boxes: int
    matched: int
    mean_iou: float
    score_change: float

    @property
    def f1(self) -> float:
        """The share of boxes shared, 2 matched / (reference + boxes); 1 where neither model shows any."""
        total = self.reference_boxes + self.boxes
        return 2 * self.matched / total if total else 1.0


def compare(
    reference: Sequence[Detections], detections: Sequence[Detections], min_score: float = 0.3
) -> Comparison:
    """Compare detections of the same images by two models.

    min_score: what a person would be shown. It settles what the first model says is there; the average
    precision looks at all detections of the second, so that scores that only sank do not count as lost.
    """
    shown = [found[found.scores >= min_score] for found in reference]
    truths = [Truth(s.boxes, s.classes, np.zeros(len(s), np.bool_)) for s in shown]
    seen = sorted({int(k) for s in shown for k in s.classes})
    precisions = [average_precision(match_all(detections, truths, k)) for k in seen]

    boxes = 0
    overlaps: list[float] = []
    changes: list[float] = []
    for first, truth, found in zip(shown, truths, detections, strict=True):
        second = found[found.scores >= min_score]
        boxes += len(second)
        for k in np.unique(second.classes):
            ours, theirs = np.flatnonzero(second.classes == k), np.flatnonzero(first.classes == k)
            ours = ours[np.argsort(-second.scores[ours], kind="stable")]
            position = match(second[ours], truth[theirs])
            ours, theirs = ours[position >= 0], theirs[position[position >= 0]]
            overlaps.extend(iou(second.boxes[ours], first.boxes[theirs]).diagonal().tolist())
            changes.extend((second.scores[ours] - first.scores[theirs]).tolist())
    return Comparison(
        average_precision=float(np.mean(precisions)) if precisions else float("nan"),
        reference_boxes=sum(map(len, shown)),
        boxes=boxes,
        matched=len(overlaps),
        mean_iou=float(np.mean(overlaps)) if overlaps else float("nan"),
        score_change=float(np.mean(changes)) if changes else float("nan"),
    )
