"""How the weights that stay real are stored: smaller than they compute.

float16, with a Cast back to float32 behind it; or int8, one scale for each output channel, with a Cast and a
Mul. Runtimes fold these when they load the model, so that nothing is slower and only the file is smaller.
(Arithmetic in int8 is another matter, which begins where this ends: see onnxbin.int8_rest.)
Biases and the scales of binary weights stay float32: they are few, and much depends on them.

int8 costs nothing that can be measured. Person AP at IoU 0.5 on photos of pedestrians, nothing binary, and
the file ratio that this alone gives:

                      float32  int8   file
    yolov4_tiny        .938    .938   3.98
    yolov8n            .973    .973   3.73
    yolox_nano         .962    .963   3.51
    nanodet_m          .928    .930   3.64
    ssd_mobilenet_v1   .941    .939   3.86
    fastestdet         .940    .936   3.02
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxbin.large import array_of
from onnxbin.layers import names_read
from onnxbin.settings import Stored
from onnxbin.surgery import fresh_name

Float32 = npt.NDArray[np.float32]

SMALLEST = 512
"""Weights of fewer elements are left alone: the nodes behind them would take what is saved."""


def stored_bytes(shape: Sequence[int], rest: Stored) -> int:
    """What a weight of this shape, output channels first, takes as the rest is stored."""
    count = int(np.prod(shape))
    if rest == "float32" or count < SMALLEST:
        return 4 * count
    return 2 * count if rest == "float16" else count + 4 * shape[0]


def with_rest_stored(proto: ModelProto, rest: Stored, keep: Collection[str] = ()) -> ModelProto:
    """A copy of the model whose real weights, where they are large, are stored as `rest` says.

    keep: names of weights to leave as they are. The model's opset is 13 or later.
    """
    model = ModelProto()
    model.CopyFrom(proto)
    if rest == "float32":
        return model
    taken = {*names_read(proto.graph), *(name for node in proto.graph.node for name in node.output)}
    nodes: list[NodeProto] = []
    for tensor, axis in _large_weights(model, keep):
        name = tensor.name
        stored = fresh_name(f"{name}.{rest}", taken)
        weight = array_of(tensor)
        if rest == "float16":
            small: npt.NDArray[Any] = weight.astype(np.float16)
            nodes.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
        else:
            small, scale = _int8(weight, axis)
            cast, scales = fresh_name(f"{name}.float32", taken), fresh_name(f"{name}.scale", taken)
            nodes.append(helper.make_node("Cast", [stored], [cast], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [cast, scales], [name]))
            model.graph.initializer.append(numpy_helper.from_array(scale, scales))
        tensor.CopyFrom(numpy_helper.from_array(small, stored))
    following = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *following])
    return model


def with_rest_restored(proto: ModelProto) -> ModelProto:
    """A copy of the model in which what `with_rest_stored` made small is float32 again, as it computes."""
    model = ModelProto()
    model.CopyFrom(proto)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        inputs = [tensors[name] for name in node.input if name in tensors]
        types = {tensor.data_type for tensor in inputs} if len(inputs) == len(node.input) else set()
        unpacks = types and types <= {TensorProto.INT8, TensorProto.FLOAT16} and _is_cast_to_float(node)
        if unpacks or (node.op_type == "Mul" and types == {TensorProto.FLOAT}):
            weight, *scale = (numpy_helper.to_array(tensor).astype(np.float32) for tensor in inputs)
            weight = weight * scale[0] if scale else weight
            tensors[node.output[0]] = numpy_helper.from_array(weight, node.output[0])
        else:
            model.graph.node.append(node)
    read = {*names_read(model.graph), *(value.name for value in model.graph.output)}
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensor for name, tensor in tensors.items() if name in read)
    return model


def _is_cast_to_float(node: NodeProto) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT


def _int8(weight: Float32, axis: int) -> tuple[npt.NDArray[np.int8], Float32]:
    """Integers of -127 to 127 and the scale of each channel, which broadcasts to the weight."""
    others = tuple(a for a in range(weight.ndim) if a != axis)
    scale = np.abs(weight).max(axis=others, keepdims=True) / np.float32(127)
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def _large_weights(model: ModelProto, keep: Collection[str]) -> list[tuple[TensorProto, int]]:
    """The float32 initializers that are weights and nothing else, with the axis of their output channels."""
    uses = Counter(names_read(model.graph))
    axes: dict[str, list[int]] = {}
    for node in model.graph.node:
        axis = _channel_axis(node)
        if axis is not None:
            axes.setdefault(node.input[1], []).append(axis)
    kept = {*keep, *(value.name for value in model.graph.input)}
    found = []
    for tensor in model.graph.initializer:
        as_weight = axes.get(tensor.name, [])
        large = int(np.prod(tensor.dims)) >= SMALLEST and tensor.data_type == TensorProto.FLOAT
        only = len(as_weight) == uses[tensor.name] and len(set(as_weight)) == 1
        if large and only and as_weight[0] < len(tensor.dims) and tensor.name not in kept:
            found.append((tensor, as_weight[0]))
    return found


def _channel_axis(node: NodeProto) -> int | None:
    """The axis of the output channels in the node's weight, its second input; None where it has none."""
    if node.domain not in ("", "ai.onnx") or len(node.input) < 2:
        return None
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}.get(node.op_type)
