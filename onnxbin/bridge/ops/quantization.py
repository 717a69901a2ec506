"""Quantised tensors: to integers and back, and the products of quantised tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onnxbin.bridge.ops.convolution import conv
from onnxbin.bridge.ops.registry import op
from onnxbin.bridge.tensors import torch_dtype


def _along(parameter: Tensor, x: Tensor, axis: int, block_size: int) -> Tensor:
    """A scale or zero point so that it broadcasts to x: one for all, per slice of an axis, or per block."""
    if block_size:
        return parameter.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])
    if parameter.ndim == 1 and x.ndim > 1:
        return parameter.reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])
    return parameter


@op("QuantizeLinear", differentiable=False)
def quantize_linear(
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,  # noqa: ARG001  all arithmetic is in float32
    saturate: int = 1,
) -> Tensor:
    """round(x / scale) + zero in the type of zero (uint8 without one), limited to its range."""
    dtype = zero.dtype if zero is not None else torch_dtype(output_dtype) if output_dtype else torch.uint8
    y = x / _along(scale, x, axis, block_size)
    offset = 0 if zero is None else _along(zero.to(y.dtype), x, axis, block_size)
    if dtype.is_floating_point:
        y, limits = y + offset, torch.finfo(dtype)
        return (y.clamp(limits.min, limits.max) if saturate else y).to(dtype)
    integers = torch.iinfo(dtype)
    return (y.round() + offset).clamp(integers.min, integers.max).to(dtype)


@op("DequantizeLinear")
def dequantize_linear(
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Tensor:
    """(x - zero) * scale in the type of the scale, or the one given."""
    dtype = torch_dtype(output_dtype) if output_dtype else scale.dtype
    y = x.to(dtype)
    if zero is not None:
        y = y - _along(zero.to(dtype), x, axis, block_size)
    return y * _along(scale.to(dtype), x, axis, block_size)


def _integers(x: Tensor, zero: Tensor | None) -> Tensor:
    """x - zero in float64, in which sums of products of 8-bit integers are exact."""
    return x.double() if zero is None else x.double() - zero.double()


@op("MatMulInteger", differentiable=False)
def mat_mul_integer(
    a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    """(A - a_zero) @ (B - b_zero) in int32; a_zero for all or per row, b_zero for all or per column."""
    a_zero = a_zero[:, None] if a_zero is not None and a_zero.ndim == 1 else a_zero
    return (_integers(a, a_zero) @ _integers(b, b_zero)).int()


@op("ConvInteger", differentiable=False)
def conv_integer(
    x: Tensor,
    weight: Tensor,
    x_zero: Tensor | None = None,
    w_zero: Tensor | None = None,
    **geometry: Any,
) -> Tensor:
    """Conv of x - x_zero with W - w_zero in int32; the padding is x_zero. Attributes as in Conv."""
    if w_zero is not None and w_zero.numel() > 1:
        w_zero = w_zero.reshape(-1, *[1] * (weight.ndim - 1))
    y: Tensor = conv(_integers(x, x_zero), _integers(weight, w_zero), **geometry)
    return y.int()


@op("QLinearMatMul", differentiable=False)
def q_linear_mat_mul(
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
) -> Tensor:
    """A @ B, all three quantised; A per tensor or per row, B per tensor or per column."""
    real_a = dequantize_linear(a, a_scale.double(), a_zero, axis=-2)
    real_b = dequantize_linear(b, b_scale.double(), b_zero, axis=-1)
    y: Tensor = quantize_linear(real_a @ real_b, y_scale.double(), y_zero, axis=-2)
    return y


@op("QLinearConv", differentiable=False)
def q_linear_conv(
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    weight: Tensor,
    w_scale: Tensor,
    w_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    bias: Tensor | None = None,
    **geometry: Any,
) -> Tensor:
    """Conv of quantised tensors; the weight's scale for all or per output, the bias in x_scale * w_scale."""
    real_x = dequantize_linear(x, x_scale.double(), x_zero)
    real_weight = dequantize_linear(weight, w_scale.double(), w_zero, axis=0)
    real_bias = None if bias is None else bias * x_scale.double() * w_scale.double()
    y: Tensor = conv(real_x, real_weight, real_bias, **geometry)
    quantized: Tensor = quantize_linear(y, y_scale.double(), y_zero)
    return quantized
