"""Whole backbones, reshaped: depths, widths, costs, shapes."""

import math
from dataclasses import dataclass

import backbones
import numpy as np
import onnx
import pytest

from onnxbin import OnnxbinError
from onnxbin.layers import inventory
from onnxbin.reshape.changes import Changes, changes
from onnxbin.reshape.depth import Dropped
from onnxbin.reshape.network import Network
from onnxbin.reshape.transform import transform

PAPER = (96, 168, 378, 866)
"""The widths of Depth-Width Reshaping, AAAI 2023, for ResNet-18."""


@dataclass
class Reshaped:
    proto: onnx.ModelProto
    changes: Changes
    dropped: tuple[Dropped, ...]


def reshaped(network, agreement, **options):
    result = transform(network, agreement, **options)
    found = changes(network, result.network, options.get("factor", 2))
    return Reshaped(result.network.proto, found, result.dropped)


def first(model):  # noqa: ARG001
    """An agreement that prefers no block."""
    return 0.0


def binary_macs(model):
    """What the paper counts: the 3x3 convolutions, all of which are in the stages."""
    return sum(layer.macs for layer in inventory(model) if layer.shape[2:] == (3, 3))


def values(model):
    """What these convolutions hand on."""
    layers = [layer for layer in inventory(model) if layer.shape[2:] == (3, 3)]
    return sum(layer.macs / math.prod(layer.shape[1:]) for layer in layers)


@pytest.fixture(scope="module")
def resnet18():
    return Network(backbones.resnet())


def test_the_paper_s_widths_give_its_macs(resnet18):
    assert round(binary_macs(resnet18.proto) / 1e6) == 1676
    result = reshaped(resnet18, first, widths=PAPER)
    assert [stage.after.width for stage in result.changes.stages] == [96, *PAPER]
    assert [stage.after.depth for stage in result.changes.stages] == [1, 2, 2, 2, 2]
    assert round(binary_macs(result.proto) / 1e6) == 1672


def test_resnet_by_formula(resnet18):
    result = reshaped(resnet18, first)
    onnx.checker.check_model(result.proto, full_check=True)
    before, after = (sum(layer.macs for layer in inventory(m)) for m in (resnet18.proto, result.proto))
    assert (result.changes.before.macs, result.changes.after.macs) == (before, after)
    assert abs(after / before - 1) <= 0.05
    # Depth 4 becomes 2, width sqrt(2) of what it was and a little more: values fall by a little less.
    assert 0.87 * math.sqrt(2) <= values(resnet18.proto) / values(result.proto) <= math.sqrt(2)
    for stage in result.changes.stages[1:]:
        assert (stage.before.depth, stage.after.depth) == (4, 2)
        assert math.sqrt(2) <= stage.after.width / stage.before.width <= 1.15 * math.sqrt(2)
        assert stage.after.width % 8 == 0


def test_vgg_by_formula(run):
    model = backbones.vgg()
    result = reshaped(Network(model), first)
    onnx.checker.check_model(result.proto, full_check=True)
    assert [stage.after.depth for stage in result.changes.stages] == [1, 1, 1, 1, 1]
    assert [stage.after.width for stage in result.changes.stages[:2]] == [64, 128]
    assert all(stage.after.width > 1.4 * stage.before.width for stage in result.changes.stages[2:])
    assert abs(result.changes.after.macs / result.changes.before.macs - 1) <= 0.05
    assert result.changes.after.activations < result.changes.before.activations
    x = np.zeros((1, 3, 32, 32), np.float32)
    assert [y.shape for y in run(result.proto, x)] == [y.shape for y in run(model, x)]


def test_the_block_that_is_missed_least_goes():
    """A residual block whose branch ends in zeros does nothing, and can go without a change."""
    model = backbones.resnet((8,), blocks=3, size=32)
    weights = [tensor for tensor in model.graph.initializer if list(tensor.dims) == [8, 8, 3, 3]]
    for tensor in (weights[3], model.graph.initializer[list(model.graph.initializer).index(weights[3]) + 1]):
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(tensor.dims, np.float32), tensor.name))
    name = weights[3].name

    def agreement(changed):
        return 1.0 if name not in {tensor.name for tensor in changed.graph.initializer} else 0.5

    result = reshaped(Network(model), agreement, factor=1.5)
    (dropped,) = result.dropped
    assert dropped.agreement == 1.0
    assert any(name in node.input for node in model.graph.node if node.output[0] in dropped.convolutions)


def test_a_block_without_effect_changes_no_output(run):
    """Widening keeps the function, so that all that is lost is the block."""
    model = backbones.resnet((8, 16), blocks=2, size=32)
    graph = {tensor.name: tensor for tensor in model.graph.initializer}
    for width in (8, 16):
        convs = [
            n
            for n in model.graph.node
            if n.op_type == "Conv" and list(graph[n.input[1]].dims) == [width, width, 3, 3]
        ]
        for name in convs[-1].input[1:]:
            zeros = np.zeros(graph[name].dims, np.float32)
            graph[name].CopyFrom(onnx.numpy_helper.from_array(zeros, name))

    def agreement(changed):
        return -float(np.abs(run(model, x)[0] - run(changed, x)[0]).max())

    x = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    result = reshaped(Network(model), agreement)
    assert len(result.dropped) == 2
    old, new = run(model, x)[0], run(result.proto, x)[0]
    assert np.abs(old - new).max() <= 1e-4 * np.abs(old).max()


def test_nothing_to_reshape():
    model = backbones.vgg((8, 16, 32))
    result = reshaped(Network(model), first)
    assert not result.dropped
    assert result.changes.before == result.changes.after


def test_another_number_of_widths(resnet18):
    with pytest.raises(OnnxbinError, match=r"3 numbers, expected 4.*64, 128, 256, 512"):
        reshaped(resnet18, first, widths=(64, 128, 256))


@pytest.mark.parametrize("widths", [(4, 40), (100, 8)])
def test_any_widths(run, widths):
    model = backbones.resnet((8, 16), size=32)
    result = reshaped(Network(model), first, widths=widths)
    assert tuple(stage.after.width for stage in result.changes.stages) == (widths[0], *widths)
    assert run(result.proto, np.zeros((1, 3, 32, 32), np.float32))[0].shape == (1, 10)


def test_every_block_that_is_looked_at_is_told():
    network = Network(backbones.resnet((8, 16), blocks=3, size=32))
    told, compared = [], []

    def agreement(model):
        compared.append(model)
        return 0.0

    transform(network, agreement, lambda key, done, total: told.append((key[1:], done, total)))
    assert len(told) == len(compared) > 0
    assert {size for size, _, _ in told} <= {(8, 8), (4, 4)}
    turns = [total for _, done, total in told if done == 0]
    assert [done for _, done, _ in told] == [done for total in turns for done in range(total)]


def test_widths_are_those_of_what_is_left():
    graph = backbones.Graph()
    x = first_x = graph.conv_relu("x", (16, 3, 3, 3))
    x = graph.conv_relu(x, (40, 16, 1, 1))
    x = graph.node("Add", [first_x, graph.conv(x, (16, 40, 3, 3))])
    for _ in range(2):
        x = graph.conv_relu(x, (16, 16, 3, 3))
    wide_is_gone = reshaped(Network(graph.model(graph.classifier(x, 16))), first)
    (dropped,) = wide_is_gone.dropped
    assert len(dropped.convolutions) == 2
    (stage,) = wide_is_gone.changes.stages
    assert (stage.before.depth, stage.after.depth, stage.wanted) == (5, 3, 3)
    assert stage.before.width == 16
    assert stage.after.width > 16
