"""Gather and scatter, selection and order; negative indices count from the end."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxbin.bridge.ops.registry import ints, op

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@op("Gather", reads=(1,))
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """x[..., indices, ...] along the axis, which the axes of the indices replace."""
    axis = axis % x.ndim
    if indices.ndim == 0:
        return x.select(axis, int(indices))
    flat = x.index_select(axis, indices.reshape(-1).remainder(x.shape[axis]).to(x.device))
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


@op("OneHot", differentiable=False, reads=(1,))
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


@op("TopK", differentiable=False, reads=(1,))
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


@op("Compress", differentiable=False)
def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    """The slices along the axis (the elements, without one) where the condition, maybe shorter, is true."""
    places = condition.nonzero().flatten()
    return x.flatten()[places] if axis is None else x.index_select(axis, places)


@op("Unique", differentiable=False)
def unique(x: Tensor, *, axis: int | None = None, sorted: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The distinct slices along the axis (the elements, without one), sorted or in order of appearance.

    Also where each appears first, which of them each slice of x is, and how often each appears.
    """
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True, dim=axis)
    inverse = inverse.flatten()
    first = torch.full_like(counts, inverse.numel())
    first = first.scatter_reduce(0, inverse, torch.arange(inverse.numel(), device=x.device), "amin")
    if not sorted:
        order = first.argsort()
        values = values.index_select(axis or 0, order)
        first, counts, inverse = first[order], counts[order], order.argsort()[inverse]
    return values, first, inverse, counts


@op("ReverseSequence")
def reverse_sequence(x: Tensor, lengths: Tensor, *, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    """x with the first lengths[b] elements along the time axis in reverse order, for each b of the batch."""
    x = x.movedim((batch_axis, time_axis), (0, 1))
    time = torch.arange(x.shape[1], device=x.device)
    places = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)
    x = x[torch.arange(x.shape[0], device=x.device)[:, None], places]
    return x.movedim((0, 1), (batch_axis, time_axis))


@op("TensorScatter")
def tensor_scatter(
    cache: Tensor, update: Tensor, starts: Tensor | None = None, *, axis: int = -2, mode: str = "linear"
) -> Tensor:
    """The cache with an update written along the axis from starts[b] on, for each b of the first axis."""
    values, update = cache.movedim(axis, 1), update.movedim(axis, 1)
    rows = torch.arange(values.shape[0], device=cache.device)[:, None]
    places = torch.arange(update.shape[1], device=cache.device)[None]
    places = places if starts is None else places + starts[:, None]
    if mode == "circular":
        places = places % values.shape[1]
    return values.index_put((rows, places), update).movedim(1, axis)
