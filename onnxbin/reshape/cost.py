"""What a network costs, and what it would cost with other widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onnxbin.layers import ConvLayer, inventory
from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.network import Network


@dataclass(frozen=True)
class Cost:
    """Of Convs, for one image: multiply-accumulates, and the values that they hand on."""

    macs: int = 0
    activations: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.activations + other.activations)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.macs - other.macs, self.activations - other.activations)


def costs_of(network: Network) -> dict[str, Cost]:
    """The cost of each Conv of a network, by its output."""
    return {
        layer.output: Cost(macs, macs // math.prod(layer.shape[1:])) for layer, macs in _convolutions(network)
    }


def _convolutions(network: Network) -> list[tuple[ConvLayer, int]]:
    layers = inventory(network.proto, input_size=network.size)
    convs = {node.output[0] for node in network.nodes if node.op_type == "Conv"}
    return [(layer, layer.macs) for layer in layers if layer.macs is not None and layer.output in convs]


class MacsByWidth:
    """Multiply-accumulates of a network as a function of the widths of its groups (see .channels)."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._widths = [len(group.bundles) for group in dependencies.groups]
        self._parts: dict[str, dict[int, int]] = {}  # tensor -> its groups, with how many channels of each
        for number, group in enumerate(dependencies.groups):
            for name, count in group.tensors.items():
                self._parts.setdefault(name, {})[number] = count
        self._factors: list[tuple[int, list[str]]] = []
        for layer, macs in _convolutions(dependencies.network):
            depthwise = layer.group > 1 and layer.shape[1] == 1
            read = dependencies.network.makers[layer.output].input[0]
            self._factors.append((macs, [layer.output] if depthwise else [layer.output, read]))

    def __call__(self, widths: Sequence[int]) -> float:
        """With so many bundles in each group."""
        return sum(
            macs * math.prod(self._growth(tensor, widths) for tensor in tensors)
            for macs, tensors in self._factors
        )

    def _growth(self, tensor: str, widths: Sequence[int]) -> float:
        """How many times the channels of a tensor there would be."""
        parts = self._parts.get(tensor, {}).items()
        channels = sum(count for _, count in parts)
        grown = sum(count * widths[group] / self._widths[group] for group, count in parts)
        return grown / channels if channels else 1.0
