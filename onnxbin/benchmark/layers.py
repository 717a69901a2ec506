"""Where the time of a network goes, by ONNX Runtime's profiler.

The profiler counts its own work in, one to two microseconds a node: of a network of many small nodes
the sum is some per cent more than a run takes.
"""

from __future__ import annotations

import functools
import json
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxbin.benchmark.attribution import Attribution, labelled
from onnxbin.benchmark.contender import Contender
from onnxbin.benchmark.latency import alternate
from onnxbin.large import serialized

Event = dict[str, Any]
"""As the profiler writes it: name, cat(egory), ts and dur in microseconds, args."""


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
                content=serialized(labelled(contender.proto, inlined=not contender.kernels)),
                profile=Path(folder) / str(number),
            )
            for number, contender in enumerate(contenders)
        ]
        calls = [
            functools.partial(contender.run, session)
            for contender, session in zip(contenders, sessions, strict=True)
        ]
        done = len(alternate(calls, rounds)[0].milliseconds)
        logs = [json.loads(Path(session.end_profiling()).read_text()) for session in sessions]
    return [
        _profile(contender.proto, timed_runs(log, done))
        for contender, log in zip(contenders, logs, strict=True)
    ]


def timed_runs(events: Sequence[Event], rounds: int) -> list[list[Event]]:
    """The events of the nodes in each timed run, in order.

    `alternate` makes one call at the start, then two each round, of which the second is timed.
    """
    ordered = sorted(events, key=lambda event: (event["ts"], -event["dur"]))
    spans = [event for event in ordered if event["name"] == "model_run"]
    nodes = [event for event in ordered if event["cat"] == "Node" and "op_name" in event["args"]]
    runs = []
    for span in spans[2::2][:rounds]:
        run: list[Event] = []
        end = span["ts"]
        for event in nodes:
            inside = span["ts"] <= event["ts"] and event["ts"] + event["dur"] <= span["ts"] + span["dur"]
            # What runs inside a Loop or If is part of its time.
            if inside and event["ts"] + event["dur"] > end:
                run.append(event)
                end = event["ts"] + event["dur"]
        runs.append(run)
    return runs


def _profile(proto: ModelProto, runs: Sequence[Sequence[Event]]) -> Profile:
    times: dict[str, list[float]] = {}
    ops: dict[str, str] = {}
    for number, run in enumerate(runs):
        for event in run:
            name = event["name"]
            ops[name] = event["args"]["op_name"]
            # In a run that an event is missing from (or was too short to be noticed), it took no time.
            times.setdefault(name, [0.0] * len(runs))[number] += event["dur"] / 1e3
    attribution = Attribution(proto)
    layers = attribution.layers(ops)
    nodes = tuple(NodeTime(ops[name], layers[name], tuple(values)) for name, values in times.items())
    return Profile(nodes, attribution.binary)
