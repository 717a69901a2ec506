"""Pooling: windows over the spatial axes, and over all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from onnxbin.bridge.ops import window
from onnxbin.bridge.ops.convolution import conv
from onnxbin.bridge.ops.registry import op

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


@op("MaxPool")
def max_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    storage_order: int = 0,  # noqa: ARG001  of the indices
) -> Tensor:
    """Largest value of each window; the padding never wins. The indices are not provided."""
    n = len(kernel_shape)
    strides = strides or [1] * n
    dilations = dilations or [1] * n
    pads = window.resolve_pads(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad)
    if ceil_mode:
        begins, ends = window.split_pads(pads)
        extra = _ceil_extra(x.shape[2:], kernel_shape, strides, dilations, pads)
        pads = begins + [end + e for end, e in zip(ends, extra, strict=True)]
    begins, ends = window.split_pads(pads)
    # PyTorch pads both ends alike, and by no more than half a window.
    if begins != ends or any(2 * p > k for p, k in zip(begins, kernel_shape, strict=True)):
        lowest = -torch.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
        x, begins = window.pad(x, pads, lowest), [0] * n
    if not x.is_floating_point():
        return _MAX[n](x.double(), kernel_shape, strides, begins, dilations).to(x.dtype)
    return _MAX[n](x, kernel_shape, strides, begins, dilations)


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
    ones = torch.ones((1, 1, *kernel_shape), dtype=x.dtype, device=x.device)
    channels = x.shape[1]
    per_channel = ones.expand(channels, *ones.shape[1:])
    total: Tensor = conv(x, per_channel, strides=strides, dilations=dilations, group=channels)
    count: Tensor = conv(counted, ones, strides=strides, dilations=dilations)
    return total / count


@op("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    """Mean over all spatial axes, which stay as ones."""
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


@op("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    """Maximum over all spatial axes, which stay as ones."""
    return x.amax(dim=tuple(range(2, x.ndim)), keepdim=True)
