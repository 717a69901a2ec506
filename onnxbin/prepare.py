"""Bring a model as it comes from a zoo into the form that surgery and training expect.

The rules, in order; each keeps what the model computes:

1. An opset below 13 is raised to 13 (function bodies need it), by onnx's own version converter, whose
   mistakes are mended: it forgets that before opset 11 Resize and Upsample were asymmetric and rounded down.
   Local functions that hold convolutions are inlined.
2. Initializers are no longer listed as inputs. IR 3 had to list them; newer runtimes take a listed one for
   something that a caller may change, and neither fold nor pack it.
3. Weights, biases and batch-norm statistics that come out of Constant nodes become initializers; so do those
   that are stored in another type, order or shape, and only cast, scaled, transposed or reshaped.
4. A model in float16 works in float32, but for its inputs and outputs (onnxbin.float16).
5. `auto_pad` of a Conv becomes explicit pads where the input's size, or a stride of 1, allows it.
6. A batch normalization that alone follows a Conv is folded into the Conv's weight and bias:
   gamma (w * x + b - mean) / s + beta = (w gamma/s) * x + ((b - mean) gamma/s + beta),
   s = sqrt(variance + epsilon).
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.inliner
import onnx_graphsurgeon as gs
from onnx import ModelProto, helper, version_converter

from onnxbin.constants import with_stored_weights
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.float16 import in_float32
from onnxbin.large import around
from onnxbin.model import opset
from onnxbin.operator.function import DOMAIN, LOWEST_OPSET
from onnxbin.shapes import spatial_sizes
from onnxbin.surgery import TensorNames, exported, imported, is_standard

_STORING = ("Cast", "Constant", "Identity", "Mul", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Ops behind which numbers are stored, as many as there are; not DequantizeLinear, which says: stay 8-bit."""

_LOWEST_IR_WITH_UNLISTED = 4
"""The first that lets initializers stand without being listed as inputs."""


def prepare(proto: ModelProto) -> ModelProto:
    """The prepared copy of a model. Raises OnnxbinError where its opset cannot be raised."""
    proto = standardize(proto)
    graph = imported(proto)
    names = TensorNames(graph)
    for node in [node for node in graph.nodes if is_standard(node, "BatchNormalization")]:
        _fold_batch_norm(node, graph, names)
    graph.cleanup(remove_unused_graph_inputs=False)
    return exported(graph, proto)


def standardize(proto: ModelProto) -> ModelProto:
    """A copy after rules 1 to 5, which change no number that the model computes. Raises as `prepare` does."""
    proto = _without_listed_initializers(raise_opset(_inlined_where_convolving(proto)))
    proto = in_float32(with_stored_weights(proto, _STORING))
    sizes = spatial_sizes(proto)
    graph = imported(proto)
    for node in [node for node in graph.nodes if is_standard(node, "Conv")]:
        _make_pads_explicit(node, sizes)
    return exported(graph, proto)


def raise_opset(proto: ModelProto) -> ModelProto:
    """Rule 1 alone: the model itself, or a copy of the lowest opset that function bodies can have."""
    if opset(proto) >= LOWEST_OPSET:
        return proto
    if proto.functions:  # the converter would drop them
        proto = around(onnx.inliner.inline_local_functions, proto)
    try:
        raised = around(lambda m: version_converter.convert_version(m, LOWEST_OPSET), proto)
    except Exception as error:  # the converter's C++ raises bare RuntimeErrors and others
        raise OnnxbinError(
            f"the model's opset {opset(proto)} cannot be raised to {LOWEST_OPSET}, which onnxbin needs: "
            f"{first_line(error)}; export it again with opset {LOWEST_OPSET} or later"
        ) from None
    if opset(proto) < 11:
        mend_resize(raised)
    _drop_empty_resize_inputs(raised)
    return raised


def mend_resize(proto: ModelProto) -> None:
    """Say, in place, what the converter forgets: Resize was asymmetric and rounded down before opset 11."""
    for node in proto.graph.node:
        if node.op_type == "Resize":
            node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
            node.attribute.append(helper.make_attribute("nearest_mode", "floor"))


