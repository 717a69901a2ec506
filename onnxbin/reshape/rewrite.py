"""The network with other channels: every constant edited that depends on them.

A `Change` says for each bundle of channels how often it is there from now on: 1, as before; 2 or more, as
copies side by side; 0, no more. The rules of onnxbin.reshape.rules carry that through the graph once more,
node by node, while the constants of each node follow:

* where a constant has an entry for each channel (filters, biases, batch norms), entries are repeated or left
  out with the channel: its copies are the same;
* where a weight sums over channels, its entry for a channel is divided among the copies, which keeps the sum
  (Net2WiderNet: Chen, Goodfellow, Shlens, ICLR 2016, section 2.3), and the entry of a channel that was merged
  into another is added to the other's.

So copies preserve what the network computes. A share of a weight may be uneven (see `Change.noise`), as long
as all of them add up: copies are told apart by it in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto

from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.network import Network
from onnxbin.reshape.rules import Channels, Refusal, follow
from onnxbin.surgery import exported, fresh_name, imported

_COPIES = 1 << 20
"""A channel's number, times this, plus which copy it is."""


@dataclass(frozen=True)
class Change:
    """How often channels are there from now on.

    counts: of each bundle; once, where it is not mentioned. Of a group at least two must be left: the rules
    take an axis of length one for one without channels.

    merged: bundle that is there no more -> the bundle that stands for it, and what that one's channels have
    to be multiplied by to resemble its own.
    noise: the standard deviation of what the shares of a weight differ by, in units of the root mean square
    of the filter's weights. seed: of the noise.
    """

    counts: Mapping[int, int] = field(default_factory=dict)
    merged: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    noise: float = 0.0
    seed: int = 0


class Conflict(Exception):  # noqa: N818, no error: the planner learns from it
    """A change cannot be carried through a node.

    channels: those that reach it. reason: what stands against it.
    """

    def __init__(self, channels: Sequence[int], reason: str) -> None:
        super().__init__(reason)
        self.channels = channels
        self.reason = reason


def rewritten(before: Dependencies, change: Change) -> ModelProto:
    """The network changed. Raises Conflict where it would be another than the change says."""
    flow = _Rewriting(before, change)
    flow.follow_graph()
    return flow.model()


