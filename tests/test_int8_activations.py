"""Activations between int8 convolutions: which become nodes of bytes, and what is computed then."""

import graphs
import numpy as np
import onnx
import pytest
from onnx import helper

from onnxbin.bridge import GraphModule
from onnxbin.exchange.inline import inlined
from onnxbin.int8_activations import with_byte_activations, with_whole_activations
from onnxbin.operator import session, stock_session
from onnxbin.operator.qlinear import DOMAIN, OPS
from onnxbin.static_int8 import with_static_int8

RNG = np.random.default_rng(0)
TYPES = ("Conv", *OPS.values())

ACTIVATIONS = {
    "LeakyRelu": [("LeakyRelu", ["c"], "a", {"alpha": 0.2})],
    "HardSwish": [("HardSwish", ["c"], "a", {})],
    "HardSwish, in two": [
        ("HardSigmoid", ["c"], "s", {"alpha": 1 / 6}),
        ("Mul", ["s", "c"], "a", {}),
    ],
    "Silu": [("Sigmoid", ["c"], "s", {}), ("Mul", ["c", "s"], "a", {})],
}
OTHERS = {
    "what the runtime takes into convolutions": [("Relu", ["c"], "a", {})],
    "what is no activation of ours": [("Tanh", ["c"], "a", {})],
    "a second reader": [("LeakyRelu", ["c"], "r", {}), ("Add", ["r", "c"], "a", {})],
}


def between(nodes):
    """Two convolutions, of x to c and of a to y, and these nodes from c to a."""
    made = [helper.make_node(op, inputs, [output], **fields) for op, inputs, output, fields in nodes]
    return graphs.model(
        [
            helper.make_node("Conv", ["x", "w0", "b0"], ["c"], "first", pads=[1] * 4),
            *made,
            helper.make_node("Conv", ["a", "w1", "b1"], ["y"], "last", pads=[1] * 4),
        ],
        [
            graphs.tensor("w0", RNG.normal(0, 0.3, (8, 3, 3, 3))),
            graphs.tensor("b0", RNG.normal(0, 0.1, 8)),
            graphs.tensor("w1", RNG.normal(0, 0.2, (4, 8, 3, 3))),
            graphs.tensor("b1", RNG.normal(0, 0.1, 4)),
        ],
        outputs=["y"],
        opset=14,
        ir_version=8,
    )


def feeds(count=8):
    return [{"x": RNG.normal(size=(1, 3, 16, 16)).astype(np.float32)} for _ in range(count)]


def quantized(proto, calibration, ops=TYPES, keep=()):
    return with_byte_activations(
        with_static_int8(with_whole_activations(proto), calibration, ops=ops, keep=keep)
    )


def of_bytes(model):
    return [node.op_type for node in model.graph.node if node.domain == DOMAIN]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_become_nodes_of_bytes(activation):
    proto, calibration = between(ACTIVATIONS[activation]), feeds()
    model = quantized(proto, calibration)
    onnx.checker.check_model(model, full_check=True)
    assert of_bytes(model) == [f"QLinear{activation.split(',')[0]}"]
    assert {function.domain for function in model.functions} == {DOMAIN}
    # Nothing is left of the passes over floats: bytes go in and out of what is between the convolutions.
    producers = {name: node for node in model.graph.node for name in node.output}
    (node,) = (node for node in model.graph.node if node.domain == DOMAIN)
    assert producers[node.input[0]].op_type == "QuantizeLinear"
    (reader,) = (other for other in model.graph.node if node.output[0] in other.input)
    assert reader.op_type == "DequantizeLinear"

    for feed in calibration:
        want = stock_session(proto).run(None, feed)[0]
        ways = {
            "kernel": session(model.SerializeToString()).run(None, feed)[0],
            "function": stock_session(model).run(None, feed)[0],
            "inlined": stock_session(inlined(model)).run(None, feed)[0],
        }
        for way, found in ways.items():
            assert np.linalg.norm(found - want) < 0.03 * np.linalg.norm(want), way


def test_pytorch_runs_them():
    import torch

    model, (feed,) = quantized(between(ACTIVATIONS["Silu"]), feeds()), feeds(1)
    want = stock_session(model).run(None, feed)[0]
    found = GraphModule(model)({"x": torch.from_numpy(feed["x"])})["y"].detach().numpy()
    np.testing.assert_allclose(found, want, atol=0.02 * np.abs(want).max())


@pytest.mark.parametrize("reason", OTHERS)
def test_nothing_else_does(reason):
    proto = between(OTHERS[reason])
    assert with_whole_activations(proto) == proto
    assert not of_bytes(quantized(proto, feeds()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("keep", [["first"], ["last"]])
def test_beside_floats_they_stay_what_they_were(activation, keep):
    """Where only convolutions are quantized, and one of the two around an activation is not."""
    proto, calibration = between(ACTIVATIONS[activation]), feeds()
    model = quantized(proto, calibration, ops=["Conv"], keep=keep)
    onnx.checker.check_model(model, full_check=True)
    assert not of_bytes(model)
    assert not model.functions
    types = [node.op_type for node in model.graph.node]
    for op, *_ in ACTIVATIONS[activation]:
        assert op in types or op == "HardSwish"
    want = stock_session(proto).run(None, calibration[0])[0]
    found = stock_session(model).run(None, calibration[0])[0]
    assert np.linalg.norm(found - want) < 0.03 * np.linalg.norm(want)


def test_an_output_of_the_model_stays_float():
    proto = between(ACTIVATIONS["LeakyRelu"])
    proto.graph.output.append(helper.make_empty_tensor_value_info("a"))
    model = quantized(proto, feeds())
    found = session(model.SerializeToString()).run(None, feeds(1)[0])
    assert [output.dtype for output in found] == [np.float32, np.float32]
