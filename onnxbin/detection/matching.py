"""Which detections are right: the greedy matching with the labels on which every figure rests.

The rules of COCO and Caltech, which agree: detections are taken best first; each takes the label of its class
that it overlaps most, among those not yet taken, if their IoU reaches the threshold. A detection left over
that lies in an ignored region (the share of *its own* area in there reaches the threshold) is neither right
nor wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxbin.detection.detections import Detections, Float32, Int64, area, intersection, iou

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Truth:
    """The labels of one image.

    boxes: float32 [N, 4] = x1, y1, x2, y2 in pixels of the image. classes: int64 [N]. ignored: bool [N],
    regions (crowds, unreadable people) in which a detection is neither right nor wrong.
    """

    boxes: Float32
    classes: Int64
    ignored: Bool

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, which: Bool | Int64) -> Truth:
        return Truth(self.boxes[which], self.classes[which], self.ignored[which])


@dataclass(frozen=True, eq=False)
class Matches:
    """All detections of one class in a set of images, best first.

    scores: float32 [D]. right: bool [D]. truths: how many labels were to be found. images: how many images.
    """

    scores: Float32
    right: Bool
    truths: int
    images: int


def match(detections: Detections, truth: Truth, threshold: float = 0.5) -> Int64:
    """The position of each detection's label in one image; -1 for wrong, -2 for in an ignored region.

    Takes detections best first, and does not look at classes: pass those of one class.
    """
    overlap = iou(detections.boxes, truth.boxes)
    # As pycocotools does, so that an IoU of exactly the threshold counts in spite of rounding.
    threshold = min(threshold, 1 - 1e-10)
    own_area = area(detections.boxes)[:, None]
    inside = intersection(detections.boxes, truth.boxes[truth.ignored])
    covered = (inside >= threshold * own_area) & (own_area > 0)
    free = ~truth.ignored
    found = np.full(len(detections), -1, np.int64)
    for i in range(len(detections)):
        reach = np.where(free, overlap[i], -1.0)
        if reach.size and reach.max() >= threshold:
            # The last of equals, again as pycocotools does.
            best = reach.size - 1 - int(np.argmax(reach[::-1]))
            found[i] = best
            free[best] = False
        elif covered[i].any():
            found[i] = -2
    return found


def match_all(
    detections: Sequence[Detections], truths: Sequence[Truth], class_index: int, threshold: float = 0.5
) -> Matches:
    """Match one class over a set of images; detections in ignored regions are left out."""
    scores, right = [np.empty(0, np.float32)], [np.empty(0, np.bool_)]
    count = 0
    for found, truth in zip(detections, truths, strict=True):
        of_class, labels = found[found.classes == class_index], truth[truth.classes == class_index]
        of_class = of_class[np.argsort(-of_class.scores, kind="stable")]
        position = match(of_class, labels, threshold)
        scores.append(of_class.scores[position != -2])
        right.append(position[position != -2] >= 0)
        count += int((~labels.ignored).sum())
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Matches(np.concatenate(scores)[order], np.concatenate(right)[order], count, len(truths))
