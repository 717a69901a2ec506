"""What matters in a detector's outputs (`onnxbin.detection.emphasis`), for the batches of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule
from onnxbin.bridge.spread import LOOKED_AT
from onnxbin.detection import emphasis
from onnxbin.detection.confidence import Bool, Certainty
from onnxbin.detection.emphasis import ConfidenceOf, Usual, box_channels, usual_confidence

if TYPE_CHECKING:
    from onnxbin.bridge.distill import Images


class Emphasis:
    """The weight of each element of each target.

    targets: their names. confidence: of the teacher in them. emphasis: by that, for one image. boxes: which
    channels of a target decide boxes, bool [C], by its name.
    """

    def __init__(
        self,
        targets: Sequence[str],
        confidence: ConfidenceOf,
        emphasis: emphasis.Emphasis,
        boxes: Mapping[str, Bool],
    ) -> None:
        self.boxes = boxes
        self._targets = list(targets)
        self._confidence = confidence
        self._emphasis = emphasis

    @classmethod
    def of(
        cls,
        teacher: GraphModule,
        images: Images,
        targets: Sequence[str],
        engine: Engine,
        confidence: ConfidenceOf,
    ) -> Emphasis:
        """Look at some of the images, as they are, to know what confidence is usual."""
        (input_name,) = teacher.input_names

        def certainties(index: int) -> Sequence[Certainty]:
            x = torch.from_numpy(images.tensor(index, None))[None].to(engine.device)
            with torch.no_grad(), engine.autocast():
                values = teacher({input_name: x})
            return confidence([values[name].float().cpu().numpy() for name in targets])

        def look(index: int) -> Usual:
            return usual_confidence(certainties(index))

        usual = engine.map(look, range(min(len(images), LOOKED_AT)))
        boxes = {name: box_channels(each) for name, each in zip(targets, certainties(0), strict=True)}
        return cls(targets, confidence, emphasis.Emphasis(usual), boxes)

    def __call__(self, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By what the teacher's outputs for a batch are: for each target its shape, 1 on average."""
        values = [wanted[name].float().cpu().numpy() for name in self._targets]
        rows = [
            self._emphasis(self._confidence([value[i : i + 1] for value in values]))
            for i in range(len(values[0]))
        ]
        return {
            name: torch.from_numpy(np.concatenate(weights)).to(wanted[name].device)
            for name, weights in zip(self._targets, zip(*rows, strict=True), strict=True)
        }
