"""int8 arithmetic for what stays real, where it makes the whole network faster.

A convolution in int8 takes a half to a third of its time in float32, but between int8 and float nodes stand
conversions, and some nodes are slower in int8 than in float. So, around ONNX Runtime's static quantizer:

1. Activations between int8 convolutions are nodes of ours, see onnxbin.int8_activations.
2. Joins (Add, Concat, Split) compute in int8, too, or tensors would go to floats and back at each of them.
3. The convolutions that read the image stay float: int8 takes them twice as long. So do joins before them.
4. So do joins that a MaxPool reads: it would become one of bytes, 6.8 ms instead of 0.2 on a large image.
5. What comes out is timed beside the float model: not every network gains.

What this makes of the original's speed (one thread of an AMD EPYC (Zen 5); binary layers with real inputs,
with 8 bits and with 1; the largest layers binary, to 20 times, 10, 10, 10 and 6):

                       yolov4_tiny      yolov8n          yolox_nano       nanodet_m        ssd_mobilenet
    rest in float      1.01 1.78 2.37   1.00 1.42 1.63    .97 1.13 1.24   1.21 1.45 1.66   1.01 1.10 1.14
    rest in int8       1.22 2.69 4.43   1.45 2.48 3.15   1.05 1.23 1.30   1.36 1.64 1.75   1.87 2.19 2.41
    all in int8        2.57             1.90              .89             1.68             2.19

The last line is ONNX Runtime's own quantization of the original. What the rest in int8 costs is in
docs/bench.md: of yolov4_tiny 20 times smaller, 0 to .007 person AP in other scenes with inputs of 4 bits and
more, .016 and .024 with 2 and 1.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import onnxruntime
from onnx import ModelProto

from onnxbin.benchmark.latency import alternate, clock
from onnxbin.int8_activations import with_byte_activations, with_whole_activations
from onnxbin.large import serialized
from onnxbin.layers import inventory
from onnxbin.operator import DOMAIN, session
from onnxbin.operator.qlinear import OPS
from onnxbin.static_int8 import Feed, with_static_int8
from onnxbin.surgery import layer_names

LARGEST_LOSS = 0.02
"""What int8 arithmetic may take away from the agreement of boxes; of outputs, where there are no boxes."""

_JOINS = ("Add", "Concat", "Split")
_IN_INT8 = ("Conv", "Clip", "Relu", *OPS.values(), *_JOINS)
_ROUNDS = 7


def with_int8_rest(model: ModelProto, calibration: Sequence[Feed]) -> ModelProto:
    """A copy of the model in which what stays real computes in int8.

    model: with binary layers, real weights in float32. calibration: inputs to take the ranges of activations
    from. Raises OnnxbinError where ONNX Runtime cannot quantize the model.
    """
    whole = with_whole_activations(model)
    first = [layer.name for layer in inventory(model) if layer.depth == 1]
    keep = [*first, *_joins_in_floats(whole)]
    return with_byte_activations(with_static_int8(whole, calibration, ops=_IN_INT8, keep=keep))


def is_faster(model: ModelProto, other: ModelProto, feeds: Sequence[Feed]) -> bool:
    """Whether a model is faster than another on this machine, on one thread with the operator library."""
    runs = [functools.partial(_run, _session(proto), feeds) for proto in (model, other)]
    times = [timing.median for timing in alternate(runs, _ROUNDS, clock(1))]
    return times[0] < times[1]


def _joins_in_floats(model: ModelProto) -> list[str]:
    """The joins of rules 3 and 4, called as `layer_names` calls them."""
    names = layer_names(model)
    pooled = {name for node in model.graph.node if node.op_type == "MaxPool" for name in node.input}
    behind: set[str] = set()  # some convolution
    found = []
    for node in model.graph.node:
        if node.op_type == "Conv" or node.domain == DOMAIN or not behind.isdisjoint(node.input):
            behind.update(node.output)
        if node.op_type in _JOINS and (behind.isdisjoint(node.output) or not pooled.isdisjoint(node.output)):
            found.append(names[node.output[0]])
    return found


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    return session(serialized(model), options)


def _run(opened: onnxruntime.InferenceSession, feeds: Sequence[Feed], number: int) -> object:
    return opened.run(None, feeds[number % len(feeds)])
