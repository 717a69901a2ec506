"""FastestDet: one map at stride 16, one box a cell."""

from __future__ import annotations

import numpy as np

from onnxbin.detection.boxes import cells, from_centres, sigmoid
from onnxbin.detection.detections import Candidates, Float32
from onnxbin.images import ImageInput
from onnxbin.images.outline import Outline
from onnxbin.images.profiles import is_fastestdet


class Fastestdet:
    """[1, 5 + classes, rows, columns]: objectness, dx, dy, w, h, class probabilities.

    Centre = (cell + tanh(d)) / cells a side, size = sigmoid(size), both as a share of the input; score =
    objectness^0.6 * class^0.4 (the author's decoder, dog-qiuqiu/FastestDet).
    """

    def __init__(self, target: ImageInput) -> None:
        self._size = np.array([target.width, target.height], np.float32)

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        channels, rows, columns = outputs[0][0].shape
        table = outputs[0][0].reshape(channels, -1).T
        centre = (
            (cells(rows, columns) + np.tanh(table[:, 1:3]))
            / np.array([columns, rows], np.float32)
            * self._size
        )
        boxes = from_centres(np.concatenate([centre, sigmoid(table[:, 3:5]) * self._size], axis=1))
        # A network that has lost its way may leave 0..1; a root of less than 0 is no score.
        objectness, classes = np.clip(table[:, :1], 0, None), np.clip(table[:, 5:], 0, None)
        return Candidates(boxes, objectness ** np.float32(0.6) * classes ** np.float32(0.4))


def recognise(outline: Outline) -> Fastestdet | None:
    """One map, as `is_fastestdet` describes it."""
    return Fastestdet(outline.input) if is_fastestdet(outline) else None
