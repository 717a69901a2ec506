"""The unit in which errors of a tensor are measured: how much its own values vary, channel by channel.

Of decoded outputs, how much they vary at the same place from image to image. Boxes in pixels vary from place
to place because places do: those of YOLOv8n by 180 pixels, but at one place by 12.
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
"""This share of a tensor's mean variance is added to each channel's: some channels are constant."""

DECODED_FLOOR = 1e-3
"""The same of decoded outputs, of each channel's own mean square, where it is not known what they decide."""

SMALLEST = 1e-6
"""This share of the mean square is added in any case: whole tensors are constant, too."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Of one tensor for one image: values per channel; [C] each: the sums of these, of their squares, and of
    the squares of their differences from another image's at the same places.

    decoded: whether it has three axes, boxes with their scores.
    """

    decoded: bool
    count: int
    sum: Float64
    squares: Float64
    differences: Float64

    @classmethod
    def of(cls, x: Float32, other: Float32) -> Moments:
        """x, other: the tensor for two images, [N, C, *sizes] or [N, C]; one axis is one channel."""
        x = with_channels(x)
        axes = tuple(other_axes(x.shape))
        total = x.sum(axes, dtype=np.float64)
        sums = [np.square(v, dtype=np.float64).sum(axes) for v in (x, x - with_channels(other))]
        return cls(x.ndim == 3, x.size // len(total), total, *sums)


def variances(looks: Sequence[Moments], boxes: Bool | None = None) -> Float64:
    """Of each channel [C] over these images, with floors.

    looks: each image beside the next, and the last beside the first. boxes: which channels decide boxes; the
    others decide scores. Of decoded outputs, all that are boxes share their variance, and so do all that are
    scores.
    """
    count = sum(look.count for look in looks)
    square = np.sum([look.squares for look in looks], axis=0) / count
    mean = np.sum([look.sum for look in looks], axis=0) / count
    variance = np.maximum(square - np.square(mean), 0)
    if looks[0].decoded and len(looks) > 1:
        # Of two values that are independent, half the mean square of their difference is the variance.
        variance = np.sum([look.differences for look in looks], axis=0) / (2 * count)
    if looks[0].decoded and boxes is not None:
        # Scores are of one unit, and boxes are: noise in classes that are hardly ever seen is still little.
        for group in (boxes, ~boxes):
            variance[group] = variance[group].mean() if group.any() else 0
    if not looks[0].decoded:
        floor = np.asarray(VARIANCE_FLOOR * variance.mean() + SMALLEST * square.mean())
    elif boxes is not None:
        floor = SMALLEST * square
    else:
        # Each channel may have its own unit: beside pixels, a score's variance is nothing, yet it matters.
        floor = DECODED_FLOOR * square
    floored: Float64 = variance + floor + 1e-12
    return floored


def with_channels(x: Float32) -> Float32:
    """x with a channel axis, if it has none."""
    return x if x.ndim > 1 else x.reshape(-1, 1)


def other_axes(shape: Sequence[int]) -> list[int]:
    """The axes that are not the channels'."""
    return [axis for axis in range(len(shape)) if axis != channel_axis(shape)]
