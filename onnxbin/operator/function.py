"""The operators as model-local functions of standard ONNX ops, for runtimes without our library.

A function body must import exactly the opset of the model it stands in, because runtimes inline it under that
opset; and it cannot branch, so each op of the family has a body of its own. Signs are unpacked in float
arithmetic, which every runtime has: bit k of w is floor(w / 2^k) - 2 * floor(w / 2^(k+1)). Everything that
depends on constants alone is folded when a runtime loads the model: the body then costs one float Conv.
The body of an op with an activation calls the op without it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, FunctionProto, NodeProto, helper

from onnxbin.operator.activation import ACTIVATIONS

DOMAIN = "onnxbin"
VERSION = 1
LOWEST_OPSET = 13
"""Below it ReduceSum and Unsqueeze take their axes as attributes; raise such models first."""

REAL, SIGN, QUANT = "BinaryConv", "BinaryConvSign", "BinaryConvQuant"
PARTS = {base + name: (base, name) for base in (REAL, SIGN, QUANT) for name in ("", *ACTIVATIONS)}
"""Every op of the family -> how it sees its input, one of the three above, and its activation or ""."""
OP_TYPES = tuple(PARTS)

_CONV_ATTRIBUTES = ("strides", "pads", "dilations", "group")


class Body:
    """Collects the nodes of a function; each method adds one and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []

    def __call__(self, op_type: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Any node of the standard domain."""
        out = out or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [out], **attributes))
        return out

    def constant(self, value: float | Sequence[float], dtype: type = np.float32) -> str:
        """A Constant of this value."""
        out = f"t{len(self.nodes)}"
        tensor = onnx.numpy_helper.from_array(np.asarray(value, dtype))
        self.nodes.append(helper.make_node("Constant", [], [out], value=tensor))
        return out

    def attribute(self, name: str, kind: AttributeProto.AttributeType, slot: str) -> str:
        """The calling node's attribute `name` as a tensor, through Constant's attribute `slot`."""
        out = self("Constant")
        self.nodes[-1].attribute.append(_reference(slot, name, kind))
        return out


def _reference(slot: str, name: str, kind: AttributeProto.AttributeType) -> AttributeProto:
    return AttributeProto(name=slot, ref_attr_name=name, type=kind)


def _dense_weight(body: Body) -> str:
    """Inputs W, scale and attribute weight_shape to the float weight [M, C/group, kh, kw]."""
    shape = body.attribute("weight_shape", AttributeProto.INTS, "value_ints")
    filter_shape = body("Slice", shape, body.constant([1], np.int64), body.constant([4], np.int64))
    k = body("ReduceProd", filter_shape, keepdims=1)

    last = body.constant([3], np.int64)
    byte = body("Unsqueeze", body("Cast", "W", to=onnx.TensorProto.FLOAT), last)
    below = body("Floor", body("Mul", byte, body.constant([2.0**-i for i in range(8)])))
    above = body("Floor", body("Mul", byte, body.constant([2.0 ** -(i + 1) for i in range(8)])))
    bits = body("Sub", below, body("Mul", above, body.constant(2.0)))
    bits = body("Reshape", bits, body.constant([0, 0, -1], np.int64))
    axis = body.constant([2], np.int64)
    bits = body("Slice", bits, body.constant([0], np.int64), k, axis)
    signs = body("Sub", body("Mul", bits, body.constant(2.0)), body.constant(1.0))

    scaled = body("Mul", signs, body("Unsqueeze", "scale", axis))
    summed = body("ReduceSum", scaled, body.constant([0], np.int64), keepdims=0)
    return body("Reshape", summed, shape)


def _sign_input(body: Body) -> str:
    zero = body("Reshape", "x_zero", body.constant([1, -1, 1, 1], np.int64))
    return body("Where", body("GreaterOrEqual", "X", zero), "x_step", body("Neg", "x_step"))


def _quant_input(body: Body) -> str:
    bits = body.attribute("x_bits", AttributeProto.INT, "value_int")
    # One axis: OpenCV raises no scalar to the power of a scalar.
    levels = body("Pow", body.constant([2.0]), body("Cast", bits, to=onnx.TensorProto.FLOAT))
    top = body("Sub", levels, body.constant(1.0))
    nought = body.constant(0.0)

    # ONNX Runtime would make X / x_step of this, which rounds otherwise, if it saw that the 1 is one.
    one = body("Cast", body.constant(1, np.int64), to=onnx.TensorProto.FLOAT)
    r = body("Mul", "X", body("Div", one, "x_step"))
    r = body("Floor", body("Add", body("Add", r, "x_zero"), body.constant(0.5)))
    # Comparisons instead of Clip: runtimes differ in what Clip does to NaN; here NaN becomes 0.
    q = body("Where", body("Greater", r, nought), r, nought)
    q = body("Where", body("Less", q, top), q, top)
    return body("Mul", "x_step", body("Sub", q, "x_zero"))


def _convolution(body: Body, base: str) -> None:
    """Y, what an op without activation computes."""
    weight = _dense_weight(body)
    value = "X" if base == REAL else _sign_input(body) if base == SIGN else _quant_input(body)
    body("Conv", value, weight, "bias", out="Y")
    for name in _CONV_ATTRIBUTES:
        body.nodes[-1].attribute.append(_reference(name, name, _kind(name)))


def _activated(body: Body, base: str, activation: str, inputs: list[str], attributes: list[str]) -> None:
    """Y, the activation of what the op without it computes."""
    y = body(base, *inputs)
    body.nodes[-1].domain = DOMAIN
    body.nodes[-1].attribute.extend(_reference(name, name, _kind(name)) for name in attributes)
    add_activation(body, activation, y, out="Y")


def add_activation(body: Body, activation: str, y: str, out: str = "") -> str:
    """One of ACTIVATIONS of a tensor; its attributes are those of the calling node."""
    if activation == "LeakyRelu":
        out = body("LeakyRelu", y, out=out)
        body.nodes[-1].attribute.append(_reference("alpha", "alpha", AttributeProto.FLOAT))
        return out
    if activation == "Clip":
        low, high = (body.attribute(name, AttributeProto.FLOAT, "value_float") for name in ("min", "max"))
        return body("Clip", y, low, high, out=out)
    if activation == "HardSwish":  # an op of its own from opset 14 on
        return body("Mul", y, body("HardSigmoid", y, alpha=1 / 6, beta=0.5), out=out)
    if activation == "Silu":
        return body("Mul", y, body("Sigmoid", y), out=out)
    return body(activation, y, out=out)


def _kind(attribute: str) -> AttributeProto.AttributeType:
    return AttributeProto.INT if attribute in ("group", "x_bits") else AttributeProto.INTS


def function(op_type: str, opset: int) -> FunctionProto:
    """The body of one op of the family under the given opset of the standard domain (13 or later).

    That of an op with an activation calls the op without it, whose function the model must have too.
    """
    if op_type not in OP_TYPES:
        raise ValueError(f"no such op: {op_type}")
    if opset < LOWEST_OPSET:
        raise ValueError(f"a function body needs opset {LOWEST_OPSET} or later, not {opset}")
    base, activation = PARTS[op_type]
    inputs = ["X", "W", "scale", "bias"]
    attributes = ["weight_shape", *_CONV_ATTRIBUTES]
    if base != REAL:
        inputs += ["x_step", "x_zero"]
    if base == QUANT:
        attributes.append("x_bits")
    body = Body()
    opsets = [helper.make_opsetid("", opset)]
    if activation:
        _activated(body, base, activation, inputs, attributes)
        attributes += ACTIVATIONS[activation]
        opsets.append(helper.make_opsetid(DOMAIN, VERSION))
    else:
        _convolution(body, base)
    return helper.make_function(DOMAIN, op_type, inputs, ["Y"], body.nodes, opsets, attributes)


def functions(op_types: Collection[str], opset: int) -> list[FunctionProto]:
    """The bodies of these ops and of those that they call, see `function`."""
    bases = {PARTS[op_type][0] for op_type in op_types}
    return [function(op_type, opset) for op_type in OP_TYPES if op_type in bases or op_type in op_types]
