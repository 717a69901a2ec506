"""Box arithmetic that several families share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from onnxbin.detection.detections import Float32


def from_centres(boxes: Float32) -> Float32:
    """Turn boxes [N, 4] = cx, cy, w, h into x1, y1, x2, y2."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def cells(height: int, width: int) -> Float32:
    """The column and row of each cell of a map, in row order: float32 [height * width, 2]."""
    row, column = np.mgrid[:height, :width]
    return np.stack([column.ravel(), row.ravel()], axis=1).astype(np.float32)


def sigmoid(x: npt.NDArray[np.float32]) -> Float32:
    """1 / (1 + exp(-x)), without overflow."""
    result: Float32 = 0.5 * (1 + np.tanh(0.5 * x))
    return result
