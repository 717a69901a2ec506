"""What matters in a detector's outputs: boxes as much as scores, and both most where the teacher is sure.

Most places hold background, most channels are classes, and boxes are wanted where something is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule
from onnxbin.bridge.spread import LOOKED_AT, Bool, others
from onnxbin.detection import Certainty

if TYPE_CHECKING:
    from onnxbin.bridge.distill import Images

SCORES_SEEN = 0.5
"""The share of the weight that scores have by the teacher's confidence; the rest is alike for all."""

BOXES_SEEN = 0.9
"""The same for boxes: where nothing is, where it is hardly matters."""

Confidence = Callable[[Sequence[npt.NDArray[np.float32]]], Sequence[Certainty]]
"""The teacher's, in the elements of its targets for one image; `onnxbin.detection.Confidence` is one."""


class Emphasis:
    """The weight of each element of each target.

    targets: their names. confidence: see there. usual: its mean over elements that decide boxes, and over the
    others, for each target. boxes: which channels of a target decide boxes, bool [C], by its name.
    """

    def __init__(
        self,
        targets: Sequence[str],
        confidence: Confidence,
        usual: Sequence[tuple[float, float]],
        boxes: Mapping[str, Bool],
    ) -> None:
        self.boxes = boxes
        self._targets = list(targets)
        self._confidence = confidence
        self._usual = usual

    @classmethod
    def of(
        cls,
        teacher: GraphModule,
        images: Images,
        targets: Sequence[str],
        engine: Engine,
        confidence: Confidence,
    ) -> Emphasis:
        """Look at some of the images, as they are, to know what confidence is usual."""
        (input_name,) = teacher.input_names

        def certainties(index: int) -> Sequence[Certainty]:
            x = torch.from_numpy(images.tensor(index, None))[None].to(engine.device)
            with torch.no_grad(), engine.autocast():
                values = teacher({input_name: x})
            return confidence([values[name].float().cpu().numpy() for name in targets])

        def look(index: int) -> list[tuple[float, float]]:
            found = certainties(index)
            return [(_mean(c.confidence[c.boxes]), _mean(c.confidence[~c.boxes])) for c in found]

        usual = np.mean(engine.map(look, range(min(len(images), LOOKED_AT))), axis=0).tolist()
        boxes: dict[str, Bool] = {
            name: np.asarray(each.boxes.all(tuple(others(each.boxes))))
            for name, each in zip(targets, certainties(0), strict=True)
        }
        return cls(targets, confidence, usual, boxes)

    def __call__(self, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By what the teacher's outputs for a batch are: for each target its shape, 1 on average.

        Where a target has both, half of the weight is that of the elements that decide boxes.
        """
        values = [wanted[name].float().cpu().numpy() for name in self._targets]
        each = [self._confidence([value[i : i + 1] for value in values]) for i in range(len(values[0]))]
        weights = {}
        for name, usual, *rows in zip(self._targets, self._usual, *each, strict=True):
            weight = np.concatenate([_weight(row, *usual) for row in rows])
            weights[name] = torch.from_numpy(weight).to(wanted[name].device)
        return weights


def _weight(certainty: Certainty, usual_of_boxes: float, usual_of_scores: float) -> npt.NDArray[np.float32]:
    weight = np.ones_like(certainty.confidence)
    for which, usual, seen in (
        (certainty.boxes, usual_of_boxes, BOXES_SEEN),
        (~certainty.boxes, usual_of_scores, SCORES_SEEN),
    ):
        if usual > 0:
            weight[which] = 1 - seen + seen / usual * certainty.confidence[which]
        if 0 < which.mean() < 1:
            weight[which] *= 0.5 / which.mean()
    return weight


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if values.size else 0.0
