"""Names that runtimes make of labels, and the layers that they stand for."""

import graphs
import numpy as np
import onnx
import pytest
from onnx import helper

from onnxbin.benchmark.attribution import Attribution, labelled
from onnxbin.layers import inventory
from onnxbin.prepare import prepare


def gated():
    """A convolution (0), multiplied by a gate (4) of pooling (1), convolution (2) and sigmoid (3), by what is
    pooled (5), and by a constant (6, 7)."""
    weights = [graphs.tensor(name, np.ones((4, width, 1, 1))) for name, width in (("w", 3), ("v", 4))]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], "pool"),
        helper.make_node("Conv", ["p", "v"], ["g"], "gate"),
        helper.make_node("Sigmoid", ["g"], ["s"], "sigmoid"),
        helper.make_node("Mul", ["c", "s"], ["gated"], "mul"),
        helper.make_node("Mul", ["c", "p"], ["pooled"], "times pool"),
        helper.make_node("Constant", [], ["two"], "constant", value_float=2.0),
        helper.make_node("Mul", ["c", "two"], ["double"], "times two"),
        helper.make_node("Concat", ["gated", "pooled", "double"], ["y"], "concat", axis=1),
    ]
    return graphs.model(nodes, weights)


@pytest.mark.parametrize(
    ("name", "op", "layer"),
    [
        ("@0@_kernel_time", "Conv", "conv"),
        ("@0@0_nchwc_kernel_time", "Conv", "conv"),
        ("@2@_token_15_kernel_time", "QLinearConv", "gate"),
        ("@3@/Fusion/_kernel_time", "FusedConv", "gate"),  # called after the activation that it swallowed
        ("@3@_kernel_time", "Sigmoid", "gate"),
        ("@7@_kernel_time", "Mul", "conv"),  # by a constant
        ("@4@_kernel_time", "Mul", None),  # behind two convolutions
        ("@5@_kernel_time", "Mul", None),  # behind a convolution and a pooling
        ("@1@_kernel_time", "GlobalAveragePool", None),
        ("@8@_kernel_time", "Concat", None),
        ("ReorderOutput_token_3_kernel_time", "ReorderOutput", None),
    ],
)
def test_layers_of_nodes(name, op, layer):
    ran = {"@0@": "Conv", "@2@": "Conv"}
    assert Attribution(gated()).layers({**ran, name: op})[name] == layer


def test_an_activation_of_a_convolution_without_a_name_is_not_taken_for_the_layer():
    ops = {"@0@": "QLinearConv", "QLinearConv_token_4": "QLinearConv", "@3@": "QLinearSigmoid"}
    assert Attribution(gated()).layers(ops) == {"@0@": "conv", "QLinearConv_token_4": None, "@3@": None}


@pytest.mark.parametrize(("name", "layer"), [("conv", "conv"), ("c", "c"), ("", "b")])
def test_a_layer_is_called_as_it_is_when_its_batch_norm_is_folded(name, layer):
    """Also where exporters call a node what they call its output."""
    weights = [graphs.tensor("w", np.ones((2, 3, 1, 1)))]
    weights += [graphs.tensor(part, np.ones(2)) for part in ("scale", "bias", "mean", "var")]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["b"], "norm"),
        helper.make_node("Relu", ["b"], ["y"], "relu"),
    ]
    proto = graphs.model(nodes, weights)
    (folded,) = inventory(prepare(proto))
    assert Attribution(proto).layers({"@0@": "Conv"}) == {"@0@": layer}
    assert folded.name == layer


def test_labels_are_on_every_node_and_output():
    proto = gated()
    found = labelled(proto, inlined=False)
    onnx.checker.check_model(found, full_check=True)
    assert [node.name for node in found.graph.node] == [f"@{n}@" for n in range(len(proto.graph.node))]
    assert [node.output[0] for node in found.graph.node] == [f"@{n}@0" for n in range(len(proto.graph.node))]
    assert [node.name for node in proto.graph.node][:3] == ["conv", "pool", "gate"]
