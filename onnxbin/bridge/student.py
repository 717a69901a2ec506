"""One network taught by another that it does not look like: a reshaped one by its original."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch
from onnx import ModelProto

from onnxbin.bridge.cut import targets
from onnxbin.bridge.distill import Distillation, Phase
from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule
from onnxbin.images import ImageSet
from onnxbin.surgery import with_values

PHASE = Phase(latent_rate=0.0, real_rate=1.5e-3, largest_change=4.0, feature_weight=0.0, falling=0.4)
"""Rates for a whole network that has much to learn, and has no binary layers: beside those, real weights have
little to change.

examples/street with stages of a quarter of their depth, 100 steps of 4 of its images; agreement and box
agreement on those held back (before: .917 .03), single runs:

    rates                x 1/3      x 1        x 3        x 10       x 3, falling all along
                         .947 .21   .954 .38   .956 .49   .955 .46   .955 .38
    no tensors but outputs                     .955 .39

yolov4_tiny_voc with half the depth, 30 steps, 1,158 photos: .605 at x 1/3, .608 at x 3 (before: .141).
Hence the cautious ones of those that help.
"""


class Student:
    """A network that is taught by distillation (see onnxbin.bridge.distill).

    proto: the network. also: tensors of the same name and shape in both that are matched beside the outputs.
    fixed: initializers that are not trained.
    """

    def __init__(
        self,
        proto: ModelProto,
        teacher: ModelProto,
        images: ImageSet,
        engine: Engine,
        *,
        also: Sequence[str] = (),
        fixed: Sequence[str] = (),
        batch_size: int = 4,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        matched = [*targets(teacher), *also]
        self._proto = proto
        self._module = GraphModule(proto, matched)
        self._module.freeze(fixed)
        self._distillation = Distillation(
            GraphModule(teacher, matched),
            self._module,
            images,
            engine,
            targets=matched,
            batch_size=batch_size,
            seed=seed,
        )

    def train(self, steps: int, on_step: Callable[[int, float], bool] | None = None) -> None:
        """So many steps; on_step: see Distillation.train. After `restore`, those that are left of them."""
        self._distillation.train(steps, on_step, phase=PHASE)

    def model(self) -> ModelProto:
        """The network as it is now."""
        return with_values(self._proto, self._module.initializers())

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What training depends on beside the model as it is now."""
        return self._distillation.state()

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from this state of a student that was of the present one's values."""
        self._distillation.restore(state)
