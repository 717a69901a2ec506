"""What the loop needs of training, and the trainer that does none."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnx
from onnx import ModelProto

from onnxbin.binarize import binarize
from onnxbin.layers import ConvLayer
from onnxbin.plan import Array
from onnxbin.records import Listener, Step
from onnxbin.surgery import BinaryLayer


class Trainer(Protocol):
    """The network being compressed, and how it is trained."""

    def binarize(self, layer: ConvLayer, bases: int) -> None:
        """Turn a layer binary, from its present real weight."""

    def train(self, step: Step, listener: Listener) -> None:
        """Fine-tune the whole network."""

    def real(self) -> dict[str, Array]:
        """The initializers that training has changed, those of binary layers excepted."""

    def binary(self) -> dict[str, BinaryLayer]:
        """The binary layers as they are now, by name."""

    def run_layer(self, name: str, x: Array) -> Array | None:
        """What the module in training makes of a binary layer's input; None where there is no module."""


class Untrained:
    """The trainer of `--no-finetune`: binarization in closed form and nothing else. Needs no torch."""

    def __init__(self, prepared: ModelProto) -> None:
        self._values = {tensor.name: tensor for tensor in prepared.graph.initializer}
        self._binary: dict[str, BinaryLayer] = {}

    def binarize(self, layer: ConvLayer, bases: int) -> None:
        """Signs and scales nearest to the original weight."""
        weight = onnx.numpy_helper.to_array(self._values[layer.weight])
        if layer.bias:
            bias = onnx.numpy_helper.to_array(self._values[layer.bias])
        else:
            bias = np.zeros(layer.out_channels, np.float32)
        self._binary[layer.name] = BinaryLayer(binarize(weight, bases), bias)

    def train(self, step: Step, listener: Listener) -> None:
        """Nothing to train."""

    def real(self) -> dict[str, Array]:
        """Nothing has changed."""
        return {}

    def binary(self) -> dict[str, BinaryLayer]:
        """The layers so far."""
        return dict(self._binary)

    def run_layer(self, name: str, x: Array) -> None:  # noqa: ARG002
        """There is no module."""
        return
