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
from onnxbin.detection.detections import Float32
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

    def of_image(self, wanted: Mapping[str, Float32]) -> dict[str, Float32]:
        """By what the teacher's outputs for one image are: for each target its shape, 1 on average."""
        weights = self._emphasis(self._confidence([wanted[name] for name in self._targets]))
        return dict(zip(self._targets, weights, strict=True))

    def __call__(self, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same for a batch."""
        values = {name: wanted[name].float().cpu().numpy() for name in self._targets}
        count = len(next(iter(values.values())))
        rows = [
            self.of_image({name: value[i : i + 1] for name, value in values.items()}) for i in range(count)
        ]
        return {
            name: torch.from_numpy(np.concatenate([row[name] for row in rows])).to(wanted[name].device)
            for name in self._targets
        }
