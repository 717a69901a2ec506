"""int8 arithmetic for what stays real, where it makes the whole network faster.

A convolution in int8 takes a half to a third of its time in float32, but between int8 and float nodes stand
conversions, and some nodes are far slower in int8 than in float (a MaxPool of a large image: 6.8 ms instead
of 0.2). Which nodes it pays for depends on the network, so that the choices are timed. Activations between
int8 convolutions are nodes of ours, see onnxbin.int8_activations.

TABLE

The convolutions that read the image stay float: int8 takes them twice as long. On yolov4_tiny the rest in
int8 costs .009 person AP on pedestrians and .005 in other scenes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnxruntime
from onnx import ModelProto

from onnxbin.benchmark.latency import alternate, clock
from onnxbin.int8_activations import with_byte_activations, with_whole_activations
from onnxbin.large import serialized
from onnxbin.layers import inventory
from onnxbin.operator import session
from onnxbin.operator.qlinear import OPS
from onnxbin.static_int8 import Feed, with_static_int8

_ACTIVATIONS = ("Conv", "Clip", "Relu", *OPS.values())
_JOINS = (*_ACTIVATIONS, "Add", "Concat", "Split")

CHOICES: dict[str, Sequence[str]] = {
    "convolutions and activations": _ACTIVATIONS,
    "convolutions, activations and joins": _JOINS,
}
"""What computes in int8, by the types of nodes."""

LARGEST_LOSS = 0.02
"""What int8 arithmetic may take away from the agreement of boxes; of outputs, where there are no boxes."""

_ROUNDS = 7


@dataclass(frozen=True, eq=False)
class Candidate:
    """A way to compute what stays real.

    int8: one of CHOICES; None where all stays float. milliseconds: of the whole network, the median, on one
    thread with the operator library.
    """

    int8: str | None
    model: ModelProto
    milliseconds: float


def candidates(
    model: ModelProto,
    calibration: Sequence[Feed],
    made: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Candidate]:
    """The model as it is, and with what stays real in int8, the fastest on this machine first.

    model: with binary layers, real weights in float32. calibration: inputs to take the ranges of activations
    from, and to time the models on. made: is told how many of how many models are made.
    Raises OnnxbinError where ONNX Runtime cannot quantize the model.
    """
    first = [layer.name for layer in inventory(model) if layer.depth == 1]
    models: list[tuple[str | None, ModelProto]] = [(None, model)]
    whole = with_whole_activations(model)
    for done, (name, ops) in enumerate(CHOICES.items(), 1):
        quantized = with_static_int8(whole, calibration, ops=ops, keep=first)
        models.append((name, with_byte_activations(quantized)))
        made(done, len(CHOICES))
    runs = [functools.partial(_run, _session(proto), calibration) for _, proto in models]
    timings = alternate(runs, _ROUNDS, clock(1))
    found = [
        Candidate(name, proto, timing.median) for (name, proto), timing in zip(models, timings, strict=True)
    ]
    return sorted(found, key=lambda candidate: candidate.milliseconds)


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    return session(serialized(model), options)


def _run(opened: onnxruntime.InferenceSession, feeds: Sequence[Feed], number: int) -> object:
    return opened.run(None, feeds[number % len(feeds)])
