"""Conv, ConvTranspose and their relatives over one, two or three spatial axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from onnxbin.bridge.ops import window
from onnxbin.bridge.ops.registry import ints, op

_CONV: dict[int, Callable[..., Tensor]] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_CONV_TRANSPOSE: dict[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


@op("Conv")
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,  # noqa: ARG001  the weight says it
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    auto_pad: str = "NOTSET",
) -> Tensor:
    """x [N, C, *sizes], weight [M, C/group, *kernel], bias [M] -> [N, M, *outputs]."""
    n = x.ndim - 2
    strides = strides or [1] * n
    dilations = dilations or [1] * n
    pads = window.resolve_pads(x.shape[2:], weight.shape[2:], strides, dilations, pads, auto_pad)
    begins, ends = window.split_pads(pads)
    if begins != ends:  # PyTorch pads both ends alike: only this rare case pays for a padded copy
        x, begins = window.pad(x, pads), [0] * n
    return _CONV[n](x, weight, bias, strides, begins, dilations, group)


@op("ConvTranspose")
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,  # noqa: ARG001  the weight says it
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    auto_pad: str = "NOTSET",
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
) -> Tensor:
    """x [N, C, *sizes], weight [C, M/group, *kernel], bias [M] -> [N, M, *outputs]."""
    n = x.ndim - 2
    strides = strides or [1] * n
    dilations = dilations or [1] * n
    extra = output_padding or [0] * n
    full = [
        stride * (size - 1) + dilation * (k - 1) + 1 + e
        for size, stride, k, dilation, e in zip(
            x.shape[2:], strides, weight.shape[2:], dilations, extra, strict=True
        )
    ]
    if output_shape is None and auto_pad.startswith("SAME"):
        output_shape = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    if output_shape is not None:
        # The pads follow from the sizes; a negative total means that the output is filled up with zeros.
        total = [f - size for f, size in zip(full, output_shape, strict=True)]
        small = [t // 2 for t in total]
        large = [t - s for t, s in zip(total, small, strict=True)]
        # The spec gives the odd element to the begin, except in SAME_UPPER.
        pads = small + large if auto_pad == "SAME_UPPER" else large + small
    begins, ends = window.split_pads(pads or [0] * (2 * n))
    function = _CONV_TRANSPOSE[n]
    if begins == ends and min(begins) >= 0:
        return function(x, weight, bias, strides, begins, extra, group, dilations)
    y = function(x, weight, bias, strides, 0, extra, group, dilations)
    return window.pad(y, [-p for p in (*begins, *ends)])


@op("DeformConv")
def deform_conv(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,  # noqa: ARG001  the weight says it
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    offset_group: int = 1,
) -> Tensor:
    """A 2-D Conv of which every tap of every output reads x at a place of its own (Dai et al., 2017).

    x [N, C, H, W], weight [M, C/group, kh, kw], offset [N, offset_group * taps * 2 (y, x), h, w], mask
    [N, offset_group * taps, h, w] -> [N, M, h, w]. Between pixels x is bilinear, outside it is 0.
    """
    images, _, height, width = x.shape
    taps, (h, w) = math.prod(weight.shape[2:]), offset.shape[2:]
    grid = []
    for axis, (size, outputs) in enumerate(((height, h), (width, w))):
        stride, dilation, k = (strides or [1, 1])[axis], (dilations or [1, 1])[axis], weight.shape[2 + axis]
        begin = (pads or [0] * 4)[axis]
        start = (torch.arange(outputs, device=x.device) * stride - begin).reshape(-1, *[1] * (1 - axis))
        tap = (torch.arange(k, device=x.device) * dilation).reshape(-1, *[1] * (1 - axis))
        tap = tap.expand(weight.shape[2:]).reshape(-1, 1, 1)
        moved = offset.reshape(images * offset_group, taps, 2, h, w)[:, :, axis]
        grid.append((2 * (start + tap + moved) + 1) / size - 1)  # -1 .. 1 from edge to edge of the image
    places = torch.stack(grid[::-1], -1).reshape(images * offset_group, taps * h, w, 2)
    sampled = functional.grid_sample(
        x.reshape(images * offset_group, -1, height, width), places, align_corners=False
    ).reshape(images, offset_group, -1, taps, h * w)
    if mask is not None:
        sampled = sampled * mask.reshape(images, offset_group, 1, taps, h * w)
    columns = sampled.reshape(images, group, -1, h * w)
    y = weight.reshape(group, weight.shape[0] // group, -1) @ columns
    y = y.reshape(images, -1, h, w)
    return y if bias is None else y + bias[:, None, None]


@op("Col2Im", reads=(1, 2))
def col2im(
    x: Tensor,
    image_shape: Tensor,
    block_shape: Tensor,
    *,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """x [N, C * taps, blocks] -> [N, C, *image]: each block added to the image where a Conv would read it."""
    block = ints(block_shape)
    n = len(block)
    begins, ends = window.split_pads(pads or [0] * (2 * n))
    sizes = [b + size + e for b, size, e in zip(begins, ints(image_shape), ends, strict=True)]
    # The place of each element in the flattened padded image: taps along the first n axes, blocks behind.
    flat = torch.zeros([1] * (2 * n), dtype=torch.int64, device=x.device)
    for axis, (size, k) in enumerate(zip(sizes, block, strict=True)):
        stride, dilation = (strides or [1] * n)[axis], (dilations or [1] * n)[axis]
        starts = torch.arange(0, size - dilation * (k - 1), stride, device=x.device)
        taps = torch.arange(0, dilation * k, dilation, device=x.device)
        shape = [k if a == axis else len(starts) if a == n + axis else 1 for a in range(2 * n)]
        flat = flat * size + (taps[:, None] + starts).reshape(shape)
    x = x.reshape(x.shape[0], -1, flat.numel())
    image = x.new_zeros(*x.shape[:2], math.prod(sizes)).index_add(2, flat.reshape(-1), x)
    return window.pad(image.reshape(*x.shape[:2], *sizes), [-p for p in (*begins, *ends)])
