"""SSD and others that decode boxes in the graph and leave suppression to the user: boxes and scores apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from onnxbin.detection.detections import Candidates, Float32
from onnxbin.images import ImageInput
from onnxbin.images.outline import Outline
from onnxbin.images.profiles import is_ssd_mobilenet


@dataclass(frozen=True)
class BoxesAndScores:
    """In any order: boxes [1, N, 4] or [1, N, 1, 4], as a share of the input's sides, and scores [1, N,
    classes].

    order: of the coordinates. background: column 0 of the scores is "nothing"; classes keep their column's
    number.
    """

    target: ImageInput
    order: Literal["xyxy", "yxyx"]
    background: bool

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        boxes, scores = sorted((output[0] for output in outputs), key=lambda table: table.shape[-1] != 4)
        boxes = (
            boxes.reshape(-1, 4)
            * np.array([self.target.width, self.target.height] * 2, np.float32)[self._axes()]
        )
        scores = scores.copy()
        if self.background:
            scores[:, 0] = 0
        return Candidates(boxes[:, self._axes()], scores)

    def _axes(self) -> list[int]:
        return [1, 0, 3, 2] if self.order == "yxyx" else [0, 1, 2, 3]


def recognise(outline: Outline) -> BoxesAndScores | None:
    """TensorFlow's MobileNet SSD, pytorch-ssd, and the YOLOv4 of pytorch-YOLOv4."""
    # Boxes still encoded look the same; decoding their sizes takes an Exp.
    if len(outline.outputs) != 2 or "Exp" not in outline.operators:
        return None
    if is_ssd_mobilenet(outline):
        return BoxesAndScores(outline.input, "yxyx", background=True)
    shapes = {name: shape[1:] for name, shape in zip(outline.output_names, outline.outputs, strict=True)}
    if set(shapes) == {"scores", "boxes"} and shapes["boxes"] == (3000, 4):
        return BoxesAndScores(outline.input, "xyxy", background=True)
    if set(shapes) == {"boxes", "confs"} and shapes["boxes"][1:] == (1, 4):
        return BoxesAndScores(outline.input, "xyxy", background=False)
    return None
