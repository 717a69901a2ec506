"""Normalisation layers, with the statistics of inference."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from onnxbin.bridge.ops.registry import op
from onnxbin.errors import OnnxbinError


@op("BatchNormalization")
def batch_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,  # noqa: ARG001  of training mode
    training_mode: int = 0,
) -> Tensor:
    """Per channel, with the stored statistics, which no gradient reaches."""
    if training_mode:
        raise OnnxbinError("training_mode = 1 is not supported: export the model in inference mode")
    return functional.batch_norm(x, mean.detach(), variance.detach(), scale, bias, eps=epsilon)


@op("InstanceNormalization")
def instance_normalization(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """Per image and channel."""
    return functional.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


@op("GroupNormalization")
def group_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,  # noqa: ARG001  all arithmetic is in float32
) -> Tensor:
    """Per image and group of channels; scale and bias per channel."""
    if scale.shape[0] == num_groups:  # opset 18 had them per group
        per_group = x.shape[1] // num_groups
        scale, bias = scale.repeat_interleave(per_group), bias.repeat_interleave(per_group)
    return functional.group_norm(x, num_groups, scale, bias, epsilon)


@op("LayerNormalization", counts_outputs=True)
def layer_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,  # noqa: ARG001  all arithmetic is in float32
    outputs: int = 1,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """Over the axes from `axis` on; scale and bias broadcast to them. Also the mean and 1 / deviation."""
    shape = x.shape[axis % x.ndim :]
    scale = scale.expand(shape)
    y = functional.layer_norm(x, shape, scale, None if bias is None else bias.expand(shape), epsilon)
    if outputs == 1:
        return y
    variance, mean = torch.var_mean(x, list(range(axis % x.ndim, x.ndim)), correction=0, keepdim=True)
    return y, mean, torch.rsqrt(variance + epsilon)


@op("LpNormalization")
def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """x over its p-norm along the axis; zeros stay zeros."""
    return functional.normalize(x, p, axis)


@op("LRN")
def lrn(x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Tensor:
    """Local response normalisation over a window of `size` channels."""
    # PyTorch's own centres windows of even size otherwise.
    before = (size - 1) // 2
    squares = functional.pad((x * x).movedim(1, -1), (before, size - 1 - before)).unfold(-1, size, 1)
    return x / (bias + alpha / size * squares.sum(-1).movedim(-1, 1)) ** beta
