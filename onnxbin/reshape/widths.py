"""Making stages wider: by how much, so that the network's multiply-accumulates are what they were.

A stage whose depth went from D to d gets sqrt(D / d) times its width: its convolutions cost c^2 d. Those
between stages do not follow that rule, so all these factors are then multiplied by one more number, found by
search, with which the whole network costs the same again. Widths are rounded to multiples of 32, the channels
of a word and the filters of a panel of our kernels; narrow ones, for which that is too coarse, to the largest
power of two that is no more than an eighth of the width. Stages from which nothing was dropped keep theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxbin.reshape.channels import Dependencies, Group
from onnxbin.reshape.network import attributes

CHANNEL_MULTIPLE = 32
"""What our kernels work through together (custom_ops/README.md)."""

TOLERANCE = 0.05
"""The share by which the multiply-accumulates may differ."""

_SCALES = tuple(2 ** (step / 256) for step in range(-512, 769))  # from a quarter to eight


@dataclass(frozen=True)
class Cost:
    """Of Convs, for one image: multiply-accumulates, and the values that they hand on."""

    macs: float = 0.0
    activations: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.activations + other.activations)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.macs - other.macs, self.activations - other.activations)


class Costs:
    """What a network costs as a function of the widths of its groups (see onnxbin.reshape.channels)."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._widths = [len(group.bundles) for group in dependencies.groups]
        self._parts: dict[str, dict[int, int]] = {}  # tensor -> its groups, with how many channels of each
        for number, group in enumerate(dependencies.groups):
            for name, count in group.tensors.items():
                self._parts.setdefault(name, {})[number] = count
        network = dependencies.network
        self._convolutions = [
            _Convolution(
                node.input[0],
                node.output[0],
                network.constant(node.input[1]).shape,
                int(attributes(node).get("group", 1)),
                math.prod(network.shapes[node.output[0]][2:]),
            )
            for node in network.nodes
            if node.op_type == "Conv"
            and network.is_constant(node.input[1])
            and node.output[0] in network.shapes
        ]

    def of(self, widths: Sequence[int]) -> dict[str, Cost]:
        """Of each Conv, by output, with so many bundles in each group."""
        found = {}
        for conv in self._convolutions:
            made = self._channels(conv.output, conv.shape[0], widths)
            read = self._channels(conv.input, conv.shape[1] * conv.group, widths)
            summed = conv.shape[1] if conv.depthwise else read / conv.group
            values = conv.positions * made
            found[conv.output] = Cost(values * summed * math.prod(conv.shape[2:]), values)
        return found

    def macs(self, widths: Sequence[int]) -> float:
        """Of the whole network."""
        return sum(cost.macs for cost in self.of(widths).values())

    def _channels(self, tensor: str, before: int, widths: Sequence[int]) -> float:
        if tensor not in self._parts:
            return before
        parts = self._parts[tensor].items()
        return sum(count * widths[group] / self._widths[group] for group, count in parts)


@dataclass(frozen=True)
class _Convolution:
    """positions: of its output, for one image."""

    input: str
    output: str
    shape: tuple[int, ...]
    group: int
    positions: int

    @property
    def depthwise(self) -> bool:
        return self.group > 1 and self.shape[1] == 1


def widened(groups: Sequence[Group], factors: Mapping[int, float], costs: Costs, macs: float) -> list[int]:
    """The width of each group, rounded, so that the network costs `macs`.

    factors: group -> what its width is to be multiplied by before all are scaled together; others keep it.
    None becomes narrower. The coarsest rounding that comes within TOLERANCE is taken.
    """
    best: list[int] = []
    multiple = CHANNEL_MULTIPLE
    while multiple >= 1:
        found = [_rounded(groups, factors, scale, multiple) for scale in _SCALES]
        best = min(found, key=lambda widths: abs(costs.macs(widths) - macs))
        if abs(costs.macs(best) / macs - 1) <= TOLERANCE:
            break
        multiple //= 2
    return best


def _rounded(groups: Sequence[Group], factors: Mapping[int, float], scale: float, multiple: int) -> list[int]:
    widths = [len(group.bundles) for group in groups]
    for number, factor in factors.items():
        widths[number] = max(widths[number], round_width(widths[number] * factor * scale, multiple))
    return widths


def round_width(width: float, multiple: int = CHANNEL_MULTIPLE) -> int:
    """To a multiple of `multiple`, or of the largest power of two that is at most an eighth of the width.

    >>> [round_width(width) for width in (45.3, 90.5, 181.0, 362.0)]
    [44, 88, 176, 352]
    """
    while multiple > 1 and multiple > width / 8:
        multiple //= 2
    return max(1, round(width / multiple)) * multiple
