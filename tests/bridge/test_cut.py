"""Where distillation looks: the last differentiable tensors of graphs of every kind."""

import numpy as np
import onnx
import pytest
from bridge.onnx_models import DETECTORS, make, random, tensors
from onnx import helper

from onnxbin.bridge import GraphModule, targets
from onnxbin.errors import OnnxbinError

CONV = helper.make_node("Conv", ["x", "w"], ["conv"])
WEIGHTS = {
    "w": random(4, 3, 1, 1),
    "k": np.array([2], np.int64),
    "flat": np.array([1, 4, -1], np.int64),
    "half": np.array(0.5, np.float32),
    "top": np.array([3], np.int64),
    "anchors": random(1, 4, 1, 1),
}


def graph(nodes, outputs):
    return make([CONV, *nodes], {"x": [1, 3, 4, 4]}, outputs, WEIGHTS)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


CASES = {
    "all outputs qualify": (
        [node("Sigmoid", "conv", "y"), node("Relu", "conv", "z")],
        ["z", "y"],
        ["z", "y"],
    ),
    "non-maximum suppression": (
        [
            node("Reshape", "conv flat", "boxes"),
            node("Sigmoid", "boxes", "scores"),
            node("NonMaxSuppression", "boxes scores top half half", "y"),
        ],
        ["y"],
        ["boxes", "scores"],
    ),
    "selection of the best": (
        [
            node("Reshape", "conv flat", "flat_conv"),
            node("Sigmoid", "flat_conv", "scores"),
            node("ReduceMax", "scores", "best", axes=[1]),
            node("TopK", "best k", "values places"),
            node("Gather", "scores places", "y", axis=2),
        ],
        ["values", "y"],
        ["best", "scores"],
    ),
    "class numbers beside scores": ([node("ArgMax", "conv", "label", axis=1)], ["label", "conv"], ["conv"]),
    "a branch": (
        [
            node("ReduceMax", "conv", "most", keepdims=0),
            node("Greater", "most half", "any"),
            node(
                "If",
                "any",
                "y",
                then_branch=helper.make_graph([node("Relu", "conv", "t")], "t", [], []),
                else_branch=helper.make_graph([node("Neg", "conv", "e")], "e", [], []),
            ),
        ],
        ["y"],
        ["conv", "most"],
    ),
    "a mask only chooses": (
        [node("Greater", "conv half", "mask"), node("Where", "mask conv half", "y")],
        ["y"],
        ["y"],
    ),
    "shapes are only measured": (
        [
            node("Shape", "conv", "shape"),
            node("Reshape", "conv shape", "y"),
            node("Expand", "anchors shape", "a"),
        ],
        ["y", "a"],
        ["y"],
    ),
    "an integer output": ([node("Relu", "conv", "r"), node("Cast", "r", "y", to=7)], ["y"], ["r"]),
    "an unknown op": ([node("Decode", "conv", "y", domain="com.example")], ["y"], ["conv"]),
}


@pytest.mark.parametrize(("nodes", "outputs", "expected"), CASES.values(), ids=CASES.keys())
def test_targets(nodes, outputs, expected):
    model = graph(nodes, outputs)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    found = targets(model)
    assert sorted(found) == sorted(expected)
    values = GraphModule(model, found)(tensors({"x": random(1, 3, 4, 4)}))
    assert all(value.requires_grad for value in values.values())


def test_nothing_to_distil():
    with pytest.raises(OnnxbinError, match="no output of the model depends on weights"):
        targets(make([node("Relu", "x", "y")], {"x": [3]}, ["y"]))


@pytest.mark.shared
@pytest.mark.parametrize("name", DETECTORS)
def test_all_outputs_of_the_detectors_qualify(shared, name):
    model = onnx.load(shared / "models" / f"{name}.onnx")
    assert targets(model) == [output.name for output in model.graph.output]
