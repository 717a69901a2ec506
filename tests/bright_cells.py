"""A small detector of bright cells, whose layers and file are named by somebody hostile; images for it."""

import json

import graphs
import numpy as np
import onnx
from onnx import helper
from PIL import Image

SIZE, CELL = 64, 8
COARSE = 4 * 4 + 2 * 2
"""Cells at strides 16 and 32, which see nothing."""

HOSTILE = "<script>alert(1)</script>$x_1$"
FILE = 'a"><img src=x onerror=alert(2)>.onnx'


def detector():
    """YOLOv8 layout, one class: a 16x16 box around each cell, its score the mean brightness of the cell.

    Three more convolutions, of which two can become binary, add next to nothing to the scores.
    """
    rng = np.random.default_rng(0)
    cells = SIZE // CELL
    centres = (np.arange(cells) + 0.5) * CELL
    boxes = np.zeros((1, 4, cells**2 + COARSE))
    boxes[0, :2, : cells**2] = np.tile(centres, cells), np.repeat(centres, cells)
    boxes[0, 2:, : cells**2] = 16
    constants = [
        graphs.tensor("mean", np.full((1, 3, CELL, CELL), 1 / (3 * CELL**2))),
        graphs.tensor("boxes", boxes),
        graphs.tensor("nothing", np.zeros((1, 1, COARSE))),
        onnx.numpy_helper.from_array(np.array([1, 1, -1], np.int64), "flat"),
        graphs.tensor("w0", rng.normal(0, 0.1, (64, 3, CELL, CELL))),
        graphs.tensor("w1", rng.normal(0, 0.1, (64, 64, 3, 3))),
        graphs.tensor("w2", rng.normal(0, 0.1, (64, 64, 3, 3))),
        graphs.tensor("w3", rng.normal(0, 1e-6, (1, 64, 1, 1))),
    ]
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "mean"], ["m"], "brightness", strides=[CELL, CELL]),
        helper.make_node("Conv", ["x", "w0"], ["t0"], "stem", strides=[CELL, CELL]),
        helper.make_node("Conv", ["t0", "w1"], ["t1"], "\N{CJK UNIFIED IDEOGRAPH-5C42}.1", **same),
        helper.make_node("Relu", ["t1"], ["r1"], "relu"),
        helper.make_node("Conv", ["r1", "w2"], ["t2"], HOSTILE, **same),
        helper.make_node("Conv", ["t2", "w3"], ["t3"], "head"),
        helper.make_node("Add", ["m", "t3"], ["s"], "add"),
        helper.make_node("Reshape", ["s", "flat"], ["fine"], "reshape"),
        helper.make_node("Concat", ["fine", "nothing"], ["scores"], "all", axis=2),
        helper.make_node("Concat", ["boxes", "scores"], ["y"], "concat", axis=1),
    ]
    proto = graphs.model(nodes, constants, shape=(1, 3, SIZE, SIZE))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, [1, 5, cells**2 + COARSE]))
    # What an exporter records of a YOLOv8, so that nobody has to say it.
    helper.set_model_props(proto, {"author": "Ultralytics", "task": "detect", "names": "{0: 'person'}"})
    return proto


def write_images(folder, count=6):
    """Images with one bright cell each, and the labels of what the detector finds there."""
    folder.mkdir()
    images, annotations = [], []
    for i in range(count):
        x, y = CELL * (1 + i), CELL * (6 - i)
        pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
        pixels[y : y + CELL, x : x + CELL] = 255
        Image.fromarray(pixels).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": SIZE, "height": SIZE})
        box = [x - 4, y - 4, 16, 16]
        annotations.append({"id": i, "image_id": i, "category_id": 1, "bbox": box, "area": 256})
    labels = folder / "labels.json"
    category = {"id": 1, "name": "person"}
    labels.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return labels
