"""The unit in which errors of a tensor are measured: how much the teacher's own values vary.

Known from a first look at some images, not from each batch: the error of a batch is then the mean of its
images' errors, so that several processes can share a batch, and a batch of one is as good as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule

if TYPE_CHECKING:
    from onnxbin.bridge.distill import Images

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
    sum: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]


class Spread:
    """The mean and the variance of each channel of each tensor, the variance with a floor.

    Channels are axis 1 of [N, C, *sizes]; of three axes, as in decoded boxes, the shorter one.
    """

    def __init__(self, means: dict[str, Tensor], variances: dict[str, Tensor]) -> None:
        self._means = means
        self._variances = variances

    @classmethod
    def of(cls, teacher: GraphModule, images: Images, names: Sequence[str], engine: Engine) -> Spread:
        """Look at some of the images, as they are, one after another."""
        (input_name,) = teacher.input_names

        def look(index: int) -> list[_Moments]:
            x = torch.from_numpy(images.tensor(index, None))[None].to(engine.device)
            with torch.no_grad(), engine.autocast():
                values = teacher({input_name: x}, names)
            return [_moments(values[name].double()) for name in names]

        looks = zip(*engine.map(look, range(min(len(images), LOOKED_AT))), strict=True)
        seen = {name: _mean_and_variance(each) for name, each in zip(names, looks, strict=True)}

        def tensors(index: int) -> dict[str, Tensor]:
            values = {name: torch.from_numpy(both[index]).float() for name, both in seen.items()}
            return {name: value.to(engine.device) for name, value in values.items()}

        return cls(tensors(0), tensors(1))

    def relative_error(self, name: str, found: Tensor, wanted: Tensor) -> Tensor:
        """The mean over channels of the mean squared error over the teacher's variance."""
        found, wanted = _with_channels(found), _with_channels(wanted)
        error = (found - wanted).square().mean(_others(wanted))
        return (error / self._variances[name]).mean()

    def salient_error(self, name: str, found: Tensor, wanted: Tensor) -> Tensor:
        """The same, where places at which the teacher says something unusual count for more.

        Most places of a detector's output hold background, alike everywhere. A place counts 1 + z, z being
        the mean over channels of (teacher - its mean)^2 / its variance, which is 1 on average.
        """
        found, wanted = _with_channels(found), _with_channels(wanted)
        others = _others(wanted)
        shape = [1 if axis in others else -1 for axis in range(wanted.ndim)]
        mean, variance = (each[name].reshape(shape) for each in (self._means, self._variances))
        (channels,) = set(range(wanted.ndim)) - set(others)
        weight = 1 + ((wanted - mean).square() / variance).mean(channels, keepdim=True)
        return (weight * (found - wanted).square() / variance).mean() / 2


def _with_channels(x: Tensor) -> Tensor:
    return x if x.ndim > 1 else x.reshape(-1, 1)


def _others(x: Tensor) -> list[int]:
    """The axes of x [N, C, ...] that are not the channels'."""
    channels = 2 if x.ndim == 3 and x.shape[2] < x.shape[1] else 1
    return [axis for axis in range(x.ndim) if axis != channels]


def _moments(x: Tensor) -> _Moments:
    x = _with_channels(x)
    others = _others(x)
    total, squares = x.sum(others), x.square().sum(others)
    return _Moments(x.ndim == 3, x.numel() // len(total), total.cpu().numpy(), squares.cpu().numpy())


def _mean_and_variance(looks: Sequence[_Moments]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each channel over all looks, the variance with its floor."""
    count = sum(look.count for look in looks)
    square = np.sum([look.squares for look in looks], axis=0) / count
    mean = np.sum([look.sum for look in looks], axis=0) / count
    variance = np.maximum(square - np.square(mean), 0)
    # The floors are for channels, and whole tensors, that are constant.
    if looks[0].decoded:
        # Each channel has its own unit: beside pixels, a score's variance is nothing, and yet it matters.
        floor = DECODED_FLOOR * square
    else:
        floor = np.asarray(VARIANCE_FLOOR * variance.mean() + 1e-6 * square.mean())
    return mean, variance + floor + 1e-12
