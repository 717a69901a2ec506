"""Gather and scatter; negative indices count from the end."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxbin.bridge.ops.registry import ints, op

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@op("Gather")
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """x[..., indices, ...] along the axis, which the axes of the indices replace."""
    axis = axis % x.ndim
    if indices.ndim == 0:
        return x.select(axis, int(indices))
    flat = x.index_select(axis, indices.reshape(-1).remainder(x.shape[axis]))
    return flat.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


@op("GatherElements")
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """One element of x per index, found along the axis at the index's own place on the others."""
    return x.gather(axis, indices.long().remainder(x.shape[axis]))


@op("GatherND")
def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """Slices of x by index tuples (the last axis of indices), behind batch_dims common axes."""
    batch = x.shape[:batch_dims]
    x = x.reshape(-1, *x.shape[batch_dims:])
    tuples = indices.reshape(x.shape[0], -1, indices.shape[-1])
    rows = torch.arange(x.shape[0], device=x.device)[:, None]
    taken = x[(rows, *tuples.unbind(-1))]
    return taken.reshape(*batch, *indices.shape[batch_dims:-1], *taken.shape[2:])


@op("ScatterElements")
def scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    """x with one element replaced (or reduced with) per index; the inverse of GatherElements."""
    indices = indices.long().remainder(x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, indices, updates)
    return x.scatter_reduce(axis, indices, updates, _REDUCTIONS[reduction])


@op("ScatterND")
def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """x with slices replaced (or reduced with) by index tuples; the inverse of GatherND."""
    depth = indices.shape[-1]
    rows = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
    for axis in range(depth):
        rows = rows * x.shape[axis] + indices[..., axis].remainder(x.shape[axis])
    rows = rows.reshape(-1, 1)
    flat = x.reshape(torch.Size(x.shape[:depth]).numel(), -1)
    updates = updates.reshape(rows.shape[0], flat.shape[1])
    rows = rows.expand_as(updates)
    if reduction == "none":
        return flat.scatter(0, rows, updates).reshape(x.shape)
    return flat.scatter_reduce(0, rows, updates, _REDUCTIONS[reduction]).reshape(x.shape)


@op("OneHot", differentiable=False)
def one_hot(indices: Tensor, depth: Tensor, values: Tensor, *, axis: int = -1) -> Tensor:
    """values[1] at each index along a new axis of the given depth, values[0] elsewhere."""
    off, on = values.unbind()
    n = int(depth)
    # An index outside -depth .. depth - 1 leaves its row "off".
    places = torch.where(indices < 0, indices + n, indices).unsqueeze(-1)
    row = torch.where(places == torch.arange(n, device=indices.device), on, off)
    return row.movedim(-1, axis)


@op("NonZero", differentiable=False)
def non_zero(x: Tensor) -> Tensor:
    """The places of all elements that are not 0: [rank, count]."""
    return x.nonzero().T


@op("TopK", differentiable=False)
def top_k(
    x: Tensor,
    k: Tensor,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,  # noqa: ARG001  unsorted allows any order, so also the sorted one
) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) along the axis and where they stand; the lower index first among equals."""
    values, places = x.sort(dim=axis, descending=bool(largest), stable=True)
    (n,) = ints(k)
    return values.narrow(axis, 0, n), places.narrow(axis, 0, n)
