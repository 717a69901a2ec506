"""What stays real in int8: the binary layers and the first convolution stay, and so does what is computed."""

import graphs
import numpy as np
import pytest
from onnx import helper

from onnxbin.binarize import binarize
from onnxbin.int8_rest import is_faster, with_int8_rest
from onnxbin.operator.function import DOMAIN
from onnxbin.surgery import BinaryLayer, with_binary_layers

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def mixed():
    """Five convolutions, the third of them binary, and inputs to calibrate on."""
    proto = graphs.chain([16, 16, 16, 16, 8])
    weight = RNG.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32)
    layer = BinaryLayer(binarize(weight), np.zeros(16, np.float32))
    return with_binary_layers(proto, {"c2": layer}), [
        {"x": RNG.random((1, 3, 16, 16), np.float32)} for _ in range(8)
    ]


def test_it_computes_the_same_to_8_bits(mixed, run):
    model, feeds = mixed
    found = with_int8_rest(model, feeds)
    for feed in feeds:
        expected, output = run(model, feed["x"])[0], run(found, feed["x"])[0]
        assert np.linalg.norm(output - expected) < 0.05 * np.linalg.norm(expected)


def test_the_first_convolution_and_binary_ones_keep_their_weights(mixed):
    model, feeds = mixed
    found = with_int8_rest(model, feeds)
    nodes = {node.name: node for node in found.graph.node if node.name}
    (binary,) = (node for node in model.graph.node if node.domain == DOMAIN)
    (kept,) = (node for node in found.graph.node if node.domain == DOMAIN)
    assert kept.input[1:] == binary.input[1:]
    assert nodes["c0"].input[1:] == ["w0", "b0"]
    assert nodes["c1"].input[1] != "w1"


def test_joins_compute_in_int8_but_before_convolutions_and_before_pools(run):
    """x twice, a convolution, three joins of its output with itself; a MaxPool reads the second."""
    conv = {"pads": [1] * 4}
    proto = graphs.model(
        [
            helper.make_node("Concat", ["x", "x"], ["xx"], "before", axis=1),
            helper.make_node("Conv", ["xx", "w0"], ["c0"], "first", **conv),
            helper.make_node("Concat", ["c0", "c0"], ["j1"], "int8", axis=1),
            helper.make_node("Conv", ["j1", "w1"], ["c1"], "second", **conv),
            helper.make_node("Add", ["c1", "c1"], ["j2"], "pooled"),
            helper.make_node("MaxPool", ["j2"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Conv", ["p", "w2"], ["y"], "third", **conv),
        ],
        [
            graphs.tensor(name, RNG.normal(0, 0.2, (8, channels, 3, 3)))
            for name, channels in (("w0", 6), ("w1", 16), ("w2", 8))
        ],
        outputs=["y"],
        opset=14,
        ir_version=8,
    )
    feeds = [{"x": RNG.random((1, 3, 16, 16), np.float32)} for _ in range(4)]
    found = with_int8_rest(proto, feeds)
    producers = {name: node.op_type for node in found.graph.node for name in node.output}
    nodes = {node.name: node for node in found.graph.node if node.name}
    from_bytes = {name: producers.get(nodes[name].input[0]) == "DequantizeLinear" for name in nodes}
    assert {name: from_bytes[name] for name in ("before", "first", "int8")} == {
        "before": False,
        "first": False,
        "int8": True,
    }
    readers = {name: node.op_type for node in found.graph.node for name in node.input}
    assert readers[nodes["pooled"].output[0]] == "MaxPool"
    expected, output = run(proto, feeds[0]["x"])[0], run(found, feeds[0]["x"])[0]
    assert np.linalg.norm(output - expected) < 0.05 * np.linalg.norm(expected)


def test_a_network_of_a_thousandth_of_the_work_is_faster():
    small, large = graphs.chain([4, 4]), graphs.chain([256, 256, 256])
    feeds = [{"x": RNG.random((1, 3, 16, 16), np.float32)}]
    assert is_faster(small, large, feeds)
    assert not is_faster(large, small, feeds)
