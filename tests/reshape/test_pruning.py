"""Channels that are alike by construction."""

import backbones
import numpy as np
import pytest

from onnxbin.images import ImageInput, ImageSet, Preprocessing
from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.network import Network
from onnxbin.reshape.pruning import mean_maps, merging, pruned

SIZE = 16
FACTORS = [1.0, 0.5, 2.0, 3.0, 1.5, 0.25]
"""Of one filter, which six channels have; the other six have filters of their own."""


def network(residual):
    graph = backbones.Graph()
    rng = np.random.default_rng(0)
    filters = rng.normal(size=(12, 3, 3, 3))
    filters[:6] = filters[0] * np.array(FACTORS)[:, None, None, None]
    weight = graph.constant(filters)
    x = graph.node("Relu", [graph.node("Conv", ["x", weight], pads=[1, 1, 1, 1])])
    if residual:
        # Added: what keeps six channels alike, for a channel of it is as large as the filter.
        mixing = np.zeros((12, 12, 1, 1))
        mixing[:6, 6:] = np.array(FACTORS)[:, None, None, None] * rng.normal(size=(1, 6, 1, 1))
        mixing[6:] = rng.normal(size=(6, 12, 1, 1))
        x = graph.node("Add", [x, graph.node("Conv", [x, graph.constant(mixing)])])
    return Network(graph.model(graph.conv(x, (5, 12, 1, 1)), SIZE))


@pytest.fixture
def images():
    fed = Preprocessing(channels="rgb", resize="stretch", mean=(0, 0, 0), std=(255, 255, 255))
    return ImageSet.rendered(20, ImageInput("x", SIZE, SIZE), fed)


def channels_left(found):
    return [found.constant(node.input[1]).shape[0] for node in found.nodes if node.op_type == "Conv"]


@pytest.mark.parametrize(("residual", "left"), [(False, [7, 5]), (True, [7, 7, 5])])
def test_multiples_of_one_filter_become_one_channel(run, images, residual, left):
    original = network(residual)
    found = pruned(original, images, eps=1e-6)
    assert channels_left(found) == left
    x = images.tensor(0)[None]
    old, new = run(original.proto, x)[0], run(found.proto, x)[0]
    assert np.abs(old - new).max() <= 1e-4 * np.abs(old).max()


def test_maps_are_means_over_images(run, images):
    original = network(False)
    first = next(node for node in original.nodes if node.op_type == "Conv")
    maps = mean_maps(original, images)[first.output[0]]
    from onnxbin.agreement import with_outputs

    model = with_outputs(original.proto, [first.output[0]])
    each = [run(model, images.tensor(i)[None])[1][0].reshape(12, -1) for i in range(len(images))]
    np.testing.assert_allclose(maps, np.mean(each, axis=0), rtol=1e-4, atol=1e-5)


def test_few_alike_are_no_cluster(images):
    """The paper's five."""
    dependencies = Dependencies(network(False))
    maps = mean_maps(dependencies.network, images)
    assert len(merging(dependencies, maps, 1e-6).merged) == 5
    (name,) = [name for name, rows in maps.items() if len(rows) == 12]
    maps[name][4:6] = np.random.default_rng(1).normal(size=maps[name][4:6].shape)
    assert not merging(dependencies, maps, 1e-6).merged
