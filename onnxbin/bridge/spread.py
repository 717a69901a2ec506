"""Errors of tensors in training, in the unit of `onnxbin.spread`: how much the teacher's own values vary.

Known from a first look at some images, not from each batch: the error of a batch is then the mean of its
images' errors, so that several processes can share a batch, and a batch of one is as good as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule
from onnxbin.spread import Float32, Look, other_axes, units

if TYPE_CHECKING:
    from onnxbin.bridge.distill import Images
    from onnxbin.bridge.emphasis import Emphasis

LOOKED_AT = 32
"""Images, at most."""


class Spread:
    """The unit of each channel of each tensor."""

    def __init__(self, units: dict[str, Tensor]) -> None:
        self._units = units

    @classmethod
    def of(
        cls,
        teacher: GraphModule,
        images: Images,
        names: Sequence[str],
        engine: Engine,
        emphasis: Emphasis | None = None,
    ) -> Spread:
        """Look at some of the images, as they are, one after another.

        emphasis: of those among the tensors that are weighted.
        """
        (input_name,) = teacher.input_names
        count = min(len(images), LOOKED_AT)

        @lru_cache(maxsize=2)  # the next of one image is mostly the one that is looked at then
        def values(index: int) -> dict[str, Float32]:
            x = torch.from_numpy(images.tensor(index, None))[None].to(engine.device)
            with torch.no_grad(), engine.autocast():
                found = teacher({input_name: x}, names)
            return {name: found[name].float().cpu().numpy() for name in names}

        def look(index: int) -> list[Look]:
            these, others = values(index), values((index + 1) % count)
            weights = emphasis.of_image(these) if emphasis is not None else {}
            return [Look.at(these[name], others[name], weights.get(name)) for name in names]

        looks = engine.map(look, range(count))
        boxes = emphasis.boxes if emphasis is not None else {}
        return cls(
            {
                name: torch.from_numpy(units(each, boxes.get(name))).float().to(engine.device)
                for name, each in zip(names, zip(*looks, strict=True), strict=True)
            }
        )

    def relative_error(
        self, name: str, found: Tensor, wanted: Tensor, weight: Tensor | float = 1.0
    ) -> Tensor:
        """The mean over channels of the mean squared error in the channel's unit.

        weight: of each element, with as many axes as the tensor.
        """
        if wanted.ndim == 1:
            found, wanted = found.reshape(-1, 1), wanted.reshape(-1, 1)
        error = (weight * (found - wanted).square()).mean(other_axes(wanted.shape))
        return (error / self._units[name]).mean()
