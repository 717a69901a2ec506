"""int8 by ONNX Runtime's quantizer: close to the float model, and no traces left."""

import collections
import tempfile

import graphs
import numpy as np
import onnx
import pytest
from onnx import helper

from onnxbin.errors import OnnxbinError
from onnxbin.prepare import prepare
from onnxbin.static_int8 import decoding, with_static_int8

RNG = np.random.default_rng(0)


def feeds(count):
    return [{"x": RNG.random((1, 3, 16, 16), np.float32)} for _ in range(count)]


def with_tail(proto):
    """The model, its output decoded: y -> exp(y) * 2."""
    nodes = proto.graph.node
    nodes[-1].output[0] = "map"
    nodes.append(helper.make_node("Exp", ["map"], ["e"], "exp"))
    nodes.append(helper.make_node("Mul", ["e", "two"], ["y"], "mul"))
    proto.graph.initializer.append(graphs.tensor("two", 2.0))
    return proto


@pytest.mark.parametrize("opset", [11, 13])
def test_the_quantized_model_computes_the_same_to_8_bits(run, opset):
    original = graphs.chain([16, 16, 8], opset=opset)
    small = with_static_int8(prepare(original), feeds(8))
    for feed in feeds(3):
        expected, found = run(original, feed["x"])[0], run(small, feed["x"])[0]
        assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)


def test_weights_are_signed_and_per_channel_activations_unsigned():
    graph = with_static_int8(graphs.chain([16, 16, 8]), feeds(2)).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = {output: node for node in graph.node for output in node.output}
    for conv in (node for node in graph.node if node.op_type == "Conv"):
        activation, weight = (nodes[name] for name in conv.input[:2])
        assert {activation.op_type, weight.op_type} == {"DequantizeLinear"}
        assert stored[activation.input[2]].data_type == onnx.TensorProto.UINT8
        assert stored[weight.input[0]].data_type == onnx.TensorProto.INT8
        assert list(stored[weight.input[1]].dims) == [stored[weight.input[0]].dims[0]]


def test_decoding_stays_float():
    proto = with_tail(graphs.chain([16, 8]))
    assert sorted(decoding(proto)) == ["exp", "mul"]
    graph = with_static_int8(proto, feeds(2)).graph
    producers = {output: node.op_type for node in graph.node for output in node.output}
    (mul,) = (node for node in graph.node if node.op_type == "Mul")
    assert producers[mul.input[0]] == "Exp"
    assert graph.output[0].name == mul.output[0]


def test_it_is_silent_and_leaves_nothing_behind(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with_static_int8(graphs.chain([16, 8]), feeds(2))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_what_cannot_be_quantized_is_said_in_one_line():
    with pytest.raises(OnnxbinError, match="cannot quantize the model to int8") as caught:
        with_static_int8(graphs.chain([16, 8]), [{"nothing": np.zeros(1)}])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.shared
def test_decoding_of_yolov8_begins_behind_its_learned_convolutions(shared):
    proto = onnx.load(shared / "models" / "yolov8n_coco.onnx")
    names = set(decoding(proto))
    types = collections.Counter(node.op_type for node in proto.graph.node if node.name in names)
    assert types["Conv"] == 1  # the expectation over box distances: its weights are 0, 1, 2, ...
    assert types["Softmax"] == 1
    # The activations (x * sigmoid(x)) belong to the network: 57 in all; one sigmoid is the scores'.
    assert types["Sigmoid"] == 1
