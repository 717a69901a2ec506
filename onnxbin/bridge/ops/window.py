"""Windows that slide over the spatial axes: what convolution and pooling share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def resolve_pads(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int] | None,
    auto_pad: str,
) -> list[int]:
    """The explicit pads of a window op: all begins, then all ends, as in ONNX.

    SAME_UPPER and SAME_LOWER ask for ceil(size / stride) outputs; an odd pad goes to the end or the begin.
    """
    if auto_pad == "NOTSET":
        return list(pads) if pads else [0] * (2 * len(sizes))
    if auto_pad == "VALID":
        return [0] * (2 * len(sizes))
    total = []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        outputs = -(-size // stride)
        total.append(max(0, (outputs - 1) * stride + dilation * (k - 1) + 1 - size))
    small = [t // 2 for t in total]
    large = [t - s for t, s in zip(total, small, strict=True)]
    return small + large if auto_pad == "SAME_UPPER" else large + small


def pad(x: Tensor, pads: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad the last axes of x by ONNX pads; functional.pad wants pairs, the last axis first."""
    n = len(pads) // 2
    pairs = [p for axis in reversed(range(n)) for p in (pads[axis], pads[axis + n])]
    return functional.pad(x, pairs, value=value)


def split_pads(pads: Sequence[int]) -> tuple[list[int], list[int]]:
    """ONNX pads as (begins, ends)."""
    n = len(pads) // 2
    return list(pads[:n]), list(pads[n:])
