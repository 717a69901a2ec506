"""The results as text, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from bootstrap import LEVEL, interval
from figures import FIGURES

from onnxbin.text import shortened

Result = Mapping[str, Any]
"""One run's result, as experiment.py writes it."""

_NAME = 17


def table(original: Result, results: Mapping[float, Sequence[Result]]) -> str:
    """What every run reached on each labelled set, and how far it is from the first run of its ratio."""
    lines = [line for data in original["data"] for line in _of_data(original, results, data)]
    return "\n".join([*lines, f"In parentheses: {LEVEL:.0%} intervals, by bootstrap over images."])


def _of_data(original: Result, results: Mapping[float, Sequence[Result]], data: str) -> Iterator[str]:
    figures = original["data"][data]
    yield f"{data}: {figures['images']} images, {figures['labels']} people"
    yield f"{'':{_NAME}} ratio layers steps   min  {'AP@0.5':16}  miss rate"
    yield _run(original, data)
    for ratio, runs in results.items():
        yield f"{ratio:g} times smaller"
        yield from (_run(result, data) for result in runs)
        reference, *others = runs
        if others:
            yield f"{ratio:g} times smaller, less what {reference['name']} reaches"
            yield from (_difference(result, reference, data) for result in others)
    yield ""


def _run(result: Result, data: str) -> str:
    reached = result["reached"]
    numbers = f"{reached['ratio']:6.2f} {reached['layers']:6} {reached['steps']:5}"
    cells = []
    for key in FIGURES:
        figure = result["data"][data][key]
        cells.append(f"{_share(figure['value'])} ({_share(figure['low'])}-{_share(figure['high'])})")
    return f"{_name(result)}{numbers} {reached['seconds'] / 60:5.1f}  {cells[0]:16}  {cells[1]}"


def _difference(result: Result, reference: Result, data: str) -> str:
    cells = []
    for key in FIGURES:
        own, other = result["data"][data][key], reference["data"][data][key]
        drawn = np.array(own["resampled"], np.float64) - np.array(other["resampled"], np.float64)
        low, high = (_share(end, sign="+") for end in interval(drawn))
        cells.append(f"{_share(own['value'] - other['value'], sign='+')} ({low} to {high})")
    return f"{_name(result)}AP@0.5 {cells[0]:22}  miss rate {cells[1]}"


def _name(result: Result) -> str:
    return f"{shortened(result['name'], _NAME - 1):{_NAME}}"


def _share(value: float, sign: str = "-") -> str:
    """.931 for 0.931, in four characters where there is no sign; sign: as in format()."""
    text = f"{value:{sign}.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text[:-1]
