"""SSD and others that decode boxes in the graph and leave suppression to the user: boxes and scores apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from onnxbin.detection.detections import Candidates, Float32
from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageInput
from onnxbin.images.outline import Outline
from onnxbin.images.profiles import is_ssd_mobilenet

Order = Literal["xyxy", "yxyx"]


@dataclass(frozen=True)
class BoxesAndScores:
    """Boxes [1, N, 4] or [1, N, 1, 4], as a share of the input's sides, and scores [1, N, classes].

    boxes_at: which of the two outputs the boxes are. order: of their coordinates. background: column 0 of the
    scores is "nothing"; the other classes keep the number of their column.
    """

    target: ImageInput
    boxes_at: int
    order: Order
    background: bool

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        boxes, scores = outputs[self.boxes_at][0].reshape(-1, 4), outputs[1 - self.boxes_at][0].copy()
        if self.order == "yxyx":
            boxes = boxes[:, [1, 0, 3, 2]]
        if self.background:
            scores[:, 0] = 0
        return Candidates(boxes * np.array([self.target.width, self.target.height] * 2, np.float32), scores)


def of_outline(outline: Outline, order: Order, background: bool = True) -> BoxesAndScores:
    """The decoder for a model. Its boxes are the output whose last axis is 4; of two, the one called boxes.

    Raises OnnxbinError where there is none.
    """
    fours = [index for index, shape in enumerate(outline.outputs) if shape[-1:] == (4,)]
    fours.sort(key=lambda index: "box" not in outline.output_names[index])
    if len(outline.outputs) != 2 or not fours:
        raise OnnxbinError(
            f"an SSD has two outputs, boxes [1, N, 4] and scores; here they are {outline.outputs}"
        )
    return BoxesAndScores(outline.input, fours[0], order, background)


def recognise(outline: Outline) -> BoxesAndScores | None:
    """TensorFlow's MobileNet SSD, pytorch-ssd, and the YOLOv4 of pytorch-YOLOv4."""
    # Boxes still encoded look the same; decoding their sizes takes an Exp.
    if len(outline.outputs) != 2 or "Exp" not in outline.operators:
        return None
    if is_ssd_mobilenet(outline):
        return of_outline(outline, "yxyx")
    shapes = {name: shape[1:] for name, shape in zip(outline.output_names, outline.outputs, strict=True)}
    if set(shapes) == {"scores", "boxes"} and shapes["boxes"] == (3000, 4):
        return of_outline(outline, "xyxy")
    if set(shapes) == {"boxes", "confs"} and shapes["boxes"][1:] == (1, 4):
        return of_outline(outline, "xyxy", background=False)
    return None
