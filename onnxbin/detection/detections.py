"""Boxes with scores and classes, their overlap, and non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in one image, best first.

    boxes: float32 [N, 4] = x1, y1, x2, y2 in pixels. scores: float32 [N], 0..1. classes: int64 [N].
    """

    boxes: Float32
    scores: Float32
    classes: Int64

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, which: npt.NDArray[np.bool_] | Int64 | slice) -> Detections:
        return Detections(self.boxes[which], self.scores[which], self.classes[which])


@dataclass(frozen=True, eq=False)
class Candidates:
    """What the outputs of a model say of one image, before anything is chosen.

    boxes: float32 [N, 4] = x1, y1, x2, y2 in pixels of the model's input. scores: float32 [N, classes].
    suppressed: the model itself has already dropped overlapping boxes.
    """

    boxes: Float32
    scores: Float32
    suppressed: bool = False


@dataclass(frozen=True)
class Selection:
    """How candidates become detections; the defaults are those of evaluation (for looking, min_score 0.3).

    min_score: lower scores are dropped. iou: a box that overlaps a better one of its class by more goes.
    limit: at most this many boxes an image, the best.
    """

    min_score: float = 0.01
    iou: float = 0.5
    limit: int = 100

    def __call__(self, candidates: Candidates, classes: Int64 | None = None) -> Detections:
        """The detections among `candidates`, in the same pixels; of `classes` only, if given.

        A box may be detected as several classes. Boxes and scores that are not finite are dropped.
        """
        columns = np.arange(candidates.scores.shape[1])
        if classes is not None:
            columns = np.intersect1d(columns, classes)
        row, column = np.nonzero(candidates.scores[:, columns] >= self.min_score)
        found = Detections(candidates.boxes[row], candidates.scores[row, columns[column]], columns[column])
        found = found[np.isfinite(found.boxes).all(1) & np.isfinite(found.scores)]
        if candidates.suppressed:
            return found[np.argsort(-found.scores, kind="stable")[: self.limit]]
        return found[nms(found, self.iou, self.limit)]


def iou(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Intersection over union of every box of `first` [N, 4] with every box of `second` [M, 4]: [N, M].

    Boxes without area overlap nothing.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def intersection(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The area that every box of `first` [N, 4] shares with every box of `second` [M, 4]: [N, M]."""
    a, b = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared: npt.NDArray[np.float64] = np.clip(high - low, 0, None).prod(-1)
    return shared


def area(boxes: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The areas of boxes [N, 4]: [N]; 0 for a box turned inside out."""
    b = np.asarray(boxes, np.float64)
    areas: npt.NDArray[np.float64] = np.clip(b[:, 2:] - b[:, :2], 0, None).prod(-1)
    return areas


def nms(detections: Detections, threshold: float, limit: int | None = None) -> Int64:
    """Greedy non-maximum suppression within each class: the positions of the boxes that stay, best first.

    A box is dropped where its IoU with a better box of its class that stays is above `threshold`. At most
    `limit` boxes stay, over all classes.
    """
    order = np.argsort(-detections.scores, kind="stable")
    boxes, classes = detections.boxes[order], detections.classes[order]
    names, firsts = np.unique(np.sort(classes), return_index=True)
    members = dict(zip(names, np.split(np.argsort(classes, kind="stable"), firsts)[1:], strict=True))
    stays = np.ones(len(order), bool)
    kept: list[int] = []
    for best, class_ in enumerate(classes):
        if limit is not None and len(kept) == limit:
            break
        if stays[best]:
            kept.append(best)
            rivals = members[class_][stays[members[class_]]]
            stays[rivals[iou(boxes[best : best + 1], boxes[rivals])[0] > threshold]] = False
    return order[kept]
