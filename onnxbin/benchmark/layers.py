"""Where the time of a network goes: ONNX Runtime's profiler, its figures brought back to the file's nodes.

The runtime fuses and renames: a Conv with the activation behind it becomes one node, called after the node or
after its output, with something appended. So, before it is loaded, every node and every output is given a
label, @number@, which survives in whatever name comes out:

1. A profiled node belongs to the node of the file whose label it bears. What has none (reordering of memory,
   say) the runtime put in.
2. A layer is a convolution and the activation and normalization behind it, whether fused or not: only so can
   layers be compared across runtimes. A node of that kind belongs to the convolution that its inputs lead
   back to, if they all lead to the same.
3. A convolution that swallowed an addition bears the label of a node behind two convolutions. It is the one
   of them that is not accounted for otherwise.
"""

from __future__ import annotations

import functools
import json
import re
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto

from onnxbin.benchmark.contender import Contender
from onnxbin.benchmark.latency import alternate
from onnxbin.operator.function import DOMAIN
from onnxbin.surgery import layer_names

_BEHIND = {
    "BatchNormalization", "Clip", "DequantizeLinear", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu",
    "Mish", "Mul", "PRelu", "QuantizeLinear", "Relu", "Selu", "Sigmoid", "Softplus", "Tanh",
}  # fmt: skip
"""Ops of rule 2; Mul is in x * sigmoid(x), quantization is what int8 models have in between."""

_ADDITIONS = {"Add", "Sum"}


@dataclass(frozen=True)
class NodeTime:
    """A node as the runtime ran it. op: its type there. layer: the convolution it belongs to, if any.

    milliseconds: of each profiled run.
    """

    op: str
    layer: str | None
    milliseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """In milliseconds."""
        return statistics.median(self.milliseconds)


@dataclass(frozen=True)
class LayerTime:
    """binary: whether it is one of our operators in the file. milliseconds: the sum of its nodes' medians."""

    binary: bool
    milliseconds: float


@dataclass(frozen=True)
class Profile:
    """nodes: all that ran, in order. binary: the names of the layers that are our operators."""

    nodes: tuple[NodeTime, ...]
    binary: frozenset[str]

    @property
    def total(self) -> float:
        """The sum of all nodes' medians, in milliseconds."""
        return sum(node.median for node in self.nodes)

    def layers(self) -> dict[str, LayerTime]:
        """Layer name -> its time, in the order in which they ran."""
        sums = _sums((node.layer, node.median) for node in self.nodes if node.layer is not None)
        return {name: LayerTime(name in self.binary, time) for name, time in sums.items()}

    def ops(self) -> dict[str, float]:
        """Type of node -> milliseconds; they add up to `total`."""
        return _sums((node.op, node.median) for node in self.nodes)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: sums, and the times they come from."""
        return {
            "total": self.total,
            "layers": {name: vars(layer) for name, layer in self.layers().items()},
            "ops": self.ops(),
            "nodes": [vars(node) for node in self.nodes],
        }


def _sums(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for key, value in pairs:
        sums[key] = sums.get(key, 0.0) + value
    return sums


def profile(contenders: Sequence[Contender], threads: int, rounds: int | None = None) -> list[Profile]:
    """Profile the contenders in turns, as `latency.alternate` has it, in sessions of their own."""
    with tempfile.TemporaryDirectory() as folder:
        sessions = [
            contender.session(
                threads,
                content=labelled(contender.proto, inlined=not contender.kernels).SerializeToString(),
                profile=Path(folder) / str(number),
            )
            for number, contender in enumerate(contenders)
        ]
        calls = [
            functools.partial(contender.run, session)
            for contender, session in zip(contenders, sessions, strict=True)
        ]
        timings = alternate(calls, rounds)
        logs = [json.loads(Path(session.end_profiling()).read_text()) for session in sessions]
    done = len(timings[0].milliseconds)
    return [_profile(contender.proto, log, done) for contender, log in zip(contenders, logs, strict=True)]


def labelled(proto: ModelProto, inlined: bool) -> ModelProto:
    """A copy whose nodes, and the outputs of these, bear the label of the node; see the head of this file.

    inlined: with functions in place of the nodes that call them. A runtime without our library would do that
    itself, but leaves the nodes without names, and the label is lost where it fuses them.
    """
    model = ModelProto()
    model.CopyFrom(proto)
    del model.graph.value_info[:], model.graph.quantization_annotation[:]
    names: dict[str, str] = {}
    for number, node in enumerate(model.graph.node):
        node.name = f"@{number}@"
        for position, output in enumerate(node.output):
            if output:
                names[output] = f"@{number}@{position}"
    for value in model.graph.output:
        value.name = names.get(value.name, value.name)
    _rename(model.graph, names)
    if inlined:
        model = onnx.inliner.inline_local_functions(model)
        for node in model.graph.node:
            if node.output and node.output[0].startswith("@"):
                node.name = node.output[0]
    return model


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors wherever they are written and read; the graphs inside nodes see those around them."""
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                _rename(inner, names)
                for value in inner.output:
                    value.name = names.get(value.name, value.name)


