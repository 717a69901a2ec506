"""The formula: multiply-accumulates, activations, roundings."""

import math

import backbones
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxbin.layers import inventory
from onnxbin.reshape.cost import costs_of
from onnxbin.reshape.network import Network
from onnxbin.reshape.widths import round_width


@pytest.mark.parametrize("model", [backbones.resnet((8, 16), size=32), backbones.vgg((8, (16, 16)))])
def test_costs_are_the_inventory_s(model):
    costs = costs_of(Network(model))
    layers = {layer.output: layer for layer in inventory(model)}
    assert {name: cost.macs for name, cost in costs.items()} == {n: i.macs for n, i in layers.items()}
    for name, cost in costs.items():
        weights = math.prod(layers[name].shape[1:])
        assert cost.activations == layers[name].macs / weights


@given(st.floats(1, 5000), st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_rounding_is_coarse_but_near(width, multiple):
    rounded = round_width(width, multiple)
    assert rounded >= 1
    assert abs(rounded - width) <= max(width / 16, 0.5) + 1e-9
    if width >= 8 * multiple:
        assert rounded % multiple == 0
