"""What stays real in int8: the binary layers and the first convolution stay, and so does what is computed."""

import graphs
import numpy as np
import pytest

from onnxbin.binarize import binarize
from onnxbin.int8_rest import CHOICES, candidates
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


def test_each_choice_is_there_and_the_fastest_is_first(mixed):
    found = candidates(*mixed)
    assert {candidate.int8 for candidate in found} == {None, *CHOICES}
    times = [candidate.milliseconds for candidate in found]
    assert times == sorted(times)


def test_all_of_them_compute_the_same_to_8_bits(mixed, run):
    model, feeds = mixed
    for candidate in candidates(model, feeds):
        for feed in feeds:
            expected, output = run(model, feed["x"])[0], run(candidate.model, feed["x"])[0]
            assert np.linalg.norm(output - expected) < 0.05 * np.linalg.norm(expected)


def test_the_first_convolution_and_binary_ones_keep_their_weights(mixed):
    model, feeds = mixed
    binary = [node for node in model.graph.node if node.domain == DOMAIN]
    for candidate in candidates(model, feeds):
        nodes = {node.name: node for node in candidate.model.graph.node if node.name}
        (kept,) = (node for node in candidate.model.graph.node if node.domain == DOMAIN)
        assert kept.input[1:] == binary[0].input[1:]
        assert nodes["c0"].input[1:] == ["w0", "b0"]
        assert (nodes["c1"].input[1] == "w1") == (candidate.int8 is None)
