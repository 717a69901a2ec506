"""How much a network bears, against the error that such a change makes."""

import numpy as np
import pytest
import torch
from bridge.onnx_models import make, random
from onnx import helper

from onnxbin.bridge import GraphModule
from onnxbin.bridge.engine import Engine
from onnxbin.bridge.sensitivity import ALLOWED, LARGEST, SMALLEST, bearable_change, magnitude
from onnxbin.bridge.spread import Spread


class Noise:
    def __init__(self, count):
        self._images = random(count, 3, 8, 8)

    def __len__(self):
        return len(self._images)

    def tensor(self, index, rng):  # noqa: ARG002
        return self._images[index]


def network(sensitivity):
    """A convolution whose output is small beside its terms: a change of its weights is large in it."""
    weight = random(4, 3, 3, 3, seed=1) / sensitivity
    weight[:, 0, 1, 1] += 1
    taken_off = np.zeros((4, 3, 1, 1), np.float32)
    taken_off[:, 0] = -1
    model = make(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["x", "v"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["y"]),
        ],
        {"x": [1, 3, 8, 8]},
        ["y"],
        {"w": weight, "v": taken_off},
    )
    return GraphModule(model)


def bears(module, images):
    engine = Engine("cpu")
    spread = Spread.of(module, images, ["y"], engine)
    return bearable_change(module, images, ["y"], spread, engine), spread


def test_a_change_of_that_size_makes_about_the_error_allowed():
    module, images = network(300), Noise(6)
    change, spread = bears(module, images)
    assert SMALLEST < change < LARGEST
    x = torch.from_numpy(np.stack([images.tensor(i, None) for i in range(6)]))
    with torch.no_grad():
        before = module({"x": x})["y"]
        errors = []
        for seed in range(20):
            changed, generator = network(300), torch.Generator().manual_seed(seed)
            for parameter in changed.parameters():
                signs = torch.sign(torch.randn(parameter.shape, generator=generator))
                parameter.add_(signs * change * magnitude(parameter))
            errors.append(float(spread.relative_error("y", changed({"x": x})["y"], before)))
    assert ALLOWED / 4 < np.mean(errors) < ALLOWED * 4


def test_the_network_stays_as_it_is():
    module = network(300)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    bears(module, Noise(3))
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize(("sensitivity", "expected"), [(1, LARGEST), (1e6, SMALLEST)])
def test_there_is_a_least_and_a_most(sensitivity, expected):
    assert bears(network(sensitivity), Noise(3))[0] == pytest.approx(expected, rel=0.5)
