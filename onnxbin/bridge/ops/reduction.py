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


def _max(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.amax(_never_empty(x, axes, largest=False), axes, keepdim=keep)


def _min(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.amin(_never_empty(x, axes, largest=True), axes, keepdim=keep)


def _never_empty(x: Tensor, axes: list[int], largest: bool) -> Tensor:
    """x, or where the axes hold nothing, one element: the largest or the smallest of the type."""
    if all(x.shape[axis] for axis in axes):
        return x
    if x.is_floating_point():
        extreme = torch.inf if largest else -torch.inf
    elif x.dtype == torch.bool:
        extreme = largest
    else:
        extreme = torch.iinfo(x.dtype).max if largest else torch.iinfo(x.dtype).min
    return x.new_full([1 if axis in axes else n for axis, n in enumerate(x.shape)], extreme)


_REDUCTIONS: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "ReduceL1": lambda x, axes, keep: _sum(x.abs(), axes, keep),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep),
    "ReduceLogSum": lambda x, axes, keep: _sum(x, axes, keep).log(),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keep),
    "ReduceMax": _max,
    "ReduceMean": _mean,
    "ReduceMin": _min,
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

    op(name, reads=(1,))(reduce)


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


@op("CumSum", reads=(1,))
def cum_sum(x: Tensor, axis: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Running sums along the axis, without the element itself where exclusive, from the end where reverse."""
    dim = int(axis)
    x = x.flip(dim) if reverse else x
    sums = x.cumsum(dim, dtype=x.dtype)
    sums = sums - x if exclusive else sums
    return sums.flip(dim) if reverse else sums


@op("CumProd", reads=(1,))
def cum_prod(x: Tensor, axis: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Running products along the axis, with the same options as CumSum."""
    dim = int(axis)
    x = x.flip(dim) if reverse else x
    if exclusive:
        first = torch.ones_like(x.narrow(dim, 0, 1))
        x = torch.cat([first, x.narrow(dim, 0, x.shape[dim] - 1)], dim)
    products = x.cumprod(dim, dtype=x.dtype)
    return products.flip(dim) if reverse else products
