"""What the loop needs of training, and the trainer that does none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto

from onnxbin.binarize import binarize
from onnxbin.inputs.widths import Widths
from onnxbin.large import array_of
from onnxbin.layers import ConvLayer
from onnxbin.plan import Array
from onnxbin.records import Step
from onnxbin.surgery import BinaryLayer


class Trainer(Protocol):
    """The network being compressed, and how it is trained."""

    def binarize(self, layer: ConvLayer, bases: int) -> None:
        """Turn a layer binary, from its present real weight."""

    def adjust(self, layers: Mapping[str, BinaryLayer]) -> None:
        """Let these binary layers have these quantisers, scales and biases; signs stay as they are."""

    def train(self, step: Step, on_step: Callable[[int, float], bool]) -> None:
        """Fine-tune the whole network.

        on_step: is told after each training step how many are done, and the loss; says whether to go on.
        """

    def rehearse(self) -> float:
        """How many seconds a training step takes: one that changes nothing."""

    def real(self) -> dict[str, Array]:
        """The initializers that training has changed, those of binary layers excepted."""

    def binary(self) -> dict[str, BinaryLayer]:
        """The binary layers as they are now, by name."""

    def run_layer(self, name: str, x: Array) -> Array | None:
        """What the module in training makes of a binary layer's input; None where there is no module."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that training has changed and depends on."""

    def restore(
        self,
        layers: Sequence[ConvLayer],
        bases: Mapping[str, int],
        widths: Widths,
        state: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        """Make a new trainer go on from a `state`, bit for bit.

        layers: those that had become binary, in that order. bases: how many of each. widths: of the inputs
        that had been quantised.
        """


def closed_form(layer: ConvLayer, values: Mapping[str, onnx.TensorProto], bases: int) -> BinaryLayer:
    """A layer made binary with no training: the signs and scales nearest to its weight among `values`."""
    weight = array_of(values[layer.weight])
    bias = array_of(values[layer.bias]) if layer.bias else np.zeros(layer.out_channels, np.float32)
    return BinaryLayer(binarize(weight, bases), bias)


class Untrained:
    """The trainer of `--no-finetune`: binarization in closed form and nothing else. Needs no torch."""

    def __init__(self, prepared: ModelProto) -> None:
        self._values = {tensor.name: tensor for tensor in prepared.graph.initializer}
        self._binary: dict[str, BinaryLayer] = {}

    def binarize(self, layer: ConvLayer, bases: int) -> None:
        """Signs and scales nearest to the original weight."""
        self._binary[layer.name] = closed_form(layer, self._values, bases)

    def adjust(self, layers: Mapping[str, BinaryLayer]) -> None:
        """As they are given."""
        self._binary.update(layers)

    def rehearse(self) -> float:
        """No time."""
        return 0.0

    def train(self, step: Step, on_step: Callable[[int, float], bool]) -> None:
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

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Nothing that binarizing again would not give."""
        return {}

    def restore(
        self,
        layers: Sequence[ConvLayer],
        bases: Mapping[str, int],
        widths: Widths,  # noqa: ARG002
        state: Mapping[str, npt.NDArray[Any]],  # noqa: ARG002
    ) -> None:
        """Binarize again; without training, nothing is ever saved of a last phase that is under way."""
        for layer in layers:
            self.binarize(layer, bases[layer.name])