def _profile(proto: ModelProto, events: list[dict[str, Any]], rounds: int) -> Profile:
    runs = _timed_runs(events, rounds)
    times: dict[str, list[float]] = {}
    ops: dict[str, str] = {}
    for number, run in enumerate(runs):
        for event in run:
            name = event["name"]
            ops[name] = event["args"]["op_name"]
            # A node that did not run (a branch) took no time.
            times.setdefault(name, [0.0] * len(runs))[number] += event["dur"] / 1e3
    layers = _Layers(proto)
    owners = layers.of_events(ops)
    nodes = tuple(NodeTime(ops[name], owners[name], tuple(values)) for name, values in times.items())
    return Profile(nodes, layers.binary)


def _timed_runs(events: list[dict[str, Any]], rounds: int) -> list[list[dict[str, Any]]]:
    """The node events of each timed run. `alternate` makes one call at the start, then two each round."""
    ordered = sorted(events, key=lambda event: (event["ts"], -event["dur"]))
    spans = [event for event in ordered if event["name"] == "model_run"]
    nodes = [event for event in ordered if event["cat"] == "Node" and "op_name" in event["args"]]
    runs = []
    for span in spans[2::2][:rounds]:
        run: list[dict[str, Any]] = []
        end = span["ts"]
        for event in nodes:
            inside = span["ts"] <= event["ts"] and event["ts"] + event["dur"] <= span["ts"] + span["dur"]
            # The nodes inside a Loop or If come again in its own time.
            if inside and event["ts"] + event["dur"] > end:
                run.append(event)
                end = event["ts"] + event["dur"]
        runs.append(run)
    return runs


class _Layers:
    """Which convolution of a file a profiled node belongs to."""

    def __init__(self, proto: ModelProto) -> None:
        self._nodes = list(proto.graph.node)
        self._producers = {name: n for n, node in enumerate(self._nodes) for name in node.output if name}
        names = layer_names(proto)
        self._names = {
            number: self._name(node, names, proto)
            for number, node in enumerate(self._nodes)
            if _is_convolution(node)
        }
        self.binary = frozenset(
            name for number, name in self._names.items() if self._nodes[number].domain == DOMAIN
        )

    def of_events(self, ops: Mapping[str, str]) -> dict[str, str | None]:
        """Name of a profiled node -> its layer, given the types of all that ran, in order."""
        labels = {name: re.search(r"@(\d+)@", name) for name in ops}
        found: dict[str, int | None] = {}
        for name, label in labels.items():
            sources = self._sources(int(label[1]), _BEHIND) if label else set()
            found[name] = sources.pop() if len(sources) == 1 else None
        taken = {found[name] for name, op in ops.items() if "Conv" in op}
        for (
            name,
            op,
        ) in ops.items():  # rule 3; in order, for behind a chain of additions are many convolutions
            label = labels[name]
            if "Conv" in op and found[name] is None and label:
                left = self._sources(int(label[1]), _BEHIND | _ADDITIONS) - taken
                if len(left) == 1:
                    found[name] = left.pop()
                    taken.add(found[name])
        return {name: None if number is None else self._names[number] for name, number in found.items()}

    def _sources(self, start: int, through: set[str]) -> set[int]:
        """The convolutions that a node's inputs lead back to through such ops; empty if also elsewhere."""
        sources: set[int] = set()
        seen = {start}
        waiting = [start]
        while waiting:
            number = waiting.pop()
            node = self._nodes[number]
            if number in self._names:
                sources.add(number)
            elif node.op_type in through:
                before = {self._producers[name] for name in node.input if name in self._producers}
                before = {n for n in before if self._nodes[n].op_type != "Constant"}
                waiting.extend(before - seen)
                seen |= before
            elif not through & _ADDITIONS:
                return set()
        return sources

    def _name(self, node: NodeProto, names: Mapping[str, str], proto: ModelProto) -> str:
        """The name that the layer has in a compressed model, whose batch norms are folded."""
        output = node.output[0]
        if names[output] != output:
            return names[output]
        readers = [other for other in proto.graph.node if output in other.input]
        folds = len(readers) == 1 and readers[0].op_type == "BatchNormalization"
        return names[readers[0].output[0]] if folds else output


def _is_convolution(node: NodeProto) -> bool:
    return node.domain == DOMAIN or node.op_type in ("Conv", "ConvTranspose")
