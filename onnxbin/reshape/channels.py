"""Which channels of a network depend on each other: what has to be widened or pruned together.

Every channel that a convolution makes gets a number, and `onnxbin.reshape.rules` carries the numbers through
the graph. Where two tensors are added, their channels are the same from then on; where channels are regrouped
(a shuffle, a grouped convolution), some come and go together though they differ. What reaches an output of
the network, or a node that is not followed, is frozen, with the reason.

Channels that always travel together, that is, that are in exactly the same tensors, form a `Group`: a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from onnxbin.reshape.network import Network
from onnxbin.reshape.rules import Channels, Refusal, follow
from onnxbin.text import printable


@dataclass(frozen=True)
class Group:
    """One width of the network.

    bundles: what is widened or pruned as a unit; a number each, and most often one channel.
    tensors: where its channels are, with how many of them there. makers: outputs of the convolutions that
    make them. frozen: why its width stays as it is, or None.
    """

    bundles: tuple[int, ...]
    tensors: Mapping[str, int]
    makers: tuple[str, ...]
    frozen: str | None


class Dependencies:
    """The channels of a network: of each tensor their numbers, and the groups that they form.

    frozen: further channels that must stay as they are, with the reasons.
    of: see onnxbin.reshape.rules.Flow, as of which this acts while it goes through the graph.
    """

    def __init__(self, network: Network, frozen: Mapping[int, str] | None = None) -> None:
        self.network = network
        self.made: dict[str, Channels] = {}
        self.refused: set[str] = set()
        self._channels: dict[str, Channels] = {}
        self._same = _Unions()
        self._together = _Unions()
        self._reasons: list[tuple[Channels, str]] = []
        self._title = ""  # of the node that is followed
        self._follow_graph()
        self._reasons += [(np.array([number]), reason) for number, reason in (frozen or {}).items()]
        self._frozen = self._frozen_bundles()
        self.groups = self._find_groups()

    def identity(self, channels: Channels) -> Channels:
        """One number for channels that are the same."""
        return self._same.find(channels)

    def bundle(self, channels: Channels) -> Channels:
        """One number for channels that come and go together."""
        return self._together.find(channels)

    # As a flow

    def of(self, name: str) -> Channels | None:
        """The channels of a tensor, see onnxbin.reshape.rules; None where they were not followed."""
        return self._channels.get(name)

    def set(self, name: str, channels: Channels) -> None:
        """The channels of a node's output."""
        self._channels[name] = channels

    def merge(self, a: Channels, b: Channels) -> Channels:
        """They are the same from now on."""
        for unions in (self._same, self._together):
            unions.join(a.ravel(), b.ravel())
        return a

    def tie(self, channels: Channels, axis: int) -> None:
        """They come and go together along this axis."""
        first = np.take(channels, [0], axis)
        self._together.join(np.broadcast_to(first, channels.shape).ravel(), channels.ravel())

    def freeze(self, channels: Channels, reason: str) -> None:
        """They stay as they are."""
        self._reasons.append((channels.ravel(), f"{self._title}: {reason}" if self._title else reason))

    def produce(self, name: str, count: int) -> Channels:
        """New channels, made by the node of this output."""
        self._together.add(count)
        self.made[name] = self._same.add(count)
        return self.made[name]

    def keep(self, node: NodeProto, slot: int, axis: int, tensor: str) -> None:
        """Nothing depends on it."""

    def contract(self, node: NodeProto, slot: int, axis: int, tensor: str, groups: int = 1) -> None:  # noqa: ARG002
        """A weight that others read too would have to follow the channels of all of them."""
        if len(self.network.readers[node.input[slot]]) > 1 or node.input[slot] in self.network.outputs:
            raise Refusal(f"its weight {node.input[slot]!r} is shared")

    def positions(self, tensor: str) -> Channels:
        """Each is where it was."""
        return np.arange(self._channels[tensor].size)

    def set_integers(self, node: NodeProto, slot: int, values: Sequence[int]) -> None:
        """Nothing is edited."""

    def set_attribute(self, node: NodeProto, name: str, value: int) -> None:
        """Nothing is edited."""

    # Construction

    def _follow_graph(self) -> None:
        for value in self.network.proto.graph.input:
            shape = self.network.shapes.get(value.name, ())
            if len(shape) > 1:
                channels = self.produce(value.name, shape[1])
                self.freeze(channels, "it is an input of the network")
                self.set(value.name, channels.reshape(1, -1, *[1] * (len(shape) - 2)))
        for node in self.network.nodes:
            if node.op_type == "Constant" or node.op_type == "Shape":
                continue
            self._title = f"{node.op_type} {printable(self.network.name_of(node))}"
            try:
                follow(node, self)
            except Refusal as refusal:
                self.refused.add(node.output[0])
                for name in node.output:
                    self._channels.pop(name, None)
                for name in self.network.values_read(node):
                    if name in self._channels:
                        self.freeze(self._channels[name], str(refusal))
        self._title = ""
        for name in sorted(self.network.outputs & self._channels.keys()):
            self.freeze(self._channels[name], f"they are output {printable(name)!r} of the network")

    def _frozen_bundles(self) -> dict[int, str]:
        frozen: dict[int, str] = {}
        for channels, reason in self._reasons:
            for bundle in np.unique(self.bundle(channels)).tolist():
                frozen.setdefault(bundle, reason)
        return frozen

    def _find_groups(self) -> list[Group]:
        found: dict[int, dict[str, int]] = {}
        for name, channels in self._channels.items():
            bundles, counts = np.unique(self.bundle(channels), return_counts=True)
            for bundle, count in zip(bundles.tolist(), counts.tolist(), strict=True):
                found.setdefault(bundle, {})[name] = count
        makers: dict[int, list[str]] = {}
        for name, channels in self.made.items():
            for bundle in np.unique(self.bundle(channels)).tolist():
                makers.setdefault(bundle, []).append(name)
        alike: dict[tuple[object, ...], list[int]] = {}
        for bundle, tensors in found.items():
            key = (tuple(tensors.items()), tuple(makers[bundle]), self._frozen.get(bundle))
            alike.setdefault(key, []).append(bundle)
        return [
            Group(
                tuple(sorted(bundles)),
                {name: count * len(bundles) for name, count in found[bundles[0]].items()},
                tuple(makers[bundles[0]]),
                self._frozen.get(bundles[0]),
            )
            for bundles in alike.values()
        ]


class _Unions:
    """Sets of numbers that are joined: a union-find (Tarjan 1975) over 0, 1, 2, ..."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    def add(self, count: int) -> Channels:
        """So many new numbers, each its own set."""
        first = len(self._parent)
        self._parent += range(first, first + count)
        return np.arange(first, first + count)

    def find(self, numbers: Channels) -> Channels:
        """For each, the number that its set goes by: the smallest in it."""
        found = [self._root(number) for number in numbers.ravel().tolist()]
        return np.array(found, np.int64).reshape(numbers.shape)

    def join(self, a: Channels, b: Channels) -> None:
        """Join the sets of each pair."""
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self._parent[high] = low

    def _root(self, number: int) -> int:
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number
