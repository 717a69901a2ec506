"""Ops that move elements without changing them, and ops on shapes themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from onnxbin.bridge.ops.registry import axes_of, ints, op
from onnxbin.bridge.tensors import torch_dtype


@op("Shape", differentiable=False)
def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """The sizes of x from axis start to axis end, int64."""
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


@op("Size", differentiable=False)
def size(x: Tensor) -> Tensor:
    """The number of elements, an int64 scalar."""
    return torch.tensor(x.numel(), dtype=torch.int64)


@op("Reshape", reads=(1,))
def reshape(x: Tensor, target: Tensor, *, allowzero: int = 0) -> Tensor:
    """x in the target shape: 0 copies x's size at that place unless allowzero, one -1 takes what is left."""
    sizes = ints(target)
    if not allowzero:
        sizes = [s or x.shape[axis] for axis, s in enumerate(sizes)]
    return x.reshape(sizes)


@op("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """Two axes: what lies before `axis`, and the rest."""
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@op("Transpose")
def transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    """The axes in the order perm; reversed without one."""
    return x.permute(list(perm) if perm is not None else list(reversed(range(x.ndim))))


@op("Squeeze", reads=(1,))
def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Without the named axes of size 1; without all of them where none are named."""
    return x.squeeze() if axes is None else x.squeeze(tuple(ints(axes)))


@op("Unsqueeze", reads=(1,))
def unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    """With axes of size 1 at the named places of the result."""
    for axis in sorted(axes_of(axes, x.ndim + axes.numel())):
        x = x.unsqueeze(axis)
    return x


@op("Expand", reads=(1,))
def expand(x: Tensor, target: Tensor) -> Tensor:
    """x and the target shape broadcast against each other."""
    shape: tuple[int, ...] = torch.broadcast_shapes(x.shape, ints(target))  # type: ignore[no-untyped-call]
    return x.expand(shape)


@op("Tile", reads=(1,))
def tile(x: Tensor, repeats: Tensor) -> Tensor:
    """x repeated along each axis."""
    return x.repeat(ints(repeats))


@op("Concat")
def concat(*values: Tensor, axis: int) -> Tensor:
    """The inputs one after another along the axis."""
    return torch.cat(values, axis)


@op("Split", reads=(1,))
def split(
    x: Tensor, sizes: Tensor | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> Sequence[Tensor]:
    """Pieces of the given sizes along the axis, or num_outputs pieces of which the last may be smaller."""
    if sizes is None:
        assert num_outputs is not None, "the schema asks for one of the two"
        return torch.split(x, -(-x.shape[axis] // num_outputs), axis)
    return torch.split(x, ints(sizes), axis)


@op("Slice", reads=(1, 2, 3, 4))
def slice_(
    x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    """Python's slices along the named axes, negative steps included."""
    index = [slice(None)] * x.ndim
    backwards = []
    starts_, ends_ = ints(starts), ints(ends)
    axes_ = axes_of(axes, x.ndim)[: len(starts_)]
    steps_ = [1] * len(axes_) if steps is None else ints(steps)
    for start, end, axis, step in zip(starts_, ends_, axes_, steps_, strict=True):
        taken = range(x.shape[axis])[start:end:step]
        if step < 0:  # PyTorch slices forwards only: take the same elements in rising order, then flip
            taken = taken[::-1]
            backwards.append(axis)
        index[axis] = slice(taken.start, taken.stop, taken.step)
    x = x[tuple(index)]
    return x.flip(backwards) if backwards else x


@op("Pad", reads=(1, 2, 3))
def pad(
    x: Tensor,
    pads: Tensor,
    value: Tensor | None = None,
    axes: Tensor | None = None,
    *,
    mode: str = "constant",
) -> Tensor:
    """Each axis longer at either end (shorter where negative), filled as the mode says."""
    axes_ = axes_of(axes, x.ndim)
    amounts = ints(pads)
    begins = dict(zip(axes_, amounts[: len(axes_)], strict=True))
    ends = dict(zip(axes_, amounts[len(axes_) :], strict=True))
    if mode == "constant":
        pairs = [p for axis in reversed(range(x.ndim)) for p in (begins.get(axis, 0), ends.get(axis, 0))]
        return functional.pad(x, pairs, value=0.0 if value is None else value.item())
    for axis in axes_:
        n = x.shape[axis]
        position = torch.arange(-begins[axis], n + ends[axis], device=x.device)
        if mode == "edge":
            position = position.clamp(0, n - 1)
        elif mode == "wrap":
            position = position % n
        else:  # reflect: there and back again with period 2 (n - 1), the edge not repeated
            period = max(1, 2 * (n - 1))
            position = position % period
            position = torch.minimum(position, period - position)
        x = x.index_select(axis, position)
    return x


@op("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """[N, C b b, H, W] -> [N, C, H b, W b]; the block index is outside the depth (DCR) or inside (CRD)."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "CRD":
        return functional.pixel_shuffle(x, b)
    x = x.reshape(n, b, b, c // (b * b), h, w)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(n, c // (b * b), h * b, w * b)


@op("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """[N, C, H b, W b] -> [N, C b b, H, W], the inverse of DepthToSpace in the same mode."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "CRD":
        return functional.pixel_unshuffle(x, b)
    x = x.reshape(n, c, h // b, b, w // b, b)
    return x.permute(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


@op("Range", differentiable=False, reads=(0, 1, 2))
def range_(
    start: Tensor,
    limit: Tensor,
    delta: Tensor,
    *,
    stash_type: int = 1,  # noqa: ARG001  16-bit floats count in float32
) -> Tensor:
    """start, start + delta, ... short of the limit, in the type of start."""
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


@op("ConstantOfShape", reads=(0,))
def constant_of_shape(sizes: Tensor, *, value: Tensor | None = None) -> Tensor:
    """One value (float 0 without one) in the given shape."""
    return torch.zeros(ints(sizes)) if value is None else value.reshape(()).expand(ints(sizes)).clone()


@op("Trilu", reads=(1,))
def trilu(x: Tensor, k: Tensor | None = None, *, upper: int = 1) -> Tensor:
    """The upper (or lower) triangle of each matrix, from the k-th diagonal on; zeros elsewhere."""
    diagonal = 0 if k is None else int(k)
    return x.triu(diagonal) if upper else x.tril(diagonal)


@op("EyeLike", differentiable=False)
def eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    """Ones on the k-th diagonal of a matrix of x's shape, in x's type or the one given."""
    eye = torch.ones(x.shape, device=x.device).triu(k).tril(k)
    return eye.to(x.dtype if dtype is None else torch_dtype(dtype))
