"""Confidence at each place, against the raw outputs of networks that say where they see something."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxbin.detection import Confidence, Detector
from onnxbin.images import Preprocessing


def silent(shapes, size):
    """A detector of constant outputs, that are added to nothing of the image."""
    nodes, initializers = [], []
    for name, shape in shapes.items():
        initializers.append(numpy_helper.from_array(np.zeros(shape, np.float32), f"{name}_value"))
        nodes.append(helper.make_node("Identity", [f"{name}_value"], [name]))
    graph = helper.make_graph(
        nodes,
        "silent",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def confidence(shapes, size, family):
    return Confidence(Detector(silent(shapes, size), family=family, preprocessing=Preprocessing()))


def test_a_list_has_the_best_score_of_each_candidate():
    shape = (1, 4 + 3, 21)
    scores = np.random.default_rng(0).random((3, 21)).astype(np.float32)
    output = np.concatenate([np.full((4, 21), 8, np.float32), scores])[None]
    (found,) = confidence({"y": shape}, 32, "yolov8")([output])
    assert found.shape == (1, 1, 21)
    np.testing.assert_array_equal(found[0, 0], scores.max(0))


def test_a_map_has_it_where_the_middle_of_the_box_is():
    shapes = {"coarse": (1, 3 * 7, 2, 2), "fine": (1, 3 * 7, 4, 4)}
    outputs = [np.full(shape, -20, np.float32) for shape in shapes.values()]
    for output in outputs:  # middles of cells, anchors as they are
        output.reshape(3, 7, -1)[:, :4] = 0
    outputs[1].reshape(3, 7, 4, 4)[1, 4:6, 2, 3] = [20, 0]  # an object; of the first class, perhaps
    coarse, fine = confidence(shapes, 64, "yolov4-tiny")(outputs)
    assert (coarse.shape, fine.shape) == ((1, 1, 2, 2), (1, 1, 4, 4))
    assert fine[0, 0, 2, 3] == pytest.approx(0.5)
    assert coarse[0, 0, 1, 1] == pytest.approx(0.5)
    assert fine.sum() == pytest.approx(0.5, abs=1e-6)
    assert coarse.sum() == pytest.approx(0.5, abs=1e-6)


def test_what_is_no_number_is_no_object():
    (found,) = confidence({"y": (1, 6, 10)}, 32, "yolov8")([np.full((1, 6, 10), np.nan, np.float32)])
    np.testing.assert_array_equal(found, np.zeros((1, 1, 10)))
    onnx.checker.check_model(silent({"y": (1, 6, 10)}, 32))
