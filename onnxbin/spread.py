"""The unit in which errors of a tensor are measured: how much its own values vary, channel by channel.

Of decoded outputs, how much they vary at the same place from image to image. Boxes in pixels vary from place
to place because places do: those of YOLOv8n by 180 pixels, but at one place by 12. Of weighted outputs, how
much they vary by the same weights: by those, YOLOv8n's scores vary fifty times as much as without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxbin.shapes import channel_axis

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

VARIANCE_FLOOR = 0.05
"""This share of a tensor's mean variance, of boxes and of scores by themselves, is added to each channel's:
some channels are constant."""

DECODED_FLOOR = 1e-3
"""The same of decoded outputs, of each channel's own mean square, where it is not known what they decide.
Each may have its own unit: beside pixels, a score's variance is nothing, yet it matters."""

SMALLEST = 1e-6
"""This share of the mean square is added in any case: whole tensors are constant, too."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over elements, [C] each: of weights, and of what they weigh: values, squares of these, and squares
    of their differences from another image's values at the same places."""

    weights: Float64
    values: Float64
    squares: Float64
    differences: Float64

    @classmethod
    def of(cls, x: Float32, other: Float32, weight: Float32 | None = None) -> Moments:
        """x, other, weight: [N, C, *sizes] or [N, C]; without weight, each weighs 1."""
        axes = tuple(other_axes(x.shape))
        difference = np.square(x - other)
        if weight is None:
            channels = x.shape[channel_axis(x.shape)]
            weights, weighed = np.full(channels, x.size / channels), (x, x * x, difference)
        else:
            weights = weight.sum(axes, dtype=np.float64)
            weighed = (weight * x, weight * x * x, weight * difference)
        return cls(weights, *(each.sum(axes, dtype=np.float64) for each in weighed))

    @classmethod
    def total(cls, parts: Sequence[Moments]) -> Moments:
        """Of several tensors' elements together."""
        fields = ("weights", "values", "squares", "differences")
        return cls(*(np.sum([getattr(part, name) for part in parts], axis=0) for name in fields))

    def about(self, mean: Float64) -> Float64:
        """The sum of squared deviations from this mean of each channel."""
        return np.maximum(self.squares - 2 * mean * self.values + mean**2 * self.weights, 0)


@dataclass(frozen=True, eq=False)
class Look:
    """At one tensor for one image, beside another image's.

    decoded: whether it has three axes, boxes with their scores. alike, weighted: the moments, with all
    elements alike and by their weights.
    """

    decoded: bool
    alike: Moments
    weighted: Moments | None

    @classmethod
    def at(cls, x: Float32, other: Float32, weight: Float32 | None = None) -> Look:
        """x, other, weight: [N, C, *sizes] or [N, C]; one axis is one channel."""
        x, other = with_channels(x), with_channels(other)
        weighted = Moments.of(x, other, with_channels(weight)) if weight is not None else None
        return cls(x.ndim == 3, Moments.of(x, other), weighted)


def units(looks: Sequence[Look], boxes: Bool | None = None) -> Float64:
    """What squared errors of each channel [C] are divided by: its variance over these images, with a floor.

    looks: each image beside the next, and the last beside the first. boxes: which channels decide boxes; the
    others decide scores. Of decoded outputs, all that are boxes share their variance, and so do all that are
    scores. Of weighted ones, units are such that to answer with the mean is an error of one, half of it in
    boxes and half in scores where there are both.
    """
    alike = Moments.total([look.alike for look in looks])
    count, mean, square = alike.weights, alike.values / alike.weights, alike.squares / alike.weights
    decoded = looks[0].decoded

    def variance_of(moments: Moments) -> Float64:
        # Of two values that are independent, half the mean square of their difference is the variance.
        by_place = decoded and len(looks) > 1
        return (moments.differences / 2 if by_place else moments.about(mean)) / count

    everything = np.full(len(count), fill_value=True)
    groups = [everything] if boxes is None else [group for group in (boxes, ~boxes) if group.any()]
    variance = variance_of(alike)
    floor = DECODED_FLOOR * square
    for group in groups:
        if not decoded:
            floor[group] = VARIANCE_FLOOR * variance[group].mean() + SMALLEST * square[group].mean()
        elif boxes is not None:
            # Scores are of one unit, and boxes are: noise in classes that are hardly seen is still little.
            variance[group] = variance[group].mean()
            floor[group] = SMALLEST * square[group]
    unit: Float64 = variance + floor + 1e-12
    weighted = [look.weighted for look in looks if look.weighted is not None]
    if weighted:
        errors = (variance_of(Moments.total(weighted)) + floor + 1e-12) / unit
        for group in groups:
            unit[group] *= errors[group].sum() / len(errors) * len(groups)
    return unit


def with_channels(x: Float32) -> Float32:
    """x with a channel axis, if it has none."""
    return x if x.ndim > 1 else x.reshape(-1, 1)


def other_axes(shape: Sequence[int]) -> list[int]:
    """The axes that are not the channels'."""
    return [axis for axis in range(len(shape)) if axis != channel_axis(shape)]
