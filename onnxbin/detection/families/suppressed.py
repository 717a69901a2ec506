"""Models that end in NonMaxSuppression, or need none: what is left is a short list of boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from onnxbin.detection.detections import Candidates, Float32, Int64
from onnxbin.images.outline import Outline


class Rows:
    """[1, K, 6]: x1, y1, x2, y2 in pixels of the input, score, class. Unused rows have score 0.

    With seven columns, [K, 7] (the export of YOLOv7): image number, box, class, score.
    """

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        table = outputs[0].reshape(-1, outputs[0].shape[-1])
        if table.shape[1] == 7:
            return _candidates(table[:, 1:5], table[:, 6], table[:, 5].astype(np.int64))
        return _candidates(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


@dataclass(frozen=True)
class Lists:
    """Boxes [K, 4], scores [K] and classes [K], with or without a leading axis of 1.

    positions: of the boxes, scores and classes among the outputs. order: of the coordinates. width, height:
    what a coordinate is multiplied by to give pixels of the input.
    """

    positions: tuple[int, ...]
    order: Literal["xyxy", "yxyx"]
    width: float
    height: float

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        boxes, scores, classes = (outputs[position] for position in self.positions)
        boxes = boxes.reshape(-1, 4)[:, [1, 0, 3, 2] if self.order == "yxyx" else [0, 1, 2, 3]]
        boxes = boxes * np.array([self.width, self.height] * 2, np.float32)
        return _candidates(boxes, scores.ravel(), classes.ravel().astype(np.int64))


@dataclass(frozen=True)
class Selected:
    """Boxes [1, N, 4], scores [1, classes, N], and the selection of NonMaxSuppression, [K, 3].

    A row of the selection is image, class, box. positions: of the three among the outputs. The coordinates
    are in the operator's own order, y1, x1, y2, x2, in pixels of the input.
    """

    positions: tuple[int, ...]

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        boxes, scores, selected = (outputs[position] for position in self.positions)
        _, classes, rows = selected.reshape(-1, 3).astype(np.int64).T
        return _candidates(boxes[0, rows][:, [1, 0, 3, 2]], scores[0, classes, rows], classes)


def _candidates(boxes: Float32, scores: Float32, classes: Int64) -> Candidates:
    """A column a class, each row with one score."""
    table = np.zeros((len(scores), int(classes.max(initial=-1)) + 1), np.float32)
    table[np.arange(len(scores)), np.clip(classes, 0, None)] = scores
    return Candidates(boxes, table, suppressed=True)


def recognise(outline: Outline) -> Rows | Lists | Selected | None:
    """By the operator that shortened the list, and by the outputs' names where the shapes do not tell."""
    if not outline.operators & {"NonMaxSuppression", "TopK"}:
        return None
    shapes = outline.outputs
    if len(shapes) == 1 and shapes[0][-1:] in ((6,), (7,)):
        return Rows()
    # TensorFlow and its converters write "detection_boxes:0" or without the number.
    names = [name.split(":")[0] for name in outline.output_names]
    height, width = outline.input.height, outline.input.width
    if {"detection_boxes", "detection_scores", "detection_classes"} <= set(names):
        places = tuple(names.index(f"detection_{part}") for part in ("boxes", "scores", "classes"))
        return Lists(places, "yxyx", width, height)
    if set(names) == {"bboxes", "scores", "labels"}:  # the SSD of the ONNX model zoo
        return Lists(
            (names.index("bboxes"), names.index("scores"), names.index("labels")), "xyxy", width, height
        )
    if set(names) == {"boxes", "scores", "labels"}:  # torchvision
        return Lists((names.index("boxes"), names.index("scores"), names.index("labels")), "xyxy", 1, 1)
    return _recognise_selected(outline)


def _recognise_selected(outline: Outline) -> Selected | None:
    """What the operator reads and what it selects are all outputs (under another name, perhaps)."""
    origins = [_origin(outline, name) for name in outline.output_names]
    for origin in origins:
        node = outline.producer(origin)
        if node is not None and node.op_type == "NonMaxSuppression" and not _by_centres(node):
            wanted = [_origin(outline, node.input[0]), _origin(outline, node.input[1]), origin]
            if set(wanted) <= set(origins):
                return Selected(tuple(origins.index(tensor) for tensor in wanted))
    return None


def _by_centres(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "center_point_box" and attribute.i for attribute in node.attribute)


def _origin(outline: Outline, tensor: str) -> str:
    """The tensor that `tensor` is a copy of."""
    node = outline.producer(tensor)
    while node is not None and node.op_type in ("Identity", "Cast"):
        tensor = node.input[0]
        node = outline.producer(tensor)
    return tensor