def _inlined_where_convolving(proto: ModelProto) -> ModelProto:
    """Rule 1: without those local functions, other than our own, that hold a Conv or call one that does."""
    holding = {("", "Conv")}
    for _ in proto.functions:  # one more level of calls each time
        for function in proto.functions:
            calls = {(node.domain, node.op_type) for node in function.node}
            if function.domain != DOMAIN and not holding.isdisjoint(calls):
                holding.add((function.domain, function.name))
    chosen = sorted(holding - {("", "Conv")})
    return around(lambda m: onnx.inliner.inline_selected_functions(m, chosen), proto) if chosen else proto


def _without_listed_initializers(proto: ModelProto) -> ModelProto:
    model = ModelProto()
    model.CopyFrom(proto)
    model.ir_version = max(model.ir_version, _LOWEST_IR_WITH_UNLISTED)
    initializers = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in initializers]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model


def _drop_empty_resize_inputs(proto: ModelProto) -> None:
    """Opset 11 wanted all four inputs of Resize, unused ones as empty tensors; 13 refuses these."""
    empty = {tensor.name for tensor in proto.graph.initializer if 0 in tensor.dims}
    for node in proto.graph.node:
        for output in node.output if node.op_type == "Constant" else ():
            empty.update(output for a in node.attribute if a.name == "value" and 0 in a.t.dims)
        if node.op_type == "Resize":
            for index, name in enumerate(node.input):
                if index > 0 and name in empty:
                    node.input[index] = ""


def _make_pads_explicit(node: gs.Node, sizes: dict[str, list[int]]) -> None:
    mode = node.attrs.get("auto_pad", "NOTSET")
    if mode == "NOTSET" or not isinstance(node.inputs[1], gs.Constant):
        return
    kernel = node.inputs[1].shape[2:]
    strides = node.attrs.get("strides", [1] * len(kernel))
    dilations = node.attrs.get("dilations", [1] * len(kernel))
    size = sizes.get(node.inputs[0].name)
    if mode == "VALID":
        totals = [0] * len(kernel)
    elif size is not None or all(stride == 1 for stride in strides):
        # SAME: ceil(size / stride) outputs; what the windows reach beyond the input is padding.
        totals = []
        for axis, (k, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
            overhang = (-size[axis]) % stride if size is not None else 0
            totals.append(max(dilation * (k - 1) + 1 - stride + overhang, 0))
    else:
        return
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    del node.attrs["auto_pad"]
    node.attrs["pads"] = [*large, *small] if mode == "SAME_LOWER" else [*small, *large]


def _fold_batch_norm(norm: gs.Node, graph: gs.Graph, names: TensorNames) -> None:
    """Rule 6. Left as it is where something else sees the Conv's own output or shares its weight."""
    source = norm.inputs[0]
    conv = source.inputs[0] if len(source.inputs) == 1 else None
    inference = not norm.attrs.get("training_mode", 0) and len(norm.outputs) == 1
    if conv is None or not is_standard(conv, "Conv") or not inference:
        return
    weights = [tensor for tensor in conv.inputs[1:] if not tensor.is_empty()]
    outputs = {output.name for output in graph.outputs}
    used_alone = all(len(t.outputs) == 1 and t.name not in outputs for t in [source, *weights])
    stored = all(isinstance(tensor, gs.Constant) for tensor in [*weights, *norm.inputs[1:]])
    if not (used_alone and stored) or weights[0].dtype != np.float32:
        return

    gamma, beta, mean, variance = (tensor.values.astype(np.float64) for tensor in norm.inputs[1:])
    factor = gamma / np.sqrt(variance + norm.attrs.get("epsilon", 1e-5))
    weight = weights[0]
    bias = weights[1].values.astype(np.float64) if len(weights) > 1 else np.zeros_like(mean)
    folded = weight.values * factor.reshape(-1, *[1] * (weight.values.ndim - 1))
    bias_name = weights[1].name if len(weights) > 1 else names.fresh(f"{weight.name}.bias")
    conv.inputs = [
        conv.inputs[0],
        gs.Constant(weight.name, folded.astype(np.float32)),
        gs.Constant(bias_name, ((bias - mean) * factor + beta).astype(np.float32)),
    ]
    conv.outputs = list(norm.outputs)
    norm.outputs.clear()
