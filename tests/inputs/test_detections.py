"""A whole detector with quantised inputs, on our kernels and in a stock runtime: the same is seen."""

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import onnxbin
from onnxbin.detection import Detector
from onnxbin.detection.matching import Truth, match
from onnxbin.images import find_images, read_image
from onnxbin.model import load

STREET = Path(__file__).parents[2] / "examples" / "street"
IMAGES = 12


@pytest.mark.parametrize("inputs", ["8", "1"])
def test_detections_match(tmp_path, inputs):
    """Of the boxes of either, 99 % are found by the other at IoU 0.9; sums differ in the last bit only."""
    model = shutil.copy(STREET / "street.onnx", tmp_path)
    small = onnxbin.compress(
        model, until_ratio=3, finetune=False, images=STREET / "images", inputs=inputs
    ).path
    stock = onnxruntime.InferenceSession(str(small), providers=["CPUExecutionProvider"])
    fast, plain = (
        Detector(load(small).proto, session=session) for session in (onnxbin.session(small), stock)
    )
    boxes = found = 0
    for path in find_images(STREET / "images")[:IMAGES]:
        pair = [detector(read_image(path)) for detector in (fast, plain)]
        for one, other in (pair, pair[::-1]):
            truth = Truth(other.boxes, other.classes, np.zeros(len(other), np.bool_))
            boxes += len(one)
            found += int((match(one, truth, 0.9) >= 0).sum())
    assert boxes > 4 * IMAGES
    assert found >= 0.99 * boxes
