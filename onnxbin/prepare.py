"""Bring a model as it comes from a zoo into the form that surgery and training expect.

The rules, in order; each keeps what the model computes:

1. An opset below 13 is raised to 13 (function bodies need it), by onnx's own version converter.
2. Weights, biases and batch-norm statistics that come out of Constant nodes become initializers.
3. `auto_pad` of a Conv becomes explicit pads where the input's size, or a stride of 1, allows it.
4. A batch normalization that alone follows a Conv is folded into the Conv's weight and bias:
   gamma (w * x + b - mean) / s + beta = (w gamma/s) * x + ((b - mean) gamma/s + beta),
   s = sqrt(variance + epsilon).
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.inliner
import onnx_graphsurgeon as gs
from onnx import ModelProto, version_converter

from onnxbin.errors import OnnxbinError
from onnxbin.model import opset
from onnxbin.operator.function import LOWEST_OPSET
from onnxbin.shapes import spatial_sizes
from onnxbin.surgery import TensorNames, exported, imported


def prepare(proto: ModelProto) -> ModelProto:
    """The prepared copy of a model. Raises OnnxbinError where its opset cannot be raised."""
    if opset(proto) < LOWEST_OPSET:
        proto = _raise_opset(proto)
    sizes = spatial_sizes(proto)
    graph = imported(proto)
    names = TensorNames(graph)
    _lift_constants(graph, names)
    for node in [node for node in graph.nodes if node.op == "Conv"]:
        _make_pads_explicit(node, sizes)
    for node in [node for node in graph.nodes if node.op == "BatchNormalization"]:
        _fold_batch_norm(node, graph, names)
    graph.cleanup(remove_unused_graph_inputs=False)
    return exported(graph, proto)


def _raise_opset(proto: ModelProto) -> ModelProto:
    if proto.functions:  # the converter would drop them
        proto = onnx.inliner.inline_local_functions(proto)
    try:
        raised = version_converter.convert_version(proto, LOWEST_OPSET)
    except Exception as error:  # the converter's C++ raises bare RuntimeErrors and others
        raise OnnxbinError(
            f"the model's opset {opset(proto)} cannot be raised to {LOWEST_OPSET}, which onnxbin needs: "
            f"{str(error).strip().splitlines()[0]}; export it again with opset {LOWEST_OPSET} or later"
        ) from None
    _drop_empty_resize_inputs(raised)
    return raised


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


def _lift_constants(graph: gs.Graph, names: TensorNames) -> None:
    for node in graph.nodes:
        if node.op in ("Conv", "BatchNormalization"):
            for index, tensor in enumerate(node.inputs[1:], 1):
                source = tensor.inputs[0] if tensor.inputs else None
                if source is not None and source.op == "Constant" and "value" in source.attrs:
                    values = source.attrs["value"].values
                    node.inputs[index] = gs.Constant(names.fresh(f"{tensor.name}.{index}"), values)


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
    """Rule 4. Left as it is where something else sees the Conv's own output or shares its weight."""
    source = norm.inputs[0]
    conv = source.inputs[0] if len(source.inputs) == 1 else None
    inference = not norm.attrs.get("training_mode", 0) and len(norm.outputs) == 1
    if conv is None or conv.op != "Conv" or not inference:
        return
    seen_elsewhere = len(source.outputs) != 1 or any(source is output for output in graph.outputs)
    constants = [*conv.inputs[1:], *norm.inputs[1:]]
    if seen_elsewhere or not all(isinstance(tensor, gs.Constant) for tensor in constants):
        return
    if any(len(tensor.outputs) != 1 for tensor in conv.inputs[1:]) or conv.inputs[1].dtype != np.float32:
        return

    gamma, beta, mean, variance = (tensor.values.astype(np.float64) for tensor in norm.inputs[1:])
    factor = gamma / np.sqrt(variance + norm.attrs.get("epsilon", 1e-5))
    weight = conv.inputs[1]
    bias = conv.inputs[2].values.astype(np.float64) if len(conv.inputs) > 2 else np.zeros_like(mean)
    folded = weight.values * factor.reshape(-1, *[1] * (weight.values.ndim - 1))
    bias_name = conv.inputs[2].name if len(conv.inputs) > 2 else names.fresh(f"{weight.name}.bias")
    conv.inputs = [
        conv.inputs[0],
        gs.Constant(weight.name, folded.astype(np.float32)),
        gs.Constant(bias_name, ((bias - mean) * factor + beta).astype(np.float32)),
    ]
    conv.outputs = list(norm.outputs)
    norm.outputs.clear()
