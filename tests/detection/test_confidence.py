"""Confidence in each element, against scores that are put there, and against each family's own formula."""

import numpy as np
import onnx
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
    scores = np.random.default_rng(0).random((3, 21)).astype(np.float32)
    output = np.concatenate([np.full((4, 21), 8, np.float32), scores])[None]
    (found,) = confidence({"y": (1, 4 + 3, 21)}, 32, "yolov8")([output])
    np.testing.assert_array_equal(found.confidence, np.broadcast_to(scores.max(0), (1, 7, 21)))
    np.testing.assert_array_equal(found.boxes[0].all(1), [True] * 4 + [False] * 3)
    np.testing.assert_array_equal(found.boxes[0].any(1), [True] * 4 + [False] * 3)


def test_rows_and_columns_of_a_list_may_change_places():
    table = np.random.default_rng(0).random((1, 30, 5 + 3)).astype(np.float32)
    (found,) = confidence({"y": table.shape}, 32, "yolov5")([table])
    scores = table[..., 4] * table[..., 5:].max(-1)
    np.testing.assert_array_equal(found.confidence, np.broadcast_to(scores[..., None], table.shape))
    np.testing.assert_array_equal(found.boxes, np.broadcast_to(np.arange(8) < 4, table.shape))


def test_the_channels_of_each_anchor_have_that_of_their_own():
    shapes = {"coarse": (1, 3 * 7, 2, 2), "fine": (1, 3 * 7, 4, 4)}
    rng = np.random.default_rng(0)
    outputs = [rng.standard_normal(shape).astype(np.float32) for shape in shapes.values()]
    found = confidence(shapes, 64, "yolov4-tiny")(outputs)
    for output, certainty in zip(outputs, found, strict=True):
        logits = output.reshape(3, 7, *output.shape[2:]).astype(np.float64)
        score = (1 / (1 + np.exp(-logits[:, 4])) / (1 + np.exp(-logits[:, 5:].max(1))))[:, None]
        np.testing.assert_allclose(
            certainty.confidence.reshape(logits.shape), np.broadcast_to(score, logits.shape), rtol=1e-5
        )
        roles = certainty.boxes.reshape(logits.shape)
        assert roles[:, :4].all()
        assert not roles[:, 4:].any()


def test_boxes_and_scores_may_be_outputs_of_their_own():
    scores = np.random.default_rng(0).random((1, 9, 4)).astype(np.float32)
    boxes = np.full((1, 9, 4), 0.5, np.float32)
    at, of = confidence({"boxes": boxes.shape, "scores": scores.shape}, 32, "ssd")([boxes, scores])
    # The first class of this family is "nothing": it decides nothing.
    best = scores[..., 1:].max(-1, keepdims=True)
    np.testing.assert_array_equal(at.confidence, np.broadcast_to(best, (1, 9, 4)))
    np.testing.assert_array_equal(of.confidence[..., 1:], np.broadcast_to(best, (1, 9, 3)))
    np.testing.assert_array_equal(of.confidence[..., 0], 0)
    assert at.boxes.all()
    assert not of.boxes.any()


def test_outputs_that_lie_otherwise_in_memory_are_read_the_same():
    shape = (1, 3 * 7, 2, 2)
    output = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    channels_last = np.ascontiguousarray(output.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    shapes = {"coarse": shape}
    expected, found = (confidence(shapes, 64, "yolov4-tiny")([o])[0] for o in (output, channels_last))
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_where_the_model_selects_its_boxes_no_element_stands_for_one():
    (found,) = confidence({"y": (1, 5, 6)}, 32, "rows")([np.full((1, 5, 6), 0.5, np.float32)])
    assert not found.confidence.any()
    assert not found.boxes.any()


def test_what_is_no_number_is_no_object():
    (found,) = confidence({"y": (1, 6, 10)}, 32, "yolov8")([np.full((1, 6, 10), np.nan, np.float32)])
    np.testing.assert_array_equal(found.confidence, np.zeros((1, 6, 10)))
    onnx.checker.check_model(silent({"y": (1, 6, 10)}, 32))
