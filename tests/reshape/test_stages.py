"""What is found in backbones whose stages are known."""

import backbones
import pytest

from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.network import Network
from onnxbin.reshape.stages import find_stages


def stages(model):
    network = Network(model)
    return network, find_stages(Dependencies(network))


def test_resnet():
    network, found = stages(backbones.resnet(size=64))
    assert [stage.key[1:] for stage in found] == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]
    assert [stage.depth for stage in found] == [1, 4, 4, 4, 4]
    for stage in found[2:]:
        # Of the two residual blocks the second keeps the shape; each has a convolution that does, too.
        outer = [block for block in stage.droppable(network) if stage.level(block) == 0]
        assert max(len(block.convolutions) for block in outer) == 2


def test_vgg():
    network, found = stages(backbones.vgg())
    assert [stage.depth for stage in found] == [1, 1, 2, 2, 2]
    # The first convolution of a stage widens it, unless it is as wide as the one before.
    assert [len(stage.blocks) for stage in found] == [0, 0, 1, 1, 2]
    assert [len(stage.droppable(network)) for stage in found] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("shortcut", [True, False])
def test_c2f(shortcut):
    network, found = stages(backbones.darknet_csp(bottlenecks=2, shortcut=shortcut))
    (_, stage) = found
    assert stage.depth == 1 + 1 + 4 + 1  # the head makes the output and belongs to no stage
    inner = [block for block in stage.droppable(network) if len(block.convolutions) == 1]
    outer = [block for block in stage.droppable(network) if len(block.convolutions) == 2]
    assert len(outer) == (2 if shortcut else 0)
    assert len(inner) == 1 + 4  # the 1x1 convolution, and each of the bottlenecks'


def test_a_lone_bottleneck_stays():
    network, found = stages(backbones.darknet_csp(bottlenecks=1))
    sizes = [len(block.convolutions) for block in found[1].droppable(network)]
    assert 2 not in sizes


def test_what_others_read_is_no_block():
    graph = backbones.Graph()
    x = graph.conv_relu("x", (8, 3, 3, 3))
    inner = graph.conv_relu(x, (8, 8, 3, 3))
    outer = graph.conv_relu(inner, (8, 8, 3, 3))
    both = graph.node("Concat", [graph.node("Add", [x, outer]), inner], axis=1)
    _, (stage,) = stages(graph.model(graph.conv(both, (5, 16, 1, 1))))
    assert all(len(block.convolutions) == 1 for block in stage.blocks)


def test_squeeze_and_excitation_is_part_of_its_block():
    graph = backbones.Graph()
    x = graph.conv_relu("x", (8, 3, 3, 3))
    for _ in range(2):
        y = graph.conv_relu(x, (8, 8, 3, 3))
        factors = graph.conv_relu(graph.node("GlobalAveragePool", [y]), (4, 8, 1, 1))
        factors = graph.node("Sigmoid", [graph.conv(factors, (8, 4, 1, 1))])
        x = graph.node("Add", [x, graph.node("Mul", [y, factors])])
    network, found = stages(graph.model(graph.conv(x, (5, 8, 1, 1))))
    assert [stage.depth for stage in found if stage.key[1:] == (32, 32)] == [3]
    assert len([b for b in found[0].droppable(network) if found[0].level(b) == 0]) == 2


def test_stages_are_in_the_order_of_the_paths_not_of_the_nodes():
    graph = backbones.Graph()
    x = graph.pool(graph.conv_relu("x", (8, 3, 3, 3), 2), 3)
    short = graph.conv_relu(x, (8, 8, 3, 3), 2)
    long = graph.conv_relu(graph.conv_relu(x, (8, 8, 1, 1)), (8, 8, 3, 3), 2)
    _, found = stages(graph.model(graph.classifier(graph.node("Add", [short, long]), 8)))
    assert [stage.key for stage in found] == [(1, 16, 16), (2, 8, 8), (3, 4, 4)]
