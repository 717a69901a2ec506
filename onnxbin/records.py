"""What a compression says of itself: while it goes on, to a listener; at the end, as a result."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onnxbin.images import Choice
from onnxbin.inputs.auto import WidthChoice
from onnxbin.inputs.widths import Widths, describe
from onnxbin.layers import ConvLayer
from onnxbin.plan import Plan

LAST_PHASE = "whole network"
"""What stands for the layer's name where a step is the last phase."""


@dataclass(frozen=True)
class Step:
    """One turn: a layer's, whose weight becomes binary, or the last phase.

    layer: which; None in the last phase, in which no layer becomes binary: the inputs of those that are get
    their widths, and the whole network trains. number: of the step, from 1 on. expected: how many steps the
    goal takes, by the sizes of the layers, with the last phase. bases: binary tensors for the weight; 0 in
    the last phase. training_steps: the training this turn gets.
    """

    layer: ConvLayer | None
    number: int
    expected: int
    bases: int
    training_steps: int

    @property
    def title(self) -> str:
        """The layer's name, or what stands for it."""
        return LAST_PHASE if self.layer is None else self.layer.name


@dataclass(frozen=True)
class Record:
    """What one step did.

    layer, shape: whose weight became binary, and its shape; None and () in the last phase, see Step.
    bases: binary tensors for it; 0 in the last phase. inputs: the widths that the last phase gives to the
    inputs of all binary layers; empty before it.
    share: of all convolutions' parameters, how many are binary now. ratio: original bytes / bytes now.
    before, after: agreement before and after fine-tuning (see onnxbin.agreement); None where it was not
    measured. boxes: agreement of the boxes after it (see onnxbin.measures); None where the
    model is no known detector, or it was not measured.
    difference: the largest relative difference among kernel, function and PyTorch module of the new node.
    training_steps: of fine-tuning. seconds: that all of it took.
    """

    layer: str | None
    shape: tuple[int, ...]
    bases: int
    inputs: Widths
    share: float
    ratio: float
    before: float | None
    after: float | None
    boxes: float | None
    difference: float
    training_steps: int
    seconds: float

    @property
    def title(self) -> str:
        """The layer's name; of the last phase, what became of the inputs."""
        if self.layer is not None:
            return self.layer
        return f"{LAST_PHASE}, {describe(self.inputs)}"

    @property
    def drop(self) -> float | None:
        """What was lost since the original: of the boxes where that is known, else of the outputs."""
        kept = self.after if self.boxes is None else self.boxes
        return None if kept is None else 1 - kept


@dataclass(frozen=True)
class Result:
    """What came out.

    path: the file that was written. ratio: original bytes / its bytes. agreement: with the original on
    held-back images, see onnxbin.agreement; boxes: of what is detected, see Record. int8: whether
    what stays real computes in int8. reached: whether the stop
    rules were met. reason: why the run ended. steps: what was kept, step by step. run: the run folder.
    preprocessing: how images were fed and where that is known from.
    """

    path: Path
    run: Path
    ratio: float
    agreement: float
    boxes: float | None
    int8: bool
    reached: bool
    reason: str
    steps: tuple[Record, ...]
    original_bytes: int
    bytes: int
    preprocessing: Choice
    warnings: tuple[str, ...]
    seconds: float

    def to_json(self) -> str:
        """All of it, for machines."""
        content = {**asdict(self), "path": str(self.path), "run": str(self.run)}
        return json.dumps(without_infinities(content), indent=2)


def without_infinities(content: Any) -> Any:
    """The same JSON value with null for numbers that JSON does not know."""
    if isinstance(content, dict):
        return {key: without_infinities(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [without_infinities(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


class Listener:
    """Is told how a run goes; a subclass shows it. Every method may be left out."""

    def planned(self, plan: Plan) -> None:
        """The order of layers and the reachable ratio are known; nothing has been trained."""

    def warned(self, text: str) -> None:
        """Something the user should know."""

    def making_int8(self) -> None:
        """After the last step: what stays real is being quantized and timed."""

    def looked_at(self, done: int, total: int) -> None:
        """In choosing the next layer, so many of the candidates have been looked at."""

    def widths_tried(self, done: int, total: int) -> None:
        """For --inputs auto, so many widths of layers have been looked at."""

    def widths_chosen(self, choice: WidthChoice) -> None:
        """In the last phase, --inputs auto has chosen the width of each layer's input."""

    def step_started(self, step: Step) -> None:
        """A turn has begun."""

    def trained(self, step: Step, done: int, loss: float) -> None:
        """One more training step of this turn is done."""

    def forecast(self, seconds: float) -> None:
        """A turn is over; what follows will take about so long."""

    def step_finished(self, step: Step, record: Record) -> None:
        """A turn is over, and its result was kept."""

    def step_undone(self, step: Step, record: Record) -> None:
        """A turn is over, and was undone: it lost more than may be lost."""

    def resumed(self, steps: Sequence[Record]) -> None:
        """An earlier run is taken up again; these steps were finished in it."""
