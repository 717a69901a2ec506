"""The quantisers of QONNX (Brevitas, FINN, hls4ml) in standard ONNX ops.

    BipolarQuant(x, scale)                     = scale where x >= 0, else -scale
    Quant(x, scale, zero point, bit width)     = (round(clip(x / scale + zero point)) - zero point) * scale

A signed Quant of one bit is bipolar: +1 and -1, not 0 and -1. What counts is what the executor of the package
qonnx does (custom_op/general/intquant.py and bipolar_quant.py), operation by operation in float32.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, helper

from onnxbin.constants import constant_values
from onnxbin.errors import OnnxbinError

DOMAIN = "qonnx.custom_op.general"
DOMAINS = (DOMAIN, "finn.custom_op.general", "onnx.brevitas")
"""The present domain, and those of older exporters."""

_BIPOLAR, _INTEGER = ("BipolarQuant",), ("Quant", "IntQuant")


def in_standard_ops(proto: ModelProto) -> ModelProto:
    """A copy of the model, of opset 13 or later, in which no QONNX quantiser is left.

    Raises OnnxbinError for another op of QONNX, and for parameters that are not constants.
    """
    quantisers = [node for node in proto.graph.node if node.domain in DOMAINS]
    values = constant_values(proto, {name for node in quantisers for name in node.input[1:]})
    expansion = _Expansion(proto)
    for node in proto.graph.node:
        if node.domain not in DOMAINS:
            expansion.nodes.append(node)
            continue
        if node.op_type not in (*_BIPOLAR, *_INTEGER):
            raise OnnxbinError(
                f"node {node.name or node.output[0]!r}: the QONNX op {node.op_type} cannot be imported, only "
                "Quant, IntQuant and BipolarQuant"
            )
        computed = [name for name in node.input[1:] if name not in values]
        if computed:
            raise OnnxbinError(
                f"node {node.name or node.output[0]!r}: its parameter {computed[0]!r} is computed from the "
                "model's input, expected a constant"
            )
        parameters = [np.asarray(values[name], np.float32) for name in node.input[1:]]
        (_bipolar if node.op_type in _BIPOLAR else _integer)(expansion, node, *parameters)
    return expansion.model()


Float32 = npt.NDArray[np.float32]


class _Expansion:
    """Collects the nodes that stand for a quantiser; each call adds one and returns its output's name."""

    def __init__(self, proto: ModelProto) -> None:
        self._proto = proto
        self.nodes: list[NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        graph = proto.graph
        taken = {tensor.name for tensor in [*graph.initializer, *graph.input]}
        taken.update(name for node in graph.node for name in node.output)
        self._names = (n for n in (f"quantiser.{i}" for i in itertools.count()) if n not in taken)

    def __call__(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or next(self._names)
        self.nodes.append(helper.make_node(op, inputs, [out], **attributes))
        return out

    def constant(self, value: npt.ArrayLike) -> str:
        name = next(self._names)
        self._constants.append(onnx.numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def model(self) -> ModelProto:
        model = ModelProto()
        model.CopyFrom(self._proto)
        del model.graph.node[:], model.opset_import[:]
        model.graph.node.extend(self.nodes)
        model.graph.initializer.extend(self._constants)
        model.opset_import.extend(e for e in self._proto.opset_import if e.domain not in DOMAINS)
        return model


def _bipolar(add: _Expansion, node: NodeProto, scale: Float32) -> None:
    positive = add("GreaterOrEqual", node.input[0], add.constant(0))
    add("Where", positive, add.constant(scale), add.constant(-scale), out=node.output[0])


def _integer(add: _Expansion, node: NodeProto, scale: Float32, zero: Float32, width: Float32) -> None:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 1))
    shifted = bool(np.any(zero != 0))
    if signed and np.all(width == 1) and not shifted and np.all(scale > 0):
        _bipolar(add, node, scale)
        return

    q = add("Div", node.input[0], add.constant(scale))
    if shifted:
        q = add("Add", q, add.constant(zero))
    if signed and np.all(width == 1):
        positive = add("GreaterOrEqual", q, add.constant(0))
        q = add("Where", positive, add.constant(1), add.constant(-1))
    else:
        lowest, highest = _bounds(signed, narrow, width)
        q = add("Max", add("Min", q, add.constant(highest)), add.constant(lowest))
        mode = attributes.get("rounding_mode", b"ROUND").decode().upper()
        if mode not in _ROUNDING:
            raise OnnxbinError(
                f"node {node.name or node.output[0]!r}: unknown rounding mode {mode!r}; known are "
                f"{', '.join(_ROUNDING)}"
            )
        q = _ROUNDING[mode](add, q)
    if shifted:
        q = add("Sub", q, add.constant(zero))
    add("Mul", q, add.constant(scale), out=node.output[0])


def _bounds(signed: bool, narrow: bool, width: Float32) -> tuple[Float32, Float32]:
    """The integers of so many bits; narrow: without the lowest (signed) or the highest (unsigned)."""
    levels = np.asarray(np.exp2(width), np.float32)
    lowest, highest = (-levels / 2 + narrow, levels / 2 - 1) if signed else (0 * levels, levels - 1 - narrow)
    return np.asarray(lowest, np.float32), np.asarray(highest, np.float32)


def _of_magnitude(add: _Expansion, x: str, op: str, offset: float) -> str:
    """sign(x) * op(|x| + offset)"""
    magnitude = add("Abs", x)
    if offset:
        magnitude = add("Add", magnitude, add.constant(offset))
    return add("Mul", add("Sign", x), add(op, magnitude))


_ROUNDING: dict[str, Callable[[_Expansion, str], str]] = {
    "ROUND": lambda add, x: add("Round", x),
    "HALF_EVEN": lambda add, x: add("Round", x),
    "CEIL": lambda add, x: add("Ceil", x),
    "FLOOR": lambda add, x: add("Floor", x),
    "UP": lambda add, x: _of_magnitude(add, x, "Ceil", 0),
    "DOWN": lambda add, x: _of_magnitude(add, x, "Floor", 0),
    "HALF_UP": lambda add, x: _of_magnitude(add, x, "Floor", 0.5),
    "HALF_DOWN": lambda add, x: _of_magnitude(add, x, "Ceil", -0.5),
}
