"""The straight-through layers: forward against the NumPy reference, backward against the dense layer."""

import numpy as np
import pytest
import torch
from bridge.onnx_models import make, random, tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from torch.nn import functional

from onnxbin.bridge import BinaryConv2d, GraphModule
from onnxbin.bridge.binary import CLIP
from onnxbin.operator import (
    DOMAIN,
    BinaryWeight,
    QuantInput,
    SignInput,
    binary_conv,
)


def binary_weight(rng, bases, m, c, k):
    signs = rng.choice(np.array([-1, 1], np.int8), (bases, m, c, *k))
    return BinaryWeight(signs, rng.uniform(0.1, 1, (bases, m)).astype(np.float32))


@st.composite
def convolutions(draw):
    """A weight, an input, a bias, and the geometry: groups, strides, dilations, asymmetric pads."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    group = draw(st.integers(1, 3))
    m, c = group * draw(st.integers(1, 3)), draw(st.integers(1, 4))
    k = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    weight = binary_weight(rng, draw(st.integers(1, 3)), m, c, k)
    n, h, w = draw(st.tuples(st.integers(0, 2), st.integers(5, 8), st.integers(5, 8)))
    pair = st.tuples(st.integers(1, 2), st.integers(1, 2))
    geometry = {
        "strides": draw(pair),
        "dilations": draw(pair),
        "pads": draw(st.tuples(*[st.integers(0, 2)] * 4)),
        "group": group,
    }
    x = rng.standard_normal((n, c * group, h, w)).astype(np.float32)
    return weight, x, rng.standard_normal(m).astype(np.float32), geometry


QUANTIZERS = {
    "BinaryConv": None,
    "BinaryConvSign": SignInput(np.float32([0.7]), np.float32([0.1])),
    "BinaryConvQuant": QuantInput(np.float32([0.3]), np.float32([5]), 4),
}


@given(convolutions(), st.sampled_from(sorted(QUANTIZERS)))
@settings(max_examples=60, deadline=None)
def test_graph_with_binary_nodes_equals_the_reference(convolution, op_type):
    weight, x, bias, geometry = convolution
    quantizer = QUANTIZERS[op_type]
    constants = {"W": weight.packed(), "scale": weight.scale, "bias": bias}
    attributes = {"weight_shape": weight.shape, **geometry}
    if quantizer is not None:
        constants |= {"x_step": quantizer.step, "x_zero": quantizer.zero}
    if isinstance(quantizer, QuantInput):
        attributes["x_bits"] = quantizer.bits
    node = helper.make_node(op_type, ["x", *constants], ["y"], domain=DOMAIN, **attributes)
    module = GraphModule(make([node], {"x": x.shape}, ["y"], constants, domains=[DOMAIN]))

    found = module(tensors({"x": x}))["y"].detach().numpy()
    expected = binary_conv(x, weight, bias, quantizer, **geometry)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(initial=1e-30), rtol=0)

    (read,) = module.binary_layers().values()
    np.testing.assert_array_equal(read.weight.signs, weight.signs)
    np.testing.assert_array_equal(read.bias, bias)
    assert type(read.quantizer) is type(quantizer)
    if quantizer is not None:
        np.testing.assert_array_equal(read.quantizer.step, quantizer.step)
        np.testing.assert_array_equal(read.quantizer.zero, quantizer.zero)


@pytest.mark.parametrize(
    "quantizer",
    [
        SignInput(np.float32([0.5]), np.float32([0])),
        SignInput(np.float32([0.5]), np.float32([-0.2, 0, 0.2])),
        *(QuantInput(np.float32([0.1]), np.float32([1.5]), bits) for bits in (2, 4, 8)),
    ],
    ids=["sign", "sign-per-channel", "2-bit", "4-bit", "8-bit"],
)
def test_quantizers_choose_the_same_integer_as_the_reference(quantizer):
    """Element by element: a 1x1 convolution with weight 1 shows the quantised input itself."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 30, (1, 3, 40, 40)).astype(np.float32)
    # Ties, both zeros, and what is not a number.
    x[0, :, 0, :8] = [0.0, -0.0, 0.05, 0.15, -0.2, np.nan, np.inf, -np.inf]
    weight = BinaryWeight(np.ones((1, 3, 1, 1, 1), np.int8), np.ones((1, 3), np.float32))
    layer = BinaryConv2d(weight, np.zeros(3, np.float32), quantizer=quantizer, group=3)
    quantized = layer.quantizer(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_array_equal(quantized, np.broadcast_to(quantizer(x), x.shape))


@pytest.mark.parametrize("bases", [1, 2, 3])
def test_latents_carry_signs_and_have_unit_mean_magnitude(bases):
    rng = np.random.default_rng(0)
    real = rng.standard_normal((4, 3, 3, 3)).astype(np.float32) * np.float32(
        [[[[1e-3]]], [[[1]]], [[[50]]], [[[0]]]]
    )
    real[0, 0, 0] = [0.0, -0.0, 0.0]
    weight = binary_weight(rng, bases, 4, 3, (3, 3))
    layer = BinaryConv2d(weight, np.zeros(4, np.float32), real=torch.from_numpy(real))
    np.testing.assert_array_equal(layer.layer().weight.signs, weight.signs)
    np.testing.assert_array_equal(layer.layer().weight.scale, weight.scale)
    np.testing.assert_allclose(layer.latent.detach().abs().mean((2, 3, 4)), 1, rtol=1e-3)
    np.testing.assert_allclose(layer.weight().detach(), weight.dense(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bases", [1, 2])
def test_weight_gradient_is_that_of_the_dense_convolution_inside_the_clip(bases):
    rng = np.random.default_rng(1)
    weight = binary_weight(rng, bases, 4, 2, (3, 3))
    layer = BinaryConv2d(weight, random(4), strides=[2, 2], pads=[1, 1, 1, 1], group=2)
    with torch.no_grad():
        layer.latent.mul_(torch.from_numpy(rng.uniform(0, 2 * CLIP, weight.signs.shape).astype(np.float32)))
    x = torch.from_numpy(random(2, 4, 7, 7))
    toward = torch.from_numpy(random(2, 4, 4, 4, seed=2))
    (layer(x) * toward).sum().backward()

    dense = torch.from_numpy(weight.dense()).requires_grad_()
    (functional.conv2d(x, dense, None, 2, 1, 1, 2) * toward).sum().backward()
    scale = torch.from_numpy(weight.scale)[:, :, None, None, None]
    signs = torch.from_numpy(weight.signs)
    inside = layer.latent.detach().abs() <= CLIP
    assert 0 < inside.sum() < inside.numel()
    torch.testing.assert_close(layer.latent.grad, dense.grad * scale * inside)
    torch.testing.assert_close(layer.scale.grad, (dense.grad * signs).sum((2, 3, 4)))
    torch.testing.assert_close(layer.bias.grad, toward.sum((0, 2, 3)))


@pytest.mark.parametrize(
    ("quantizer", "passes"),
    [
        (SignInput(np.float32([0.5]), np.float32([0.25])), lambda x: (x - 0.25).abs() <= 0.5),
        (QuantInput(np.float32([0.5]), np.float32([1]), 2), lambda x: (x >= -0.75) & (x < 1.25)),
    ],
    ids=["sign", "2-bit"],
)
def test_input_gradient_passes_where_the_quantizer_is_not_saturated(quantizer, passes):
    rng = np.random.default_rng(3)
    weight = binary_weight(rng, 1, 3, 2, (1, 1))
    layer = BinaryConv2d(weight, random(3), quantizer=quantizer)
    x = torch.from_numpy(random(1, 2, 9, 9) * 2).requires_grad_()
    layer(x).sum().backward()
    through = functional.conv_transpose2d(torch.ones(1, 3, 9, 9), torch.from_numpy(weight.dense()))
    torch.testing.assert_close(x.grad, through * passes(x.detach()))


def test_training_flips_signs_and_keeps_them_binary():
    """A layer that starts from the opposite signs learns a binary target: gradients point the right way."""
    rng = np.random.default_rng(4)
    wanted = binary_weight(rng, 1, 4, 3, (3, 3))
    layer = BinaryConv2d(
        BinaryWeight(-wanted.signs, wanted.scale), np.zeros(4, np.float32), pads=[1, 1, 1, 1]
    )
    x = torch.from_numpy(random(8, 3, 6, 6))
    target = functional.conv2d(x, torch.from_numpy(wanted.dense()), padding=1)
    optimizer = torch.optim.Adam([layer.latent], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        functional.mse_loss(layer(x), target).backward()
        optimizer.step()
    np.testing.assert_array_equal(layer.layer().weight.signs, wanted.signs)
