"""The experiment of examples/reshape, in small."""

import crops
import numpy as np
import pytest
from classifier import classifier
from shallow_and_wide import accuracy, binary_candidates, binary_module, trained

from onnxbin.bridge import GraphModule
from onnxbin.operator import SignInput


@pytest.fixture(scope="module")
def some():
    return crops.render(12, 0)


def test_crops_are_those_of_their_seeds(some):
    again = crops.render(2, 3)
    assert (again.pixels == some.pixels[18:30]).all()
    assert set(some.labels.tolist()) == set(range(len(crops.CLASSES)))


def test_all_inner_layers_become_binary(some):
    model = classifier(0)
    layers = binary_candidates(model)
    assert len(layers) == 12
    module = binary_module(model, layers, some)
    binary = module.binary_layers()
    assert set(binary) == {layer.name for layer in layers}
    for layer in binary.values():
        assert isinstance(layer.quantizer, SignInput)
        assert set(np.unique(layer.weight.signs)) == {-1, 1}


def test_training_learns(some):
    before = classifier(0)
    after = trained(before, some, 30, 0)
    assert accuracy(GraphModule(after), some) > accuracy(GraphModule(before), some)
