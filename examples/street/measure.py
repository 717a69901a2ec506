"""How well a street detector does on scenes that no detector was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from scenes import HELD_OUT, Picture, render

import onnxbin
from onnxbin.detection.detections import Detections
from onnxbin.detection.detector import Detector
from onnxbin.detection.matching import Truth, match_all
from onnxbin.detection.metrics import average_precision


def held_out(count: int) -> list[Picture]:
    """The first `count` held-out scenes, always the same."""
    return [render(HELD_OUT + index) for index in range(count)]


def detect(model: Path, pictures: list[Picture]) -> list[Detections]:
    """What the model finds in each picture, with the operator library where the model needs it."""
    detector = Detector(onnx.load(model), session=onnxbin.session(model))
    return [detector(picture.image) for picture in pictures]


def person_ap(found: list[Detections], pictures: list[Picture]) -> float:
    """Average precision at IoU 0.5, 0 to 1, of what was found in the pictures."""
    return average_precision(match_all(found, [_truth(picture) for picture in pictures], class_index=0))


def _truth(picture: Picture) -> Truth:
    corners = np.concatenate([picture.boxes[:, :2], picture.boxes[:, :2] + picture.boxes[:, 2:]], axis=1)
    count = len(corners)
    return Truth(corners, np.zeros(count, np.int64), np.zeros(count, np.bool_))
