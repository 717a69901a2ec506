"""YOLOv5, YOLOv7 and their kin: one tensor, boxes decoded in the graph, with objectness."""

from __future__ import annotations

from onnxbin.detection.boxes import from_centres
from onnxbin.detection.detections import Candidates, Float32
from onnxbin.images.outline import Outline
from onnxbin.images.profiles import is_yolov5, is_yolox


class Yolov5:
    """[1, N, 5 + classes]: cx, cy, w, h in pixels of the input, objectness, class scores."""

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        table = outputs[0][0]
        return Candidates(from_centres(table[:, :4]), table[:, 4:5] * table[:, 5:])


def recognise(outline: Outline) -> Yolov5 | None:
    """YOLOv5 and its kin, or a YOLOX that decodes its boxes in the graph."""
    # An Exp is what decodes widths and heights there; the network itself has none.
    decoded = is_yolox(outline) and "Exp" in outline.operators
    return Yolov5() if decoded or is_yolov5(outline) else None
