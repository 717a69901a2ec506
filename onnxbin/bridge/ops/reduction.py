"""Reductions along axes, and running sums."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from onnxbin.bridge.ops.registry import axes_of, op


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.sum(axes, keepdim=keep, dtype=x.dtype)


def _prod(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):  # PyTorch multiplies along one axis at a time
        x = x.prod(axis, keepdim=keep, dtype=x.dtype)
    return x


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.mean(axes, keepdim=keep)


def _extreme(function: Callable[..., Tensor]) -> Callable[[Tensor, list[int], bool], Tensor]:
    def reduce(x: Tensor, axes: list[int], keep: bool) -> Tensor:
        return function(x, axes, keepdim=keep)

    return reduce


_REDUCTIONS: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "ReduceL1": lambda x, axes, keep: _sum(x.abs(), axes, keep),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep),
    "ReduceMax": _extreme(torch.amax),
    "ReduceMean": _mean,
    "ReduceMin": _extreme(torch.amin),
    "ReduceProd": _prod,
    "ReduceSum": _sum,
    "ReduceSumSquare": lambda x, axes, keep: _sum(x * x, axes, keep),
}


def _register(name: str, function: Callable[[Tensor, list[int], bool], Tensor]) -> None:
    def reduce(
        x: Tensor, axes: Tensor | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Tensor:
        if axes is None or axes.numel() == 0:
            if noop_with_empty_axes:
                return function(x.unsqueeze(-1), [x.ndim], False)
            axes = None
        reduced = axes_of(axes, x.ndim)
        return function(x, reduced, bool(keepdims)) if reduced else x

    op(name)(reduce)


for _name, _function in _REDUCTIONS.items():
    _register(_name, _function)


def _arg_extreme(x: Tensor, largest: bool, axis: int, keepdims: int, last: int) -> Tensor:
    flipped = x.flip(axis) if last else x
    found = (flipped.argmax if largest else flipped.argmin)(axis, keepdim=bool(keepdims))
    return x.shape[axis] - 1 - found if last else found


@op("ArgMax", differentiable=False)
def arg_max(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Where the largest value stands, int64; the first of several, or the last."""
    return _arg_extreme(x, True, axis, keepdims, select_last_index)


@op("ArgMin", differentiable=False)
def arg_min(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Where the smallest value stands, int64; the first of several, or the last."""
    return _arg_extreme(x, False, axis, keepdims, select_last_index)


@op("CumSum")
def cum_sum(x: Tensor, axis: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Running sums along the axis, without the element itself where exclusive, from the end where reverse."""
    dim = int(axis)
    x = x.flip(dim) if reverse else x
    sums = x.cumsum(dim, dtype=x.dtype)
    sums = sums - x if exclusive else sums
    return sums.flip(dim) if reverse else sums
