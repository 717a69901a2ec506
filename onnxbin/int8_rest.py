"""int8 arithmetic for what stays real, where it makes the whole network faster.

A convolution in int8 takes a half to a third of its time in float32, but between int8 and float nodes stand
conversions, and some nodes are far slower in int8 than in float (a MaxPool that no int8 convolution follows:
6.8 ms instead of 0.2). Which nodes it pays for depends on the network, so that a few choices are timed. What
they make of the original's speed (one thread; 8-bit inputs and, in brackets, binary ones; the largest layers
binary, to 20 times, 10, 10, 10 and 6):

                          yolov4_tiny  yolov8n      yolox_nano   nanodet_m    ssd_mobilenet
    float                 1.85 (2.44)  1.41 (1.65)  1.13 (1.26)  1.48 (1.71)  1.12 (1.16)
    convolutions          2.71 (4.21)  1.86 (2.26)   .81  (.92)  1.09 (1.16)  1.77 (1.90)
      and activations     2.69 (4.14)  1.64 (1.95)   .87  (.96)  1.50 (1.65)  2.24 (2.42)
      and joins           1.70 (2.16)  1.95 (2.38)   .83  (.91)  1.44 (1.55)  2.24 (2.42)
    all                   1.71 (2.18)  1.74 (2.08)   .84  (.90)  1.09 (1.18)  2.24 (2.46)
    the original in int8  2.70         1.93          .92         1.67         2.22

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
from onnxbin.large import serialized
from onnxbin.layers import inventory
from onnxbin.operator import session
from onnxbin.static_int8 import Feed, with_static_int8

_CONVOLUTIONS = ("Conv",)
_ACTIVATIONS = (*_CONVOLUTIONS, "Clip", "LeakyRelu", "Mul", "Relu", "Sigmoid")
_JOINS = (*_ACTIVATIONS, "Add", "Concat")

CHOICES: dict[str, Sequence[str] | None] = {
    "convolutions": _CONVOLUTIONS,
    "convolutions and activations": _ACTIVATIONS,
    "convolutions, activations and joins": _JOINS,
    "all": None,
}
"""What computes in int8, by the types of nodes; None for all that ONNX Runtime can."""

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
    for done, (name, ops) in enumerate(CHOICES.items(), 1):
        models.append((name, with_static_int8(model, calibration, ops=ops, keep=first)))
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
