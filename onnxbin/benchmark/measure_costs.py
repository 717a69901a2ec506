"""Measures what layers cost: in the whole network, where they will run.

A layer alone, in a session of its own, has other surroundings: other caches, and no reordering of memory
between it and its neighbours. So six whole networks run in turns: the original, and the compressed one with
all of its binary layers in each width. Each is timed, and profiled (`layers.profile`); what the profiler adds
to a run is the same for each node, and is taken off.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto

from onnxbin import model as files
from onnxbin.benchmark.contender import Contender, Feed, is_compressed
from onnxbin.benchmark.costs import WIDTHS, Costs, LayerCost, Width, width_name
from onnxbin.benchmark.inputs import FEEDS, inputs
from onnxbin.benchmark.latency import alternate, clock
from onnxbin.benchmark.layers import Profile, profile
from onnxbin.benchmark.machine import Machine
from onnxbin.errors import OnnxbinError
from onnxbin.images import choose
from onnxbin.large import serialized
from onnxbin.model import Model
from onnxbin.operator import QuantInput, Quantizer, SignInput
from onnxbin.plan import ORIGINAL_KEY, plan
from onnxbin.settings import Settings
from onnxbin.surgery import binary_layers, with_quantizers
from onnxbin.trainer import closed_form

MICROSECOND = 1e-3
"""In milliseconds."""

BUSY, MOST_OF_ITS_OWN = 1.25, 0.02
"""Where nodes take so many times as long as a run that is not profiled, and each so many milliseconds longer,
it is not the profiler that takes the time, but other programs."""

Progress = Callable[[str], None]
"""Is told, in a few words, what is being measured."""


def profile_model(
    model: str | os.PathLike[str],
    compressed: str | os.PathLike[str] | None = None,
    *,
    threads: int = 1,
    runs: int | None = None,
    input_size: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Costs:
    """Measure the costs of a model's layers on this machine, in ONNX Runtime with our kernels.

    model: the original. compressed: made from it; the costs are of its binary layers. Without it, they are of
    all layers that could be binary. runs: timed runs of each network; as many as `latency` allows by default.
    input_size: height and width, where the model leaves them open.
    Raises OnnxbinError where the models cannot be run, or are not what was said.
    """
    for option, value in (("--threads", threads), ("--runs", runs)):
        if value is not None and value < 1:
            raise OnnxbinError(f"{option} {value}: expected at least 1")
    original = files.load(model)
    if is_compressed(original.proto):
        raise OnnxbinError(
            f"{original.path}: is compressed; costs are measured beside the original's: "
            "onnxbin profile ORIGINAL COMPRESSED"
        )
    if compressed is None:
        network = _all_binary(original, input_size)
    else:
        made = files.load(compressed)
        _check_origin(made, original)
        network = made.proto
    given = inputs(original, choose(original.proto), None, input_size)
    feeds = list(given.feeds(FEEDS))
    return measure_costs(
        original,
        network,
        feeds,
        f"{len(feeds)} {given.description}",
        threads=threads,
        runs=runs,
        progress=progress or (lambda _: None),
    )


def measure_costs(
    original: Model,
    compressed: ModelProto,
    feeds: Sequence[Feed],
    description: str,
    *,
    threads: int = 1,
    runs: int | None = None,
    progress: Progress = lambda _: None,
) -> Costs:
    """The same for models that have been read, and inputs for both; description: what these are, in words."""
    names = list(binary_layers(compressed))
    variants = [with_quantizers(compressed, dict.fromkeys(names, _quantizer(width))) for width in WIDTHS]
    first = Contender(str(original.path), original.path, original.proto, original.file_bytes, False, feeds)
    others = [
        Contender(f"{original.path}, inputs {width_name(width)}", original.path, proto, 0, True, feeds)
        for width, proto in zip(WIDTHS, variants, strict=True)
    ]
    progress("timing the original, and the network in 5 widths")
    sessions = [
        first.session(threads),
        *(other.session(threads, content=serialized(other.proto)) for other in others),
    ]
    calls = [
        functools.partial(entry.run, session)
        for entry, session in zip([first, *others], sessions, strict=True)
    ]
    latencies = [timing.median for timing in alternate(calls, runs, clock(threads))]
    progress("timing their layers")
    found = [
        _Times(one, latency, names)
        for one, latency in zip(profile([first, *others], threads, runs), latencies, strict=True)
    ]
    convs, *binaries = found
    widths = [width_name(width) for width in WIDTHS]
    by_width = list(zip(widths, binaries, strict=True))
    return Costs(
        model=original.sha256,
        machine=Machine.here(),
        threads=threads,
        inputs=description,
        original=latencies[0],
        rest=statistics.median(times.rest for times in binaries),
        layers=tuple(
            LayerCost(name, convs.layers[name], {width: times.layers[name] for width, times in by_width})
            for name in names
        ),
        networks=dict(zip(widths, latencies[1:], strict=True)),
    )


class _Times:
    """Where one network's time goes: its `layers` of these names, and the `rest`; without the profiler's own.

    latency: of a run that is not profiled, in milliseconds.
    """

    def __init__(self, found: Profile, latency: float, names: Sequence[str]) -> None:
        lost = [name for name in names if name not in found.layers()]
        if lost:
            raise OnnxbinError(f"layer {lost[0]!r}: this ONNX Runtime does not say how long it takes")
        own = (found.total - latency) / max(1, len(found.nodes))
        if found.total > BUSY * latency and own > MOST_OF_ITS_OWN:
            raise OnnxbinError(
                f"the machine is too busy to time layers: a run takes {latency:.1f} ms, but its nodes "
                f"{found.total:.1f}; when it is idle, `onnxbin profile MODEL COMPRESSED -o costs.json` "
                "measures them for --costs"
            )
        sums = dict.fromkeys(names, 0.0)
        rest = 0.0
        for node in found.nodes:
            if node.layer in sums:
                sums[node.layer] += node.median - own
            else:
                rest += node.median - own
        # The profiler counts in whole microseconds: what takes none may come out below zero.
        self.layers = {name: max(0.0, time) for name, time in sums.items()}
        self.rest = max(MICROSECOND, rest)


def _quantizer(width: Width) -> Quantizer:
    """One of this width; what it makes of values does not matter for the time it takes."""
    one = np.ones(1, np.float32)
    if width is None:
        return None
    return SignInput(one, 0 * one) if width == 1 else QuantInput(one, one * 2 ** (width - 1), width)


def _all_binary(original: Model, input_size: tuple[int, int] | None) -> ModelProto:
    planned = plan(original, Settings(input_size=input_size))
    if not planned.order:
        raise OnnxbinError(f"{original.path}: has no convolution that could be binary; see onnxbin inspect")
    values = {tensor.name: tensor for tensor in planned.prepared.graph.initializer}
    return planned.build({}, {layer.name: closed_form(layer, values, 1) for layer in planned.order})


def _check_origin(compressed: Model, original: Model) -> None:
    """That one was made from the other, as far as its metadata says."""
    if not is_compressed(compressed.proto):
        raise OnnxbinError(f"{compressed.path}: has no binary layers; expected what compress made")
    said = {entry.key: entry.value for entry in compressed.proto.metadata_props}.get(ORIGINAL_KEY)
    try:
        source = {} if said is None else json.loads(said)
        sha256 = source.get("sha256", original.sha256)
    except (AttributeError, ValueError):
        sha256 = None
    if sha256 != original.sha256:
        raise OnnxbinError(f"{compressed.path}: was not made from {original.path}, as its metadata says")
