"""YOLOX: one tensor, boxes still relative to their cells, scores after the sigmoid."""

from __future__ import annotations

import numpy as np

from onnxbin.detection.boxes import cells, from_centres
from onnxbin.detection.detections import Candidates, Float32
from onnxbin.images import ImageInput
from onnxbin.images.outline import Outline
from onnxbin.images.profiles import is_yolox

_STRIDES = (8, 16, 32)


class Yolox:
    """[1, N, 5 + classes], cells of strides 8, 16, 32 in row order: dx, dy, log w, log h, objectness,
    classes.

    Centre = (cell + d) * stride, size = exp(log size) * stride.
    """

    def __init__(self, target: ImageInput) -> None:
        grids = [cells(target.height // stride, target.width // stride) for stride in _STRIDES]
        self._grid = np.concatenate(grids)
        self._stride = np.repeat(np.array(_STRIDES, np.float32), [len(grid) for grid in grids])[:, None]

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        table = outputs[0][0]
        centre = (table[:, :2] + self._grid) * self._stride
        with np.errstate(over="ignore"):
            size = np.exp(table[:, 2:4]) * self._stride
        boxes = from_centres(np.concatenate([centre, size], axis=1))
        return Candidates(boxes, table[:, 4:5] * table[:, 5:])


def recognise(outline: Outline) -> Yolox | None:
    """A YOLOX that leaves the boxes encoded (one that decodes them has an Exp, and reads as YOLOv5)."""
    return Yolox(outline.input) if is_yolox(outline) and "Exp" not in outline.operators else None
