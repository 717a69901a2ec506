"""NanoDet: class scores and, for each side of the box, a distribution over distances."""

from __future__ import annotations

import numpy as np

from onnxbin.detection.boxes import cells
from onnxbin.detection.detections import Candidates, Float32
from onnxbin.images import ImageInput
from onnxbin.images.outline import Outline
from onnxbin.images.profiles import is_nanodet

_STRIDES = (8, 16, 32)


class Nanodet:
    """For each of the strides 8, 16, 32: [1, cells, classes] and, later among the outputs, [1, cells, 4 *
    bins].

    Class scores are past the sigmoid. The softmax over the bins 0, 1, .. of a side has the expectation
    distance / stride; the sides are left, top, right, bottom, from the middle of the cell (generalised focal
    loss, arXiv 2006.04388).
    """

    def __init__(self, target: ImageInput) -> None:
        self._target = target

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        boxes, scores = [], []
        for stride in _STRIDES:
            middle = (cells(self._target.height // stride, self._target.width // stride) + 0.5) * stride
            score, distribution = (output[0] for output in outputs if output.shape[1] == len(middle))
            distance = _expectation(distribution.reshape(len(middle), 4, -1)) * np.float32(stride)
            boxes.append(np.concatenate([middle - distance[:, :2], middle + distance[:, 2:]], axis=1))
            scores.append(score)
        return Candidates(np.concatenate(boxes), np.concatenate(scores))


def _expectation(logits: Float32) -> Float32:
    """The mean bin under the softmax of logits [..., bins]."""
    weight = np.exp(logits - logits.max(-1, keepdims=True))
    mean: Float32 = weight @ np.arange(logits.shape[-1], dtype=np.float32) / weight.sum(-1)
    return mean


def recognise(outline: Outline) -> Nanodet | None:
    """Six outputs, as `is_nanodet` describes them."""
    return Nanodet(outline.input) if is_nanodet(outline) else None
