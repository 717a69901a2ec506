"""How much the real tensors of a network may change at once before its outputs are others.

Networks differ by more than ten times, so that no learning rate suits them all. All real tensors change by
the same share of their magnitude, each element up or down at random, as Adam's first steps do; from the error
that this makes, which grows with the square of the share, follows the share that makes the error allowed.

What comes out: yolov4_tiny_voc 2e-3 (the most), nanodet_m 1.1e-3, yolov8n 1.1e-3, fastestdet 1.0e-3,
ssd_mobilenet_v1_075 9e-4, yolox_nano 3e-4. What they had been found to bear before: docs/finetuning.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule
from onnxbin.bridge.spread import Spread

if TYPE_CHECKING:
    from onnxbin.bridge.distill import Images
    from onnxbin.bridge.emphasis import Emphasis

ALLOWED = 1e-3
"""The error of the targets, as a share of the teacher's variance."""

TRIED = 1e-3
SMALLEST, LARGEST = 1e-5, 2e-3
"""The share that is tried; the least and the most that is said."""

SMALLEST_MAGNITUDE = 1e-2
"""What counts for a tensor of zeros, such as the bias of a convolution that had none."""

_IMAGES = 6


def magnitude(parameter: Tensor) -> float:
    """The root mean square, as far as it is not zero."""
    return max(float(parameter.detach().square().mean().sqrt()), SMALLEST_MAGNITUDE)


def bearable_change(
    network: GraphModule,
    images: Images,
    targets: Sequence[str],
    spread: Spread,
    engine: Engine,
    emphasis: Emphasis | None = None,
) -> float:
    """The share of their magnitude by which the trained tensors may change at once, SMALLEST to LARGEST."""
    (input_name,) = network.input_names
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    numbers = range(min(len(images), _IMAGES))

    def look(index: int) -> dict[str, Tensor]:
        x = torch.from_numpy(images.tensor(index, None))[None].to(engine.device)
        # A context for each look: inside one, autocast keeps the weights that it has once converted.
        with torch.no_grad(), engine.autocast():
            values = network({input_name: x})
        return {name: values[name].float() for name in targets}

    before = [look(index) for index in numbers]
    kept = [parameter.detach().clone() for parameter in parameters]
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in parameters:
            signs = torch.from_numpy(2 * rng.integers(0, 2, tuple(parameter.shape)) - 1)
            parameter.add_(signs.to(parameter), alpha=TRIED * magnitude(parameter))
    try:
        errors = []
        for index, wanted in zip(numbers, before, strict=True):
            found, weights = look(index), emphasis(wanted) if emphasis is not None else {}
            errors += [
                float(spread.relative_error(name, found[name], wanted[name], weights.get(name, 1.0)))
                for name in targets
            ]
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)
    error = float(np.mean(errors))
    bearable = TRIED * np.sqrt(ALLOWED / error) if error > 0 else LARGEST
    return float(np.clip(bearable, SMALLEST, LARGEST))
