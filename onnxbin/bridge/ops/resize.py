"""Resize, GridSample and its grid: sampling between pixels.

Every mode of Resize works along one axis after the other, and along an axis it is linear: output i is a
weighted sum of inputs around the source coordinate x(i). So an axis is one small matrix [outputs, inputs],
whatever the mode (nearest: a selection), and its gradient is the transposed matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from onnxbin.bridge.ops.registry import axes_of, ints, op
from onnxbin.errors import OnnxbinError


def _coordinates(inputs: int, outputs: int, scale: float, mode: str, roi: tuple[float, float]) -> Tensor:
    """The source coordinate of each output along one axis, [outputs]; float32, as runtimes, for the ties."""
    i = torch.arange(outputs, dtype=torch.float32)
    length = scale * inputs  # the resized length before it was rounded to whole pixels
    if mode == "asymmetric":
        return i / scale
    if mode == "align_corners":
        return i * ((inputs - 1) / (length - 1)) if length > 1 else torch.zeros_like(i)
    if mode == "tf_crop_and_resize":
        start, end = roi
        if outputs == 1:
            return torch.full_like(i, 0.5 * (start + end) * (inputs - 1))
        return start * (inputs - 1) + i * (end - start) * (inputs - 1) / (outputs - 1)
    if mode == "pytorch_half_pixel" and outputs == 1:
        return torch.zeros_like(i)
    if mode == "tf_half_pixel_for_nn":  # of opsets 11 and 12
        return (i + 0.5) / scale
    half_pixel = (i + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        return half_pixel + inputs / 2 * (1 - outputs / length)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return half_pixel
    raise OnnxbinError(f"coordinate_transformation_mode {mode!r} is not supported")


def _round(x: Tensor, mode: str) -> Tensor:
    if mode == "floor":
        return x.floor()
    if mode == "ceil":
        return x.ceil()
    if mode == "round_prefer_ceil":
        return (x + 0.5).floor()
    return (x - 0.5).ceil()  # round_prefer_floor


def _kernel(distance: Tensor, mode: str, cubic: float) -> Tensor:
    """The weight of an input at this distance: a tent, or the cubic convolution of Keys (1981)."""
    t = distance.abs()
    if mode == "linear":
        return (1 - t).clamp(min=0)
    near = ((cubic + 2) * t - (cubic + 3)) * t * t + 1
    far = ((cubic * t - 5 * cubic) * t + 8 * cubic) * t - 4 * cubic
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0.0))


def _matrix(x: Tensor, inputs: int, mode: str, cubic: float, exclude_outside: bool, stretch: float) -> Tensor:
    """The weights [outputs, inputs] for source coordinates x; stretch > 1 widens the kernel (antialias)."""
    reach = math.ceil((1 if mode == "linear" else 2) * stretch)
    taps = x.floor()[:, None] + torch.arange(-reach + 1, reach + 1, dtype=x.dtype)
    weights = _kernel((taps - x[:, None]) / stretch, mode, cubic)
    if exclude_outside:
        weights = torch.where((taps < 0) | (taps > inputs - 1), 0.0, weights)
    if exclude_outside or stretch > 1:
        weights = weights / weights.sum(1, keepdim=True)
    # A tap beyond the edge reads the edge.
    matrix = torch.zeros(len(x), inputs, dtype=x.dtype)
    return matrix.scatter_add_(1, taps.clamp(0, inputs - 1).long(), weights)


def _sizes_and_scales(
    x: Tensor, axes: list[int], scales: Tensor | None, sizes: Tensor | None, policy: str
) -> tuple[list[int], list[float]]:
    """Outputs and scale along each of the axes."""
    lengths = [x.shape[axis] for axis in axes]
    if sizes is None:
        assert scales is not None, "the schema asks for one of the two"
        factors = [float(s) for s in scales.tolist()]
        # Rounded to float32 first, as runtimes do: 5 * 2.6 is 13 there, and less in float64.
        return (torch.tensor(lengths) * scales).floor().int().tolist(), factors
    outputs = ints(sizes)
    factors = [out / n for out, n in zip(outputs, lengths, strict=True)]
    if policy != "stretch":
        factor = min(factors) if policy == "not_larger" else max(factors)
        factors = [factor] * len(axes)
        outputs = [math.floor(n * factor + 0.5) for n in lengths]
    return outputs, factors


_REPEATS = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
}
"""At a whole factor f these read pixel i // f for output i: each pixel is repeated f times."""


@op("Resize", reads=(1, 2, 3))
def resize(
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    keep_aspect_ratio_policy: str = "stretch",
) -> Tensor:
    """x at other sizes along the axes (all without any), as the ONNX operator of opset 19 defines it."""
    axes_ = axes_of(axes, x.ndim)
    scales = None if scales is not None and scales.numel() == 0 else scales
    outputs, factors = _sizes_and_scales(x, axes_, scales, sizes, keep_aspect_ratio_policy)
    if mode == "nearest" and (coordinate_transformation_mode, nearest_mode) in _REPEATS:
        whole = _whole_factors(x, axes_, factors)
        if whole:  # the case of nearly every detector, and the fast way
            return functional.interpolate(x, scale_factor=whole)
    for place, (axis, length, factor) in enumerate(zip(axes_, outputs, factors, strict=True)):
        n = x.shape[axis]
        crop = (0.0, 1.0)
        if coordinate_transformation_mode == "tf_crop_and_resize":
            assert roi is not None, "the schema asks for one in this mode"
            crop = (roi[place].item(), roi[place + len(axes_)].item())
        elif length == n and factor == 1:
            continue
        source = _coordinates(n, length, factor, coordinate_transformation_mode, crop)
        if mode == "nearest":
            x = x.index_select(axis, _round(source, nearest_mode).clamp(0, n - 1).long().to(x.device))
        else:
            stretch = max(1.0, 1 / factor) if antialias else 1.0
            matrix = _matrix(source, n, mode, cubic_coeff_a, bool(exclude_outside), stretch)
            x = torch.tensordot(x, matrix.to(x), dims=([axis], [1])).movedim(-1, axis)
        if coordinate_transformation_mode == "tf_crop_and_resize":
            outside = ((source < 0) | (source > n - 1)).to(x.device)
            view = [-1 if a == axis else 1 for a in range(x.ndim)]
            x = torch.where(outside.reshape(view), extrapolation_value, x)
    return x


def _whole_factors(x: Tensor, axes: list[int], factors: list[float]) -> tuple[int, int] | None:
    """The factors of height and width, if x [N, C, H, W] grows by whole ones along these axes alone."""
    if x.ndim != 4:
        return None
    by_axis = dict(zip(axes, factors, strict=True))
    n, c, h, w = (by_axis.get(axis, 1.0) for axis in range(4))
    whole = n == c == 1 and h.is_integer() and w.is_integer() and min(h, w) >= 1
    return (int(h), int(w)) if whole else None


_GRID_MODES = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}


@op("GridSample")
def grid_sample(
    x: Tensor, grid: Tensor, *, mode: str = "linear", padding_mode: str = "zeros", align_corners: int = 0
) -> Tensor:
    """x [N, C, *sizes] sampled at grid [N, *outputs, axes] in -1 .. 1, the last axis of x first."""
    return functional.grid_sample(x, grid, _GRID_MODES[mode], padding_mode, bool(align_corners))


@op("AffineGrid", reads=(1,))
def affine_grid(theta: Tensor, size: Tensor, *, align_corners: int = 0) -> Tensor:
    """The grid for GridSample of affine maps theta [N, axes, axes + 1], for an output of this size."""
    return functional.affine_grid(theta, ints(size), bool(align_corners))
