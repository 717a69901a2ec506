"""YOLOv8 and its successors: one tensor, boxes decoded in the graph, no objectness."""

from __future__ import annotations

import numpy as np

from onnxbin.detection.boxes import from_centres
from onnxbin.detection.detections import Candidates, Float32
from onnxbin.images.outline import Outline
from onnxbin.images.profiles import is_yolov8


class Yolov8:
    """[1, 4 + classes, N]: rows cx, cy, w, h in pixels of the input, then a row of scores a class."""

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        table = outputs[0][0].T
        return Candidates(from_centres(table[:, :4]), np.ascontiguousarray(table[:, 4:]))


def recognise(outline: Outline) -> Yolov8 | None:
    """Only detectors: pose and oriented-box models have such an output too, and say so in their metadata."""
    return Yolov8() if is_yolov8(outline) and outline.metadata.get("task", "detect") == "detect" else None
