"""Activations between tensors of 8 bits: one look-up a byte in place of three passes over floats.

The name is the activation's behind "QLinear", as in ONNX' QLinearConv, and the body what the runtime's own
quantizer writes: DequantizeLinear, the activation, QuantizeLinear.
"""

from __future__ import annotations

from onnx import FunctionProto, helper

from onnxbin.operator.activation import ACTIVATIONS
from onnxbin.operator.function import Body, add_activation

DOMAIN = "onnxbin.int8"
VERSION = 1

OPS = {f"QLinear{name}": name for name in ("LeakyRelu", "HardSwish", "Silu")}
"""Op -> its activation: those that the runtime does not take into its int8 convolutions itself."""


def activation_function(name: str, opset: int) -> FunctionProto:
    """The activation alone, of floats: X to Y, as one node that stands for several."""
    body = Body()
    add_activation(body, name, "X", out="Y")
    return _function(name, ["X"], body, opset, name)


def qlinear_function(op: str, opset: int) -> FunctionProto:
    """The body of one of OPS: X uint8 to Y uint8 of the same shape."""
    body = Body()
    x = body("DequantizeLinear", "X", "x_scale", "x_zero_point")
    y = add_activation(body, OPS[op], x)
    body("QuantizeLinear", y, "y_scale", "y_zero_point", out="Y")
    return _function(op, ["X", "x_scale", "x_zero_point", "y_scale", "y_zero_point"], body, opset, OPS[op])


def _function(name: str, inputs: list[str], body: Body, opset: int, activation: str) -> FunctionProto:
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_function(DOMAIN, name, inputs, ["Y"], body.nodes, opsets, ACTIVATIONS[activation])
