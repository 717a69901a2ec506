"""Scales and biases of layers with quantised inputs, against NumPy's least squares over the same images."""

import graphs
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from onnxbin.binarize import binarize
from onnxbin.images import ImageInput, ImageSet, Preprocessing
from onnxbin.operator import QuantInput, SignInput, binary_conv
from onnxbin.processes import Alone
from onnxbin.regression import regressed_on_itself, regressed_on_original
from onnxbin.surgery import BinaryLayer, with_binary_layers

PADS, GROUP = (1, 0, 2, 1), 2


def grouped():
    """A 1x1 Conv and a grouped one with uneven pads behind it."""
    rng = np.random.default_rng(0)
    weights = [
        graphs.tensor("w0", rng.normal(0, 1, (4, 3, 1, 1))),
        graphs.tensor("w1", rng.normal(0, 1, (6, 2, 3, 3))),
        graphs.tensor("b1", rng.normal(0, 1, 6)),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["t"], "c0", pads=[0] * 4),
        helper.make_node("Conv", ["t", "w1", "b1"], ["y"], "c1", pads=PADS, group=GROUP),
    ]
    return graphs.model(nodes, weights, shape=(1, 3, 12, 12))


@pytest.fixture
def network():
    """The model with c1 binary, that layer, some images, and the layer's input for each of them."""
    proto = grouped()
    values = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    layer = BinaryLayer(binarize(values["w1"], bases=2), values["b1"])
    images = ImageSet.rendered(5, ImageInput.of(proto, None), Preprocessing())
    seen = [
        np.einsum("mc,nchw->nmhw", values["w0"][:, :, 0, 0], images.tensor(i)[None].reshape(1, 3, 12, 12))
        for i in range(len(images))
    ]
    return with_binary_layers(proto, {"c1": layer}), layer, images, seen


@pytest.mark.parametrize(
    "quantizer",
    [
        SignInput(np.float32([0.3]), np.float32([0.1, -0.2, 0.4, 0])),
        QuantInput(np.float32([0.5]), np.float32([1]), 2),
        QuantInput(np.float32([0.02]), np.float32([90]), 8),
    ],
)
def test_least_squares(network, quantizer):
    model, layer, images, seen = network
    quantised = BinaryLayer(layer.weight, layer.bias, quantizer)
    found = regressed_on_itself(model, {"c1": quantised}, images, Alone())["c1"]
    assert found.quantizer is quantizer
    np.testing.assert_array_equal(found.weight.signs, layer.weight.signs)

    def outputs(weight, bias, q):
        return np.concatenate([binary_conv(x, weight, bias, q, pads=PADS, group=GROUP) for x in seen])

    real = outputs(layer.weight, layer.bias, None)
    before, after = (outputs(i.weight, i.bias, quantizer) for i in (quantised, found))
    for channel in range(6):
        columns = np.stack([before[:, channel].ravel(), np.ones(before[:, channel].size)], axis=1)
        factors, *_ = np.linalg.lstsq(columns, real[:, channel].ravel(), rcond=None)
        expected = (columns @ factors).reshape(before[:, channel].shape)
        np.testing.assert_allclose(after[:, channel], expected, atol=1e-3 * np.abs(expected).max())
    assert np.square(after - real).sum() < np.square(before - real).sum()


def test_an_input_that_is_always_the_same_is_carried_by_the_bias(network):
    """Below all thresholds nothing is left but padding and the mean."""
    model, layer, images, seen = network
    blind = SignInput(np.float32([1e-6]), np.full(4, 1e6, np.float32))
    found = regressed_on_itself(model, {"c1": BinaryLayer(layer.weight, layer.bias, blind)}, images, Alone())[
        "c1"
    ]
    assert np.isfinite(found.weight.scale).all()
    real, after = (
        np.concatenate([binary_conv(x, i.weight, i.bias, i.quantizer, pads=PADS, group=GROUP) for x in seen])
        for i in (layer, found)
    )
    np.testing.assert_allclose(after.mean((0, 2, 3)), real.mean((0, 2, 3)), atol=1e-3)


def test_a_layer_that_quantises_nothing_stays_as_it_is(network):
    model, layer, images, _ = network
    found = regressed_on_itself(model, {"c1": layer}, images, Alone())["c1"]
    np.testing.assert_allclose(found.weight.scale, layer.weight.scale, rtol=1e-4)
    np.testing.assert_allclose(found.bias, layer.bias, atol=1e-3)
    assert regressed_on_itself(model, {}, images, Alone()) == {}


def outputs_of(layer, seen):
    found = [binary_conv(x, layer.weight, layer.bias, None, pads=PADS, group=GROUP) for x in seen]
    return np.concatenate(found)


def test_a_layer_is_brought_nearest_to_the_originals_outputs_also_behind_a_changed_network(network):
    model, layer, images, seen = network
    original = grouped()
    for tensor in model.graph.initializer:
        if tensor.name == "w0":  # what is before the layer is no longer what it was
            changed = onnx.numpy_helper.to_array(tensor) * np.float32(1.3)
            tensor.CopyFrom(onnx.numpy_helper.from_array(changed, "w0"))
    found = regressed_on_original(original, model, "y", layer, images, Alone())
    np.testing.assert_array_equal(found.weight.signs, layer.weight.signs)
    session = onnxruntime.InferenceSession(original.SerializeToString())
    wanted = np.concatenate([session.run(["y"], images.target.feed([images.tensor(i)]))[0] for i in range(5)])
    inputs = [np.float32(1.3) * x for x in seen]
    before, after = outputs_of(layer, inputs), outputs_of(found, inputs)
    for channel in range(6):
        columns = np.stack([before[:, channel].ravel(), np.ones(before[:, channel].size)], axis=1)
        factors, *_ = np.linalg.lstsq(columns, wanted[:, channel].ravel(), rcond=None)
        expected = (columns @ factors).reshape(before[:, channel].shape)
        np.testing.assert_allclose(after[:, channel], expected, atol=1e-3 * np.abs(expected).max())
    assert np.square(after - wanted).sum() < 0.9 * np.square(before - wanted).sum()


def test_what_is_not_finite_changes_nothing(network):
    model, layer, images, _ = network
    original = grouped()
    bias = next(tensor for tensor in original.graph.initializer if tensor.name == "b1")
    broken = onnx.numpy_helper.to_array(bias).copy()
    broken[:2] = np.nan, np.inf
    bias.CopyFrom(onnx.numpy_helper.from_array(broken, "b1"))
    found = regressed_on_original(original, model, "y", layer, images, Alone())
    np.testing.assert_array_equal(found.weight.scale[:, :2], layer.weight.scale[:, :2])
    np.testing.assert_array_equal(found.bias[:2], layer.bias[:2])
    assert np.isfinite(found.weight.scale).all()
    assert np.isfinite(found.bias).all()
