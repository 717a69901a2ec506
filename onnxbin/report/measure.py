"""Latency and average precision of the models of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from onnxbin.benchmark.contender import Contender
from onnxbin.benchmark.latency import Timing, alternate, clock
from onnxbin.detection import Detector, LabelledSet, evaluate

MOST_MODELS = 20
"""Models of steps that are measured; of more steps, some at equal distances and the last."""

ROUNDS = 20
"""Times that the latency of a model is taken."""

Progress = Callable[[str], None]
"""Is told, in a few words, what is being measured."""

Item = TypeVar("Item")


def some(items: Sequence[Item]) -> list[Item]:
    """At most MOST_MODELS of them, at equal distances, the last one always."""
    count = min(len(items), MOST_MODELS)
    return [items[(i + 1) * len(items) // count - 1] for i in range(count)]


def average_precisions(
    models: Mapping[int, Path],
    open_detector: Callable[[Path], Detector],
    labels: LabelledSet,
    classes: Mapping[str, int] | None,
    progress: Progress,
) -> dict[int, float]:
    """AP@0.5 of each model, the mean over the classes that have labels; none where there are no labels.

    classes: see detection.evaluate.
    """
    found: dict[int, float] = {}
    for done, (number, path) in enumerate(models.items(), 1):
        progress(f"average precision, model {done} of {len(models)}")
        average = evaluate(open_detector(path), labels, classes).average_precision
        if not math.isnan(average):
            found[number] = average
    return found


def latencies(contenders: Mapping[int, Contender], progress: Progress) -> dict[int, Timing]:
    """The processor time for one image of each model, all in turns, on one thread."""
    progress(f"latency of {len(contenders)} models, in turns")
    calls = [partial(entry.run, entry.session(1)) for entry in contenders.values()]
    return dict(zip(contenders, alternate(calls, ROUNDS, clock(1)), strict=True))
