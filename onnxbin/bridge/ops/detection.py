"""Boxes: non-maximum suppression, and features of regions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from onnxbin.bridge.ops.registry import op


def _corners(boxes: Tensor, center_point_box: int) -> tuple[Tensor, Tensor]:
    """The lower and the upper corner of each box, [N, 2] each."""
    if center_point_box:
        center, size = boxes[:, :2], boxes[:, 2:]
        return center - size / 2, center + size / 2
    return torch.minimum(boxes[:, :2], boxes[:, 2:]), torch.maximum(boxes[:, :2], boxes[:, 2:])


def _overlaps(boxes: Tensor, center_point_box: int) -> Tensor:
    """Intersection over union of all pairs of boxes, [N, N]."""
    low, high = _corners(boxes, center_point_box)
    shared = (torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)).clamp(min=0).prod(-1)
    area = (high - low).prod(-1)
    union = area[:, None] + area - shared
    return torch.where(union > 0, shared / union, 0)


def _kept(scores: Tensor, overlaps: Tensor, most: int, iou_threshold: float) -> list[int]:
    """The boxes, best first, that no better one that is kept overlaps by more than the threshold."""
    kept: list[int] = []
    for box in scores.argsort(descending=True, stable=True).tolist():
        if len(kept) == most:
            break
        if not (overlaps[box, kept] > iou_threshold).any():
            kept.append(box)
    return kept


@op("NonMaxSuppression", differentiable=False, reads=(2, 3, 4))
def non_max_suppression(
    boxes: Tensor,
    scores: Tensor,
    max_output_boxes_per_class: Tensor | None = None,
    iou_threshold: Tensor | None = None,
    score_threshold: Tensor | None = None,
    *,
    center_point_box: int = 0,
) -> Tensor:
    """boxes [N, B, 4], scores [N, classes, B] -> rows of (image, class, box), int64 [kept, 3]."""
    most = 0 if max_output_boxes_per_class is None else int(max_output_boxes_per_class)
    most_overlap = 0.0 if iou_threshold is None else iou_threshold.item()
    rows = []
    for image, (image_boxes, image_scores) in enumerate(zip(boxes, scores, strict=True)):
        overlaps = _overlaps(image_boxes, center_point_box)
        for label, class_scores in enumerate(image_scores):
            able = torch.arange(len(class_scores), device=scores.device)
            if score_threshold is not None:
                able = able[class_scores > score_threshold.item()]
            kept = _kept(class_scores[able], overlaps[able][:, able], most, most_overlap)
            rows += [(image, label, int(able[place])) for place in kept]
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)


def _samples(start: float, length: float, bins: int, ratio: int, size: int) -> tuple[Tensor, Tensor]:
    """Sampling points along one axis of a box, `ratio` in each bin, or about one a pixel where it is 0.

    Returns the pixels below and above each point, int64 [2, points], and their weights [2, points]: 0 for
    points beyond the image by more than a pixel, and in a box without extent where the ratio is 0.
    """
    per_bin = ratio or max(1, math.ceil(length / bins))
    points = start + (torch.arange(bins * per_bin) + 0.5) * (length / (bins * per_bin))
    outside = (points < -1) | (points > size) | (ratio == 0 and length <= 0)
    points = points.clamp(0, size - 1)
    below = points.floor()
    weights = torch.stack([1 - (points - below), points - below]).masked_fill(outside, 0)
    return torch.stack([below, (below + 1).clamp(max=size - 1)]).long(), weights


@op("RoiAlign", reads=(1, 2))
def roi_align(
    x: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
    coordinate_transformation_mode: str = "half_pixel",
) -> Tensor:
    """x [N, C, H, W], boxes [R, 4] as x1, y1, x2, y2 -> [R, C, output_height, output_width].

    The gradient flows to x alone.
    """
    legacy = coordinate_transformation_mode == "output_half_pixel"
    pooled = [x.new_zeros(0, x.shape[1], output_height, output_width)]
    for image, box in zip(batch_indices.tolist(), rois, strict=True):
        x1, y1, x2, y2 = (box * spatial_scale - (0.0 if legacy else 0.5)).tolist()
        height, width = (max(1, y2 - y1), max(1, x2 - x1)) if legacy else (y2 - y1, x2 - x1)
        rows, by_row = _samples(y1, height, output_height, sampling_ratio, x.shape[2])
        columns, by_column = _samples(x1, width, output_width, sampling_ratio, x.shape[3])
        # The four pixels around each point: [C, 2, points down, 2, points across].
        near = x[image][:, rows[:, :, None, None], columns]
        near = near * (by_row[:, :, None, None] * by_column).to(x)
        points = near.sum((1, 3)) if mode == "avg" else near.amax((1, 3))
        bins = points.reshape(x.shape[1], output_height, -1, output_width, columns.shape[1] // output_width)
        pooled.append((bins.mean((2, 4)) if mode == "avg" else bins.amax((2, 4)))[None])
    return torch.cat(pooled)


@op("MaxRoiPool", differentiable=False, reads=(1,))
def max_roi_pool(
    x: Tensor, rois: Tensor, *, pooled_shape: Sequence[int], spatial_scale: float = 1.0
) -> Tensor:
    """x [N, C, H, W], rows (image, x1, y1, x2, y2) -> the largest value in each bin, [R, C, *pooled_shape].

    Boxes are rounded to whole pixels, and bins outwards; a bin without pixels gives 0.
    """
    pooled = [x.new_zeros(0, x.shape[1], *pooled_shape)]
    corners = (rois[:, 1:] * spatial_scale + 0.5).floor().int().tolist()
    for image, (x1, y1, x2, y2) in zip(rois[:, 0].int().tolist(), corners, strict=True):
        rows = _bins(y1, y2, pooled_shape[0], x.shape[2])
        columns = _bins(x1, x2, pooled_shape[1], x.shape[3])
        cells = [x[image, :, row, column].flatten(1) for row in rows for column in columns]
        largest = [cell.amax(1) if cell.shape[1] else x.new_zeros(x.shape[1]) for cell in cells]
        pooled.append(torch.stack(largest, 1).reshape(1, x.shape[1], *pooled_shape))
    return torch.cat(pooled)


def _bins(first: int, last: int, count: int, size: int) -> list[slice]:
    """The pixels first .. last as `count` slices, cut off at the borders of the image."""
    length = max(1, last - first + 1) / count
    edges = [(first + math.floor(i * length), first + math.ceil((i + 1) * length)) for i in range(count)]
    return [slice(min(max(begin, 0), size), min(max(end, 0), size)) for begin, end in edges]