class _Rewriting:
    """A flow (see onnxbin.reshape.rules) in which each channel is a number and a copy; edits constants."""

    def __init__(self, before: Dependencies, change: Change) -> None:
        self.network: Network = before.network
        self._before = before
        self._change = change
        self._rng = np.random.default_rng(change.seed)
        self._channels: dict[str, Channels] = {}
        self._edited: dict[tuple[str, int], npt.NDArray[Any]] = {}
        self._attributes: dict[tuple[str, str], int] = {}

    def follow_graph(self) -> None:
        for value in self.network.proto.graph.input:
            channels = self._before.of(value.name)
            if channels is not None:
                self.set(value.name, channels * _COPIES)
        for node in self.network.nodes:
            if node.op_type in ("Constant", "Shape") or node.output[0] in self._before.refused:
                continue
            try:
                follow(node, self)
            except Refusal as refusal:
                read = [self._before.of(name) for name in self.network.values_read(node)]
                numbers = np.concatenate([channels.ravel() for channels in read if channels is not None])
                title = f"{node.op_type} {self.network.name_of(node)}"
                raise Conflict(np.unique(numbers).tolist(), f"{title}: {refusal}") from None

    def model(self) -> ModelProto:
        """The edited copy, without notes on shapes and constants that are no longer true or used."""
        model = ModelProto()
        model.CopyFrom(self.network.proto)
        del model.graph.value_info[:]
        taken = {name for node in model.graph.node for name in [*node.input, *node.output]}
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        nodes = {node.output[0]: node for node in model.graph.node}
        for (output, slot), value in self._edited.items():
            node = nodes[output]
            if slot == len(node.input):  # Split, whose parts were equal
                even = [a for a in node.attribute if a.name == "num_outputs"]
                for attribute in even:
                    node.attribute.remove(attribute)
                node.input.append(fresh_name(f"{output}.sizes", taken))
                model.graph.initializer.append(onnx.numpy_helper.from_array(value, node.input[slot]))
                continue
            old = node.input[slot]
            if _same_values(value, self.network.constant(old)):
                continue
            alone = len(self.network.readers[old]) == 1 and old not in self.network.outputs
            if old in stored and alone:
                stored[old].CopyFrom(onnx.numpy_helper.from_array(value, old))
            else:
                node.input[slot] = fresh_name(old, taken)
                model.graph.initializer.append(onnx.numpy_helper.from_array(value, node.input[slot]))
        for (output, name), number in self._attributes.items():
            for attribute in nodes[output].attribute:
                if attribute.name == name:
                    attribute.i = number
        graph = imported(model)
        graph.cleanup(remove_unused_graph_inputs=False)
        return exported(graph, model)

    # As a flow

    def of(self, name: str) -> Channels | None:
        return self._channels.get(name)

    def set(self, name: str, channels: Channels) -> None:
        self._channels[name] = channels

    def merge(self, a: Channels, b: Channels) -> Channels:
        alike = a.shape == b.shape and (a % _COPIES == b % _COPIES).all()
        if not alike or (self._identity(a) != self._identity(b)).any():
            raise Refusal("the channels that it brings together would no longer be in the same order")
        return a

    def tie(self, channels: Channels, axis: int) -> None:
        bundles = self._before.bundle(channels // _COPIES)
        if (bundles != np.take(bundles, [0], axis)).any():
            raise Refusal("it arranges channels in rows that would no longer go together")

    def freeze(self, channels: Channels, reason: str) -> None:
        pass

    def produce(self, name: str, count: int) -> Channels:  # noqa: ARG002
        numbers = self._before.made[name]
        counts = self._counts(numbers)
        copies = np.concatenate([np.arange(count) for count in counts])
        made: Channels = np.repeat(numbers, counts) * _COPIES + copies
        return made

    def keep(self, node: NodeProto, slot: int, axis: int, tensor: str) -> None:
        value = self._value(node, slot)
        self._edited[node.output[0], slot] = np.take(value, self.positions(tensor), axis)

    def contract(self, node: NodeProto, slot: int, axis: int, tensor: str, groups: int = 1) -> None:
        weight = np.moveaxis(self._value(node, slot), axis, -1)
        positions = self.positions(tensor)
        if not groups > 1:
            summed = self._shared_out(self._with_merged(weight, tensor), positions)
        else:
            parts = weight.reshape(groups, -1, *weight.shape[1:])
            each = positions.reshape(groups, -1) - weight.shape[-1] * np.arange(groups)[:, None]
            if (each < 0).any() or (each >= weight.shape[-1]).any():
                raise Refusal("its groups would no longer see their own channels")
            summed = np.concatenate([self._shared_out(*part) for part in zip(parts, each, strict=True)])
        self._edited[node.output[0], slot] = np.moveaxis(summed, -1, axis)

    def positions(self, tensor: str) -> Channels:
        """By the number of each channel; the n-th of several of the same number was the n-th before."""
        old = self._numbers(tensor)
        places: dict[int, list[int]] = {}
        for place, number in enumerate(old.tolist()):
            places.setdefault(number, []).append(place)
        seen: dict[int, int] = {}
        found = []
        for channel in self._channels[tensor].ravel().tolist():
            turn = seen[channel] = seen.get(channel, -1) + 1
            known = places.get(channel // _COPIES, [])
            if turn >= len(known):
                raise Refusal("it would read channels that it did not read before")
            found.append(known[turn])
        positions = np.array(found, np.int64)
        if (np.bincount(positions, minlength=len(old)) != self._counts(old)).any():
            raise Refusal("it would read channels another number of times")
        return positions

    def set_integers(self, node: NodeProto, slot: int, values: Sequence[int]) -> None:
        kind = self.network.constant(node.input[slot]).dtype if slot < len(node.input) else np.dtype(np.int64)
        self._edited[node.output[0], slot] = np.array(values, kind).reshape(-1)

    def set_attribute(self, node: NodeProto, name: str, value: int) -> None:
        self._attributes[node.output[0], name] = value

    # Values

    def _value(self, node: NodeProto, slot: int) -> npt.NDArray[Any]:
        edited = self._edited.get((node.output[0], slot))
        return self.network.constant(node.input[slot]) if edited is None else edited

    def _numbers(self, tensor: str) -> Channels:
        channels = self._before.of(tensor)
        assert channels is not None
        return channels.ravel()

    def _counts(self, numbers: Channels) -> Channels:
        """How often channels of these numbers are there."""
        bundles = self._before.bundle(numbers).tolist()
        return np.array([self._change.counts.get(bundle, 1) for bundle in bundles], np.int64)

    def _identity(self, channels: Channels) -> Channels:
        return self._before.identity(channels // _COPIES)

    def _with_merged(self, weight: npt.NDArray[Any], tensor: str) -> npt.NDArray[Any]:
        """The weight [..., channels] with the entries of merged channels added to those they went into."""
        if not self._change.merged:
            return weight
        bundles = self._before.bundle(self._numbers(tensor)).tolist()
        places: dict[int, list[int]] = {}
        for place, bundle in enumerate(bundles):
            places.setdefault(bundle, []).append(place)
        weight = weight.copy()
        for bundle, own in places.items():
            if bundle in self._change.merged:
                other, factor = self._change.merged[bundle]
                for place, target in zip(own, places[other], strict=True):
                    weight[..., target] += factor * weight[..., place]
        return weight

    def _shared_out(self, weight: npt.NDArray[Any], positions: Channels) -> npt.NDArray[Any]:
        """The weight [M, ..., channels] for these positions; copies get shares that add up to the whole."""
        copies = np.bincount(positions, minlength=weight.shape[-1])
        shares: npt.NDArray[Any] = weight[..., positions] / np.maximum(copies, 1)[positions].astype(
            weight.dtype
        )
        if self._change.noise and (copies > 1).any():
            size = np.sqrt(np.square(weight).mean(axis=tuple(range(1, weight.ndim)), keepdims=True))
            noise = self._rng.normal(0, self._change.noise, shares.shape) * size
            for position in np.flatnonzero(copies > 1):
                own = positions == position
                noise[..., own] -= noise[..., own].mean(-1, keepdims=True)
            noise[..., copies[positions] < 2] = 0
            shares = shares + noise.astype(weight.dtype)
        return shares


def _same_values(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a.shape == b.shape and bool((a == b).all())
