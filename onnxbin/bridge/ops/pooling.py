"""Pooling: windows over the spatial axes, and over all of them at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from onnxbin.bridge.ops import window
from onnxbin.bridge.ops.convolution import conv
from onnxbin.bridge.ops.registry import ints, op

_MAX: dict[int, Callable[..., Tensor]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}
_AVERAGE: dict[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}


def _ceil_extra(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> list[int]:
    """How many cells the end of each axis lacks for a last window that starts inside the padded input."""
    extra = []
    for axis, (size, k, stride, dilation) in enumerate(zip(sizes, kernel, strides, dilations, strict=True)):
        begin, end = pads[axis], pads[axis + len(sizes)]
        reach = dilation * (k - 1) + 1
        steps = -(-(size + begin + end - reach) // stride)
        if steps * stride >= size + begin:  # a window that would lie in the end padding alone is not counted
            steps -= 1
        extra.append(max(0, steps * stride + reach - size - begin - end))
    return extra


@op("MaxPool", counts_outputs=True)
def max_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    storage_order: int = 0,
    outputs: int = 1,
) -> Tensor | tuple[Tensor, Tensor]:
    """Largest value of each window; the padding never wins. Also where it stands in the flattened x."""
    n = len(kernel_shape)
    sizes = x.shape[2:]
    strides = strides or [1] * n
    dilations = dilations or [1] * n
    pads = window.resolve_pads(sizes, kernel_shape, strides, dilations, pads, auto_pad)
    if ceil_mode:
        begins, ends = window.split_pads(pads)
        extra = _ceil_extra(sizes, kernel_shape, strides, dilations, pads)
        pads = begins + [end + e for end, e in zip(ends, extra, strict=True)]
    begins, ends = window.split_pads(pads)
    # PyTorch pads both ends alike, and by no more than half a window.
    explicit = begins != ends or any(2 * p > k for p, k in zip(begins, kernel_shape, strict=True))
    padding = begins
    dtype = x.dtype
    if explicit:
        lowest = -torch.inf if dtype.is_floating_point else torch.iinfo(dtype).min
        x, padding = window.pad(x, pads, lowest), [0] * n
    if not dtype.is_floating_point:
        x = x.double()
    if outputs == 1:
        return _MAX[n](x, kernel_shape, strides, padding, dilations).to(dtype)
    y, places = _MAX[n](x, kernel_shape, strides, padding, dilations, return_indices=True)
    # PyTorch counts within a channel of what it was given, ONNX within all of the unpadded tensor.
    within = torch.unravel_index(places, x.shape[2:])
    if explicit:
        within = tuple(place - begin for place, begin in zip(within, begins, strict=True))
    flat, step = torch.zeros_like(places), 1
    axes = range(n) if storage_order else reversed(range(n))
    for axis in axes:
        flat, step = flat + within[axis] * step, step * sizes[axis]
    channels = torch.arange(x.shape[0] * x.shape[1], device=x.device).reshape(*x.shape[:2], *[1] * n)
    return y.to(dtype), flat + channels * step


@op("MaxUnpool", reads=(2,))
def max_unpool(
    x: Tensor,
    places: Tensor,
    output_shape: Tensor | None = None,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of MaxPool: each value where its place in the flattened result says, zeros elsewhere."""
    n = len(kernel_shape)
    begins, ends = window.split_pads(pads or [0] * (2 * n))
    shape = [*x.shape[:2]] + [
        (size - 1) * stride + k - begin - end
        for size, stride, k, begin, end in zip(
            x.shape[2:], strides or [1] * n, kernel_shape, begins, ends, strict=True
        )
    ]
    y = x.new_zeros(math.prod(shape)).scatter(0, places.reshape(-1), x.reshape(-1)).reshape(shape)
    if output_shape is None:
        return y
    larger = [wanted - size for wanted, size in zip(ints(output_shape)[2:], shape[2:], strict=True)]
    return window.pad(y, [0] * n + larger)


@op("LpPool")
def lp_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    p: int = 2,
) -> Tensor:
    """The p-norm of each window; the padding counts as zeros."""
    n = len(kernel_shape)
    strides = strides or [1] * n
    dilations = dilations or [1] * n
    pads = window.resolve_pads(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad)
    extra = [0] * n
    if ceil_mode:
        extra = _ceil_extra(x.shape[2:], kernel_shape, strides, dilations, pads)
    powers = window.pad(window.pad(x.abs() ** p, pads), [0] * n + extra)
    return _window_sums(powers, kernel_shape, strides, dilations) ** (1 / p)


def _window_sums(
    x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Tensor:
    """The sum of each window, channel by channel."""
    channels = x.shape[1]
    ones = torch.ones((channels, 1, *kernel), dtype=x.dtype, device=x.device)
    sums: Tensor = conv(x, ones, strides=strides, dilations=dilations, group=channels)
    return sums


@op("AveragePool")
def average_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
) -> Tensor:
    """Mean of each window over the cells that count: those of x, and those of the pads if asked to."""
    n = len(kernel_shape)
    strides = strides or [1] * n
    dilations = dilations or [1] * n
    pads = window.resolve_pads(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad)
    extra = [0] * n
    if ceil_mode:
        extra = _ceil_extra(x.shape[2:], kernel_shape, strides, dilations, pads)
    if not any(pads) and not any(extra) and set(dilations) == {1}:
        return _AVERAGE[n](x, kernel_shape, strides)

    # In general: sum over the padded input / sum over a mask of the cells that count.
    beyond = [0] * n + extra
    counted = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    counted = window.pad(window.pad(counted, pads, float(count_include_pad)), beyond)
    x = window.pad(window.pad(x, pads), beyond)
    total = _window_sums(x, kernel_shape, strides, dilations)
    return total / _window_sums(counted, kernel_shape, strides, dilations)


@op("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    """Mean over all spatial axes, which stay as ones."""
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


@op("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    """Maximum over all spatial axes, which stay as ones."""
    return x.amax(dim=tuple(range(2, x.ndim)), keepdim=True)


@op("GlobalLpPool")
def global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    """The p-norm over all spatial axes, which stay as ones."""
    norm: Tensor = torch.linalg.vector_norm(x, p, tuple(range(2, x.ndim)), keepdim=True)
    return norm
