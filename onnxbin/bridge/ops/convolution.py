"""Conv and ConvTranspose over one, two or three spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional

from onnxbin.bridge.ops import window
from onnxbin.bridge.ops.registry import op

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
