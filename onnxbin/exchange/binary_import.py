"""Networks that were trained binary elsewhere: their convolutions become nodes of our operators, exactly.

The rules, for each Conv of two dimensions:

1. Its weight takes two values in each output channel, +a and -a: signs, and a scale per channel. How the
   file says so does not matter: QONNX's BipolarQuant or Quant, arithmetic on constants, plain floats.
2. Its input is +s where x >= t, else -s: then the node is a BinaryConvSign and sees x itself. The forms known
   are BipolarQuant, `Where(x >= t, s, -s)`, `2 * s * Cast(x >= t) - s`, and Larq's `Sign(Sign(x) + 0.1)`.
3. Other inputs stay as they are before a BinaryConv. So does ONNX's Sign, for it makes three values.

All other quantisers of QONNX are written out in standard ops, and weights that are computed from constants
are stored. Batch normalizations are not folded, so that every number is computed as in the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper

from onnxbin.constants import with_stored_weights
from onnxbin.exchange.qonnx_ops import in_standard_ops
from onnxbin.large import array_of
from onnxbin.layers import ConvLayer, inventory
from onnxbin.operator import BinaryWeight, SignInput
from onnxbin.prepare import raise_opset, standardize
from onnxbin.surgery import BinaryLayer, op_type, with_binary_layers


@dataclass(frozen=True)
class ImportedLayer:
    """What became of one convolution.

    op: the operator that it is now, BinaryConv or BinaryConvSign; None where it is left as it was.
    reason: why it is left, or why a BinaryConv sees a real input; None where there is nothing to say.
    """

    name: str
    shape: tuple[int, ...]
    op: str | None
    reason: str | None


def import_binary(proto: ModelProto) -> tuple[ModelProto, list[ImportedLayer]]:
    """The model with its binary convolutions as nodes of our operators, and what became of each convolution.

    Raises OnnxbinError where a QONNX op cannot be read.
    """
    model = in_standard_ops(raise_opset(proto))
    model = standardize(with_stored_weights(model))
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    read = _Reader(model)
    nodes = {node.output[0]: node for node in model.graph.node if node.output}

    found: dict[str, BinaryLayer] = {}
    report = []
    for layer in inventory(model, include=[".*"]) if _has_conv(model) else []:
        weight, reason = _binary_weight(layer, values)
        if weight is None:
            report.append(ImportedLayer(layer.name, layer.shape, None, reason))
            continue
        node = nodes[layer.output]
        quantizer = None
        if seen := _sign_input(read, node.input[0]):
            node.input[0], quantizer = seen
        elif read.node(node.input[0], "Sign"):
            reason = "its input is Sign, which is 0 at 0: Where(x >= 0, 1, -1) would be binary too"
        bias = array_of(values[layer.bias]) if layer.bias else np.zeros(weight.shape[0])
        found[layer.name] = BinaryLayer(weight, np.asarray(bias, np.float32), quantizer)
        report.append(ImportedLayer(layer.name, layer.shape, op_type(quantizer), reason))
    return with_binary_layers(model, found), report


def _has_conv(model: ModelProto) -> bool:
    return any(node.op_type == "Conv" for node in model.graph.node)


def _binary_weight(
    layer: ConvLayer, values: Mapping[str, TensorProto]
) -> tuple[BinaryWeight | None, str | None]:
    """Rule 1: the weight in bits, or why it is none."""
    if layer.left_alone is not None:
        return None, layer.left_alone
    dense = array_of(values[layer.weight])
    flat = dense.reshape(len(dense), -1)
    scale = np.abs(flat).max(axis=1)
    if not np.isfinite(scale).all() or not np.array_equal(
        np.abs(flat), np.broadcast_to(scale[:, None], flat.shape)
    ):
        return None, "real weights"
    if layer.bytes_saved() <= 0:
        return None, "would not get smaller"
    signs = np.where(dense >= 0, 1, -1).astype(np.int8)
    return BinaryWeight(signs[None], scale[None].astype(np.float32)), None


class _Reader:
    """Walks from a tensor back to what it is computed from."""

    def __init__(self, model: ModelProto) -> None:
        self._producers = {name: node for node in model.graph.node for name in node.output if name}
        self._values = {tensor.name: tensor for tensor in model.graph.initializer}

    def node(self, name: str, op: str) -> NodeProto | None:
        """The node that computes this tensor, if it is of this op of the standard domain."""
        node = self._producers.get(name)
        return node if node is not None and node.op_type == op and node.domain in ("", "ai.onnx") else None

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """The value of a stored tensor."""
        if name in self._values:
            return array_of(self._values[name])
        node = self.node(name, "Constant")
        value = node and helper.get_node_attr_value(node, "value")
        return array_of(value) if isinstance(value, TensorProto) else None

    def number(self, name: str) -> float | None:
        """The value of a stored tensor of one element."""
        value = self.constant(name)
        return float(value.item()) if value is not None and value.size == 1 else None

    def with_number(self, name: str, op: str) -> tuple[str, float] | None:
        """The two inputs of this op where one is a number; which comes first matters for Sub alone."""
        node = self.node(name, op)
        if node is None:
            return None
        first, second = node.input
        if (number := self.number(second)) is not None:
            return first, number
        if op != "Sub" and (number := self.number(first)) is not None:
            return second, number
        return None


def _sign_input(read: _Reader, name: str) -> tuple[str, SignInput] | None:
    """Rule 2: the x that this tensor holds the sign of, and how; None where it is something else."""
    return _where(read, name) or _cast(read, name) or _sign_of_sign(read, name)


def _where(read: _Reader, name: str) -> tuple[str, SignInput] | None:
    """Where(x >= t, s, -s)"""
    node = read.node(name, "Where")
    if node is None:
        return None
    step = read.number(node.input[1])
    if step is None or not 0 < step < np.inf or read.number(node.input[2]) != -step:
        return None
    return _compared(read, node.input[0], step)


def _cast(read: _Reader, name: str) -> tuple[str, SignInput] | None:
    """2 * s * Cast(x >= t) - s"""
    shifted = read.with_number(name, "Sub")
    if shifted is None:
        added = read.with_number(name, "Add")
        shifted = added and (added[0], -added[1])
    scaled = shifted and read.with_number(shifted[0], "Mul")
    cast = scaled and read.node(scaled[0], "Cast")
    if not (shifted and scaled and cast) or not 0 < shifted[1] < np.inf or scaled[1] != 2 * shifted[1]:
        return None
    return _compared(read, cast.input[0], shifted[1])


def _sign_of_sign(read: _Reader, name: str) -> tuple[str, SignInput] | None:
    """Sign(Sign(x) + e) with 0 < e < 1: what -1, 0 and +1 become is what x >= 0 says."""
    outer = read.node(name, "Sign")
    moved = outer and read.with_number(outer.input[0], "Add")
    inner = moved and read.node(moved[0], "Sign")
    if not (moved and inner) or not 0 < moved[1] < 1:
        return None
    return inner.input[0], SignInput(np.ones(1, np.float32), np.zeros(1, np.float32))


def _compared(read: _Reader, name: str, step: float) -> tuple[str, SignInput] | None:
    """x of x >= t, with t one number or one for each channel."""
    node = read.node(name, "GreaterOrEqual")
    threshold = node and read.constant(node.input[1])
    if node is None or threshold is None or threshold.dtype != np.float32:
        return None
    by_channel = threshold.ndim in (3, 4) and threshold.shape[-3] == threshold.size
    if not (threshold.size == 1 or by_channel) or not np.isfinite(threshold).all():
        return None
    return node.input[0], SignInput(np.asarray([step], np.float32), threshold.reshape(-1))
