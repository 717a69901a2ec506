"""The unit in which errors of a tensor are measured: how much the teacher's own values vary.

Known from a first look at some images, not from each batch: the error of a batch is then the mean of its
images' errors, so that several processes can share a batch, and a batch of one is as good as any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule
from onnxbin.shapes import channel_axis

if TYPE_CHECKING:
    from onnxbin.bridge.distill import Images

Bool = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

LOOKED_AT = 32
"""Images, at most."""

VARIANCE_FLOOR = 0.05
"""This share of a tensor's mean variance is added to each channel's: some channels are constant."""

DECODED_FLOOR = 1e-3
"""The same for decoded outputs, of each channel's own mean square."""


@dataclass(frozen=True, eq=False)
class _Moments:
    """Of one tensor for one image: values per channel, their sum and the sum of their squares, [C] each.

    decoded: whether it has three axes, boxes with their scores.
    """

    decoded: bool
    count: int
    sum: Float64
    squares: Float64


class Spread:
    """The variance of each channel of each tensor, with floors; see `shapes.channel_axis`."""

    def __init__(self, variances: dict[str, Tensor]) -> None:
        self._variances = variances

    @classmethod
    def of(
        cls,
        teacher: GraphModule,
        images: Images,
        names: Sequence[str],
        engine: Engine,
        boxes: Mapping[str, Bool] | None = None,
    ) -> Spread:
        """Look at some of the images, as they are, one after another.

        boxes: of some tensors, which channels [C] decide boxes; the others decide scores.
        """
        (input_name,) = teacher.input_names

        def look(index: int) -> list[_Moments]:
            x = torch.from_numpy(images.tensor(index, None))[None].to(engine.device)
            with torch.no_grad(), engine.autocast():
                values = teacher({input_name: x}, names)
            return [_moments(values[name].double()) for name in names]

        looks = engine.map(look, range(min(len(images), LOOKED_AT)))
        return cls(
            {
                name: torch.from_numpy(_floored(list(each), (boxes or {}).get(name)))
                .float()
                .to(engine.device)
                for name, each in zip(names, zip(*looks, strict=True), strict=True)
            }
        )

    def relative_error(
        self, name: str, found: Tensor, wanted: Tensor, weight: Tensor | float = 1.0
    ) -> Tensor:
        """The mean over channels of the mean squared error over the teacher's variance.

        weight: of each element, with as many axes as the tensor.
        """
        found, wanted = _with_channels(found), _with_channels(wanted)
        error = (weight * (found - wanted).square()).mean(others(wanted))
        return (error / self._variances[name]).mean()


def _with_channels(x: Tensor) -> Tensor:
    return x if x.ndim > 1 else x.reshape(-1, 1)


def others(x: Tensor | npt.NDArray[Any]) -> list[int]:
    """The axes of x [N, C, ...] that are not the channels'."""
    return [axis for axis in range(x.ndim) if axis != channel_axis(x.shape)]


def _moments(x: Tensor) -> _Moments:
    x = _with_channels(x)
    axes = others(x)
    total, squares = x.sum(axes), x.square().sum(axes)
    return _Moments(x.ndim == 3, x.numel() // len(total), total.cpu().numpy(), squares.cpu().numpy())


def _floored(looks: Sequence[_Moments], boxes: Bool | None) -> Float64:
    count = sum(look.count for look in looks)
    square = np.sum([look.squares for look in looks], axis=0) / count
    mean = np.sum([look.sum for look in looks], axis=0) / count
    variance = np.maximum(square - np.square(mean), 0)
    if looks[0].decoded and boxes is not None:
        # Scores are of one unit, and boxes are: noise in classes that are hardly ever seen is still little.
        for group in (boxes, ~boxes):
            variance[group] = variance[group].mean() if group.any() else 0
    # The floors are for channels, and whole tensors, that are constant.
    if looks[0].decoded:
        # Each channel may have its own unit: beside pixels, a score's variance is nothing, yet it matters.
        floor = DECODED_FLOOR * square
    else:
        floor = np.asarray(VARIANCE_FLOOR * variance.mean() + 1e-6 * square.mean())
    floored: Float64 = variance + floor + 1e-12
    return floored
