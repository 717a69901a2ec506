"""Networks trained binary elsewhere give the same outputs here as in the executor they were made for."""

import graphs
import numpy as np
import onnx
import onnxruntime
import pytest
from exchange import qonnx_reference as qonnx
from onnx import helper

from onnxbin import OnnxbinError, session
from onnxbin.exchange import import_binary
from onnxbin.surgery import binary_layers


def kernel(proto, x):
    """The outputs with our kernels."""
    runtime = session(proto.SerializeToString())
    return runtime.run(None, {runtime.get_inputs()[0].name: x})


def ops(layers):
    return [layer.op for layer in layers]


def trained_binary(domain=qonnx.DOMAIN, opset=13):
    """As Brevitas exports: an 8-bit first layer, then bipolar weights behind bipolar and 4-bit inputs."""
    net = qonnx.Network(domain=domain)
    net.last = net.quant(net.last, 0.02, 0, 8)
    net.conv(16, net.quant(net.weight(16), 0.01, 0, 8, narrow=1))
    net.norm()
    net.last = net.bipolar(net.last, 0.25)
    net.conv(24, net.bipolar(net.weight(24), 0.1), strides=[2, 2])
    net.norm()
    net.last = net.bipolar(net.last, 1)
    scales = net.rng.uniform(0.1, 1, (32, 1, 1, 1))
    net.conv(32, net.bipolar(net.weight(32, group=4), scales), bias=True, group=4)
    net.last = net.node("Relu", net.last)
    net.last = net.quant(net.last, 0.3, 0, 4, signed=0)
    net.conv(8, net.quant(net.weight(8), 0.5, 0, 1, narrow=1))
    return net.model(opset)


