"""Fusion: what becomes part of a binary convolution, what does not, and that outputs stay what they were."""

import graphs
import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from onnxbin.binarize import binarize
from onnxbin.bridge import GraphModule
from onnxbin.fusion import fused, unfused
from onnxbin.operator import DOMAIN, QuantInput, SignInput, session, stock_session
from onnxbin.surgery import BinaryLayer, binary_layers, layer_names, with_binary_layers

QUANTIZERS = {
    "": None,
    "Sign": SignInput(np.float32([0.5]), np.float32([0.1])),
    "Quant": QuantInput(np.float32([0.05]), np.float32([9]), 8),
}
CONSTANTS = {"low": -0.3, "high": 0.4, "three": 3.0}

ACTIVATIONS = {
    "Relu": [("Relu", ["c"], "y", {})],
    "LeakyRelu": [("LeakyRelu", ["c"], "y", {"alpha": 0.2})],
    "LeakyRelu, 0.01": [("LeakyRelu", ["c"], "y", {})],
    "Clip": [("Clip", ["c", "low", "high"], "y", {})],
    "Clip, below": [("Clip", ["c", "low"], "y", {})],
    "Clip, above": [("Clip", ["c", "", "high"], "y", {})],
    "Clip, nowhere": [("Clip", ["c"], "y", {})],
    "HardSwish": [("HardSwish", ["c"], "y", {})],
    "HardSwish, in two": [
        ("HardSigmoid", ["c"], "s", {"alpha": 1 / 6}),
        ("Mul", ["s", "c"], "y", {}),
    ],
    "Silu": [("Sigmoid", ["c"], "s", {}), ("Mul", ["c", "s"], "y", {})],
}
OTHERS = {
    "another activation": [("Tanh", ["c"], "y", {})],
    "a second reader": [("Relu", ["c"], "r", {}), ("Add", ["r", "c"], "y", {})],
    "an output": [("Relu", ["c"], "y", {})],
    "bounds that are computed": [
        ("ReduceMax", ["x"], "m", {"keepdims": 0}),
        ("Clip", ["c", "", "m"], "y", {}),
    ],
    "bounds the wrong way round": [("Clip", ["c", "high", "low"], "y", {})],
    "an infinite slope": [("LeakyRelu", ["c"], "y", {"alpha": float("inf")})],
    "another slope": [("HardSigmoid", ["c"], "s", {}), ("Mul", ["s", "c"], "y", {})],
    "a gate that others read": [
        ("Sigmoid", ["c"], "s", {}),
        ("Mul", ["c", "s"], "p", {}),
        ("Add", ["p", "s"], "y", {}),
    ],
    "a gate of something else": [
        ("Sigmoid", ["c"], "s", {}),
        ("Mul", ["s", "three"], "p", {}),
        ("Add", ["p", "c"], "y", {}),
    ],
    "an op of someone else's": [("Relu", ["c"], "y", {"domain": "theirs"})],
}


def followed_by(nodes, quantizer=None, outputs=("y",), name="conv"):
    """A binary convolution, of x to c, and these nodes."""
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)
    made = [helper.make_node(op, inputs, [output], **fields) for op, inputs, output, fields in nodes]
    proto = graphs.model(
        [helper.make_node("Conv", ["x", "w", "b"], ["c"], name, pads=[1] * 4), *made],
        [graphs.tensor("w", weight), graphs.tensor("b", rng.normal(0, 0.1, 4))]
        + [graphs.tensor(key, value) for key, value in CONSTANTS.items() if used(key, nodes)],
        outputs=outputs,
        opset=14,
        ir_version=8,
    )
    if any(node.domain for node in made):
        proto.opset_import.append(helper.make_opsetid("theirs", 1))
    layer = BinaryLayer(binarize(weight), np.zeros(4, np.float32), quantizer)
    return with_binary_layers(proto, {name or "c": layer})


def used(name, nodes):
    return any(name in inputs for _, inputs, _, _ in nodes)


def image():
    return np.random.default_rng(4).normal(size=(1, 3, 16, 16)).astype(np.float32)


@pytest.mark.parametrize(
    ("quantizer", "activation"),
    [("", name) for name in ACTIVATIONS] + [("Sign", "LeakyRelu"), ("Quant", "Silu")],
)
def test_activations_become_part_of_the_node(quantizer, activation):
    before = followed_by(ACTIVATIONS[activation], QUANTIZERS[quantizer])
    after = fused(before)
    onnx.checker.check_model(after, full_check=True)
    (node,) = after.graph.node
    assert node.op_type == f"BinaryConv{quantizer}{activation.split(',')[0]}"
    assert layer_names(after) == {"y": "conv"}
    assert len(after.graph.initializer) == len(node.input) - 1
    assert [node.op_type for node in before.graph.node][1:] == [op for op, *_ in ACTIVATIONS[activation]]

    feeds = {"x": image()}
    plain = followed_by([], QUANTIZERS[quantizer], outputs=["c"])
    largest = np.abs(stock_session(plain).run(None, feeds)[0]).max()
    want = stock_session(before).run(None, feeds)[0]
    ways = {
        "function": stock_session(after).run(None, feeds)[0],
        "kernel": session(after.SerializeToString()).run(None, feeds)[0],
        "unfused": stock_session(unfused(after)).run(None, feeds)[0],
        "PyTorch": GraphModule(after)({"x": torch.from_numpy(image())})["y"].detach().numpy(),
    }
    for way, found in ways.items():
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-5 * largest, err_msg=way)


@pytest.mark.parametrize("reason", OTHERS)
def test_nothing_else_does(reason):
    before = followed_by(OTHERS[reason], outputs=["y", "c"] if reason == "an output" else ["y"])
    assert fused(before) == before


def test_a_branch_that_reads_the_output_keeps_it():
    inner = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["i"])], "inner", [], [helper.make_empty_tensor_value_info("i")]
    )
    branch = ("If", ["flag"], "z", {"then_branch": inner, "else_branch": inner})
    before = followed_by([("Relu", ["c"], "y", {}), branch], outputs=["y", "z"])
    before.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "flag"))
    assert fused(before) == before


def test_fused_nodes_stay_as_they_are():
    once = fused(followed_by(ACTIVATIONS["Relu"] + [("Relu", ["y"], "z", {})], outputs=["z"]))
    assert [node.op_type for node in once.graph.node] == ["BinaryConvRelu", "Relu"]
    assert fused(once) == once


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_layers_are_read_back(quantizer):
    before = followed_by(ACTIVATIONS["Silu"], QUANTIZERS[quantizer], name="")
    names = {node.output[0]: node.name for node in unfused(fused(before)).graph.node}
    assert "c" in names.values()  # by its output's name the unnamed convolution goes on to be called
    for model in (fused(before), unfused(fused(before))):
        (layer,) = binary_layers(model).values()
        assert list(binary_layers(model)) == ["c"]
        assert np.array_equal(layer.weight.signs, binary_layers(before)["c"].weight.signs)
        assert type(layer.quantizer) is type(QUANTIZERS[quantizer])


def test_what_is_not_fused_is_not_touched():
    proto = graphs.chain([4, 5])
    assert unfused(proto) is proto
    assert fused(proto) == proto
    assert not any(function.domain == DOMAIN for function in fused(proto).functions)
