"""YOLOv5, YOLOv7 and their kin: one tensor, boxes decoded in the graph, with objectness."""

from __future__ import annotations

from onnxbin.detection.boxes import from_centres
from onnxbin.detection.detections import Candidates, Float32
from onnxbin.images.outline import Outline
from onnxbin.images.profiles import is_yolox


class Yolov5:
    """[1, N, 5 + classes]: cx, cy, w, h in pixels of the input, objectness, class scores."""

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        table = outputs[0][0]
        return Candidates(from_centres(table[:, :4]), table[:, 4:5] * table[:, 5:])


def recognise(outline: Outline) -> Yolov5 | None:
    """Three anchors a cell of strides 8, 16, 32 (and 64), or a YOLOX that decodes its boxes in the graph."""
    if len(outline.outputs) != 1 or len(outline.outputs[0]) != 3 or outline.outputs[0][2] <= 5:
        return None
    if is_yolox(outline):
        # An Exp is what decodes widths and heights; the network itself has none.
        return Yolov5() if "Exp" in outline.operators else None
    coarse = (outline.input.height // 64) * (outline.input.width // 64)
    fine = sum(outline.cells())
    return Yolov5() if outline.outputs[0][1] in (3 * fine, 3 * (fine + coarse)) else None