@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "onnx.brevitas"])
@pytest.mark.parametrize("opset", [9, 11, 13, 17])
def test_equal_to_the_executor_of_qonnx(monkeypatch, run, domain, opset):
    proto = trained_binary(domain, opset)
    x = qonnx.image()
    expected = qonnx.execute(monkeypatch, proto, x)
    model, layers = import_binary(proto)
    assert ops(layers) == [None, "BinaryConvSign", "BinaryConvSign", "BinaryConv"]
    assert layers[0].reason == "real weights"
    assert not any(node.domain == domain for node in model.graph.node)
    for found in (run(model, x)[0], kernel(model, x)[0]):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "mode", ["ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]
)
@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize(
    ("signed", "narrow", "bits"), [(1, 0, 3), (1, 1, 4), (0, 0, 2), (0, 1, 4), (1, 1, 1)]
)
def test_every_quantiser_of_qonnx(monkeypatch, run, mode, zero, signed, narrow, bits):
    net = qonnx.Network()
    net.last = net.quant(net.last, 0.5, zero, bits, signed=signed, narrow=narrow, rounding_mode=mode)
    net.conv(8, net.bipolar(net.weight(8), 0.1))
    proto = net.model()
    # Halves, so that the modes differ.
    x = np.round(4 * qonnx.image()).astype(np.float32) / 4
    expected = qonnx.execute(monkeypatch, proto, x)
    model, layers = import_binary(proto)
    binary_input = bits == 1 and zero == 0
    assert ops(layers) == ["BinaryConvSign" if binary_input else "BinaryConv"]
    np.testing.assert_allclose(run(model, x)[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def signed_weight(net, outputs):
    """Floats that are +a and -a in each channel."""
    signs = np.where(net.rng.normal(size=(outputs, net.channels, 3, 3)) >= 0, 1, -1)
    return net.constant(signs * net.rng.uniform(0.1, 1, (outputs, 1, 1, 1)))


def where(net, x, threshold=0.0, step=0.5):
    positive = net.node("GreaterOrEqual", x, net.constant(threshold))
    return net.node("Where", positive, net.constant(step), net.constant(-step))


def cast(net, x):
    positive = net.node("Cast", net.node("GreaterOrEqual", x, net.constant(0.0)), to=onnx.TensorProto.FLOAT)
    return net.node("Sub", net.node("Mul", net.constant(2.0), positive), net.constant(1.0))


def cast_and_add(net, x):
    positive = net.node("Cast", net.node("GreaterOrEqual", x, net.constant(0.25)), to=onnx.TensorProto.FLOAT)
    return net.node("Add", net.node("Mul", positive, net.constant(3.0)), net.constant(-1.5))


def larq(net, x):
    return net.node("Sign", net.node("Add", net.node("Sign", x), net.constant(0.1)))


def sign(net, x):
    return net.node("Sign", x)


def three_values(net, x):
    positive = net.node("GreaterOrEqual", x, net.constant(0.0))
    return net.node("Where", positive, net.constant(0.5), net.constant(-0.25))


PATTERNS = [
    (where, "BinaryConvSign"),
    (lambda net, x: where(net, x, np.array([0.0, 0.5, -0.25]).reshape(3, 1, 1)), "BinaryConvSign"),
    (cast, "BinaryConvSign"),
    (cast_and_add, "BinaryConvSign"),
    (larq, "BinaryConvSign"),
    (sign, "BinaryConv"),
    (three_values, "BinaryConv"),
    (lambda net, x: where(net, x, step=np.array([0.5, 1, 2]).reshape(3, 1, 1)), "BinaryConv"),
    (lambda net, x: where(net, x, threshold=net.rng.normal(size=(1, 1, 9, 9))), "BinaryConv"),
    (lambda net, x: where(net, x, step=-0.5), "BinaryConv"),
]


@pytest.mark.parametrize(("pattern", "op"), PATTERNS)
def test_input_signs_of_any_exporter(run, pattern, op):
    net = qonnx.Network()
    net.last = pattern(net, net.last)
    net.conv(8, signed_weight(net, 8))
    proto = net.model()
    # Values on the thresholds, zeros of both signs among them.
    x = np.round(4 * qonnx.image()).astype(np.float32) / 4
    x.flat[:20] = 0
    x.flat[5:10] = -0.0
    model, layers = import_binary(proto)
    assert ops(layers) == [op]
    assert (pattern is sign) == (layers[0].reason is not None)
    expected = run(proto, x)[0]
    for found in (run(model, x)[0], kernel(model, x)[0]):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_sign_that_others_see_stays_for_them(run):
    net = qonnx.Network()
    seen = where(net, net.last)
    net.last = seen
    net.conv(3, signed_weight(net, 3))
    net.last = net.node("Add", net.last, seen)
    proto = net.model()
    model, layers = import_binary(proto)
    assert ops(layers) == ["BinaryConvSign"]
    x = qonnx.image()
    np.testing.assert_allclose(run(model, x)[0], run(proto, x)[0], rtol=0, atol=1e-5)


def test_weights_computed_from_constants(run):
    """Sign(w) * scale, as a training framework may leave it in the graph."""
    net = qonnx.Network()
    signs = net.node("Sign", net.weight(8))
    net.conv(8, net.node("Mul", signs, net.constant(net.rng.uniform(0.1, 1, (8, 1, 1, 1)))), bias=True)
    proto = net.model()
    model, layers = import_binary(proto)
    assert ops(layers) == ["BinaryConv"]
    assert [node.op_type for node in model.graph.node] == ["BinaryConv"]
    x = qonnx.image()
    np.testing.assert_allclose(run(model, x)[0], run(proto, x)[0], rtol=0, atol=1e-5)


def test_what_is_left_as_it_was_and_why(run):
    net = qonnx.Network()
    net.conv(6, net.weight(6))
    depthwise = np.where(net.rng.normal(size=(6, 1, 1, 1)) >= 0, 1.0, -1.0)
    net.conv(6, net.constant(depthwise), group=6, pads=[0, 0, 0, 0])
    shared = signed_weight(net, 6)
    net.conv(6, shared)
    net.conv(6, shared)
    zero = np.zeros((6, 6, 3, 3))
    net.conv(6, net.constant(zero))
    proto = net.model()
    model, layers = import_binary(proto)
    assert ops(layers) == [None, None, None, None, "BinaryConv"]
    assert layers[0].reason == "real weights"
    assert layers[1].reason == "would not get smaller"
    assert "is shared" in layers[2].reason
    x = qonnx.image()
    np.testing.assert_allclose(run(model, x)[0], run(proto, x)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_numbers_are_not_signs(value):
    net = qonnx.Network()
    net.conv(4, net.constant(np.full((4, 3, 3, 3), value)))
    assert ops(import_binary(net.model())[1]) == [None]


@pytest.mark.parametrize(("op", "expected"), [("Trunc", "the QONNX op Trunc"), ("Quant", "'x' is computed")])
def test_what_cannot_be_read_is_named(op, expected):
    net = qonnx.Network()
    constants = [net.constant(value) for value in (0.0, 8.0)]
    scale = "x" if op == "Quant" else constants[0]
    net.last = net.node(op, "x", scale, *constants, domain=qonnx.DOMAIN)
    with pytest.raises(OnnxbinError, match=expected):
        import_binary(net.model())


def test_an_imported_network_keeps_the_exact_weights():
    model, _ = import_binary(trained_binary())
    for layer in binary_layers(model).values():
        assert set(np.unique(layer.weight.signs)) == {-1, 1}
        assert (layer.weight.scale > 0).all()
    assert onnxruntime.InferenceSession(model.SerializeToString())


def test_no_convolution_at_all():
    proto = graphs.model([helper.make_node("Relu", ["x"], ["y"])], [])
    assert import_binary(proto)[1] == []
