"""What a compression says of itself: while it goes on, to a listener; at the end, as a result."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from onnxbin.images import Choice
from onnxbin.layers import ConvLayer
from onnxbin.plan import Plan


@dataclass(frozen=True)
class Step:
    """One layer's turn.

    layer: which. number: from 1 on. expected: how many turns the goal takes, by the sizes of the layers.
    training_steps: the training this turn gets.
    """

    layer: ConvLayer
    number: int
    expected: int
    training_steps: int


@dataclass(frozen=True)
class Record:
    """What one step did.

    share: of all convolutions' parameters, how many are binary now. ratio: original bytes / bytes now.
    before, after: agreement before and after fine-tuning; None where it was not measured.
    difference: the largest relative difference among kernel, function and PyTorch module of the new node.
    """

    layer: str
    shape: tuple[int, ...]
    share: float
    ratio: float
    before: float | None
    after: float | None
    difference: float
    seconds: float


@dataclass(frozen=True)
class Result:
    """What came out.

    path: the file that was written. ratio: original bytes / its bytes. agreement: with the original on
    held-back images, see onnxbin.agreement. reached: whether the stop rules were met. reason: why the run
    ended. steps: what was kept, layer by layer. preprocessing: how images were fed and where that is known
    from.
    """

    path: Path
    ratio: float
    agreement: float
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
        content = {**asdict(self), "path": str(self.path)}
        if not math.isfinite(self.agreement):
            content["agreement"] = None  # JSON knows no infinities
        return json.dumps(content, indent=2)


class Listener:
    """Is told how a run goes; a subclass shows it. Every method may be left out."""

    def planned(self, plan: Plan) -> None:
        """The order of layers and the reachable ratio are known; nothing has been trained."""

    def warned(self, text: str) -> None:
        """Something the user should know."""

    def layer_started(self, step: Step) -> None:
        """A layer's turn has begun."""

    def trained(self, step: Step, done: int, loss: float) -> None:
        """One more training step of this layer's turn is done."""

    def layer_finished(self, step: Step, record: Record) -> None:
        """A layer's turn is over, and its result was kept."""
