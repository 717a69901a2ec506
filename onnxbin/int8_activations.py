"""Activations between int8 convolutions become one node each, which looks bytes up.

The nodes are those of onnxbin.operator.qlinear.

Without it, ONNX Runtime computes x * sigmoid(x) of 8 bits in two passes with 8 bits in between, or in floats,
and spends as long on it as on the convolution before. Around ONNX Runtime's quantizer:

1. `with_whole_activations` makes one node of each activation behind a convolution, so that the quantizer puts
   its QuantizeLinear and DequantizeLinear around it, not within;
2. the quantizer does;
3. `with_byte_activations` takes DequantizeLinear, activation and QuantizeLinear together, where they are next
   to each other, and leaves the other activations as they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from onnx import ModelProto, NodeProto, TensorProto, helper, inliner

from onnxbin.fusion import Readers, remove
from onnxbin.large import around
from onnxbin.layers import names_read
from onnxbin.model import opset
from onnxbin.operator.qlinear import DOMAIN, OPS, VERSION, activation_function, qlinear_function


def with_whole_activations(proto: ModelProto) -> ModelProto:
    """A copy of the model in which activations behind convolutions are one node each, named after them."""
    model = ModelProto()
    model.CopyFrom(proto)
    readers = Readers(model)
    gone: list[NodeProto] = []
    for node in [node for node in model.graph.node if node.op_type == "Conv" and not node.domain]:
        activation, nodes = readers.activation_of(node.output[0])
        if activation is None or activation.name not in OPS.values():
            continue
        *gates, last = nodes
        last.op_type, last.domain = activation.name, DOMAIN
        last.input[:] = [node.output[0]]
        del last.attribute[:]
        last.attribute.extend(helper.make_attribute(*item) for item in activation.attributes.items())
        gone.extend(gates)
    remove(model, gone)
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    model.functions.extend(activation_function(name, opset(model)) for name in sorted(used))
    if used:
        model.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    return model


def with_byte_activations(proto: ModelProto) -> ModelProto:
    """A copy of the quantized model, its whole activations between bytes where bytes are around them."""
    model = ModelProto()
    model.CopyFrom(proto)
    producers = {name: node for node in model.graph.node for name in node.output}
    readers = Readers(model)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    behind: list[NodeProto] = []
    for node in [node for node in model.graph.node if node.domain == DOMAIN]:
        first, last = producers.get(node.input[0]), readers.only_reader(node.output[0])
        if first is None or last is None:
            continue
        if not (
            _is_of_bytes(first, "DequantizeLinear", stored) and _is_of_bytes(last, "QuantizeLinear", stored)
        ):
            continue
        node.op_type = f"QLinear{node.op_type}"
        node.input[:] = [*first.input, *last.input[1:]]
        node.output[0] = last.output[0]
        behind.append(last)
    remove(model, behind)
    read = set(names_read(model.graph))
    remove(
        model, [n for n in producers.values() if n.op_type == "DequantizeLinear" and n.output[0] not in read]
    )
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    model.functions.extend(qlinear_function(op, opset(model)) for op in sorted(used & set(OPS)))
    return around(
        lambda whole: inliner.inline_selected_functions(whole, [(DOMAIN, name) for name in OPS.values()]),
        model,
    )


def _is_of_bytes(node: NodeProto, op: str, stored: Mapping[str, TensorProto]) -> bool:
    """Whether a node is this op, of uint8, with one scale for the whole tensor."""
    if node.op_type != op or len(node.input) != 3 or any(name not in stored for name in node.input[1:]):
        return False
    scale, zero = (stored[name] for name in node.input[1:])
    return math.prod((*scale.dims, *zero.dims)) == 1 and zero.data_type == TensorProto.UINT8
