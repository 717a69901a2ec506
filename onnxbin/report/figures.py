"""All numbers of a report: what the page shows, and `figures.json` beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from onnxbin.version import __version__

FORMAT = 1
"""Of figures.json."""


@dataclass(frozen=True)
class ModelFigures:
    """What a model measures.

    bytes: of its file. average_precision: at IoU 0.5 on the labelled images, the mean over their classes.
    latency: of one image, in milliseconds, the median. quartiles: between which half of the latencies lie.
    None: not measured.
    """

    bytes: int
    average_precision: float | None
    latency: float | None
    quartiles: tuple[float, float] | None


@dataclass(frozen=True)
class StepFigures(ModelFigures):
    """A step, and the model after it; layer: its title. The rest is that of onnxbin.records.Record."""

    number: int
    layer: str
    shape: tuple[int, ...]
    share: float
    ratio: float
    agreement_before: float | None
    agreement: float | None
    boxes: float | None
    training_steps: int
    seconds: float


@dataclass(frozen=True)
class Quality:
    """What a report judges the steps by: the best measure that is known of the last one.

    name: the field of StepFigures. label: of axes and columns. meaning: in a sentence.
    """

    name: str
    label: str
    meaning: str


QUALITIES = (
    Quality(
        "average_precision",
        "AP@0.5",
        "Average precision at IoU 0.5 on the labelled images, the mean over their classes.",
    ),
    Quality(
        "boxes",
        "box agreement",
        "AP@0.5 on images held back from training, with the original's own boxes as the labels: 1 where "
        "every box is found again.",
    ),
    Quality(
        "agreement",
        "output agreement",
        "1 minus the relative change of the outputs on images held back from training.",
    ),
)


@dataclass(frozen=True)
class Figures:
    """original: of the original. steps: in the order of the run."""

    original: ModelFigures
    steps: tuple[StepFigures, ...]

    @property
    def quality(self) -> Quality | None:
        """What to judge by; None where nothing was measured, as in a run without fine-tuning."""
        return next((q for q in QUALITIES if getattr(self.steps[-1], q.name) is not None), None)

    def summary(self) -> str:
        """What it comes down to, in a line."""
        last = self.steps[-1]
        parts = [f"{last.ratio:.2f} times smaller"]
        if self.quality is not None:
            parts.append(f"{self.quality.label} {getattr(last, self.quality.name):.3f}")
        if last.latency is not None:
            parts.append(f"{last.latency:.1f} ms")
        return ", ".join(parts)

    def largest(self, name: str) -> float:
        """The largest value of a field of ModelFigures over all models; 1 where it was not measured."""
        values = [getattr(model, name) for model in (self.original, *self.steps)]
        return max((value for value in values if value is not None), default=1.0)

    def to_json(self) -> str:
        """For machines: `format`, `onnxbin`, and all of the above."""
        quality = self.quality
        content = {
            "format": FORMAT,
            "onnxbin": __version__,
            "quality": quality.name if quality else None,
            **asdict(self),
        }
        return json.dumps(content, indent=2)
