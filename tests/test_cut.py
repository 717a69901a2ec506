"""Where networks are compared: before selection, and only in tensors that weights reach."""

import graphs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxbin import OnnxbinError
from onnxbin.cut import compared_tensors
from onnxbin.model import load


def detector(*tail, outputs):
    """A Conv on x, giving c, and what follows."""
    weight = graphs.tensor("w", np.ones((4, 3, 1, 1)))
    index = onnx.numpy_helper.from_array(np.array([2], np.int64), "two")
    anchors = graphs.tensor("anchors", np.ones((1, 4, 1, 1)))
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), *tail]
    return graphs.model(nodes, [weight, index, anchors], outputs=outputs)


def test_plain_outputs_are_compared_themselves():
    assert compared_tensors(graphs.chain([4, 4])) == ["y"]
    decoded = detector(helper.make_node("Mul", ["c", "anchors"], ["y"]), outputs=("y", "c"))
    assert compared_tensors(decoded) == ["y", "c"]


def test_selection_is_cut_off():
    tail = [
        helper.make_node("Sigmoid", ["c"], ["scores"]),
        helper.make_node("TopK", ["scores", "two"], ["best", "where"], axis=1),
        helper.make_node("Mul", ["best", "best"], ["y"]),
    ]
    assert compared_tensors(detector(*tail, outputs=("y",))) == ["scores"]
    assert compared_tensors(detector(*tail, outputs=("y", "c"))) == ["scores", "c"]


def test_integers_are_cut_off():
    tail = [
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Cast", ["r"], ["i"], to=TensorProto.INT64),
        helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
    ]
    assert compared_tensors(detector(*tail, outputs=("y",))) == ["r"]


def test_outputs_without_weights_are_not_compared():
    tail = [helper.make_node("Relu", ["x"], ["y"])]
    assert compared_tensors(detector(*tail, outputs=("y", "c"))) == ["c"]
    with pytest.raises(OnnxbinError, match="no output of the model depends on weights"):
        compared_tensors(detector(*tail, outputs=("y",)))


@pytest.mark.shared
def test_the_real_detectors_are_compared_in_their_outputs(shared):
    for path in sorted((shared / "models").glob("*.onnx")):
        proto = load(path).proto
        assert compared_tensors(proto) == [output.name for output in proto.graph.output]
