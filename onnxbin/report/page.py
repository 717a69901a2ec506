"""The page: one HTML file with all it shows inside, for any browser, without a network.

Names come from model files that anybody may have made: everything is escaped, and the page itself forbids
scripts and loading (Content-Security-Policy).
"""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from onnxbin import text
from onnxbin.report.figures import Figures, ModelFigures, StepFigures
from onnxbin.report.pictures import SHOWING, Pair
from onnxbin.report.plots import Curve
from onnxbin.report.run import Run
from onnxbin.report.theme import DARK, LIGHT
from onnxbin.version import __version__


@dataclass(frozen=True)
class Plot:
    """A curve drawn by day and by night, as SVG files."""

    curve: Curve
    light: bytes
    dark: bytes


@dataclass(frozen=True)
class Content:
    """What a page shows.

    notes: what could not be shown, and why. held_back: the pairs are of images held back from training.
    facts: what was used, each with its term. command: what repeats the run.
    """

    run: Run
    figures: Figures
    notes: Sequence[str]
    plots: Sequence[Plot]
    pairs: Sequence[Pair]
    held_back: bool
    facts: Sequence[tuple[str, str]]
    command: str


def render(content: Content) -> str:
    """The page as HTML."""
    figures = content.figures
    steps = figures.steps
    template = _environment().from_string(_resource("page.html.jinja"))
    return template.render(
        **{name: getattr(content, name) for name in Content.__dataclass_fields__},
        model_name=content.run.model.name,
        file_name=content.run.output.name,
        light=asdict(LIGHT),
        dark=asdict(DARK),
        style=Markup(_resource("page.css")),
        version=__version__,
        last=steps[-1],
        layers=sum(step.shape != () for step in steps),
        quality=figures.quality,
        seconds=sum(step.seconds for step in steps),
        training_steps=sum(step.training_steps for step in steps),
        least_score=SHOWING.min_score,
        columns=_cells(figures, steps[-1]),
        rows=[_original_row(figures), *(_row(figures, step) for step in steps)],
        shows_before=any(step.agreement_before is not None for step in steps),
    )


@dataclass(frozen=True)
class _Cell:
    """A value with a bar. length, mark: of the bar and of what is marked on it, in percent; None: no bar."""

    label: str
    text: str
    length: float | None
    mark: float | None = None


@dataclass(frozen=True)
class _Row:
    number: str
    layer: str
    shape: tuple[int, ...]
    cells: list[_Cell]
    training: str


def _row(figures: Figures, step: StepFigures) -> _Row:
    training = f"{step.training_steps} steps, {text.duration(step.seconds)}"
    return _Row(str(step.number), step.layer, step.shape, _cells(figures, step), training)


def _original_row(figures: Figures) -> _Row:
    return _Row("", "original", (), _cells(figures, figures.original), "")


def _cells(figures: Figures, model: ModelFigures) -> list[_Cell]:
    """The values of a model, of those that were measured for any."""
    size = f"{text.file_size(model.bytes)}, {figures.original.bytes / model.bytes:.2f}\N{MULTIPLICATION SIGN}"
    cells = [_Cell("file", size, _percent(model.bytes / figures.largest("bytes")))]
    for name, label in (
        ("average_precision", "AP@0.5"),
        ("boxes", "box agreement"),
        ("agreement", "output agreement"),
    ):
        if any(getattr(step, name) is not None for step in figures.steps):
            value = getattr(model, name, None if name == "average_precision" else 1.0)
            mark = getattr(model, "agreement_before", None) if name == "agreement" else None
            cells.append(_bar(label, value, 1.0, _share, mark))
    if any(step.latency is not None for step in figures.steps):
        cells.append(_bar("latency", model.latency, figures.largest("latency"), _milliseconds))
    return cells


def _bar(label: str, value: float | None, whole: float, form: Any, mark: float | None = None) -> _Cell:
    if value is None:
        return _Cell(label, "\N{EN DASH}", None)
    return _Cell(
        label, form(value), _percent(value / whole), None if mark is None else _percent(mark / whole)
    )


def _percent(share: float) -> float:
    return round(100 * min(max(share, 0.0), 1.0), 1)


def _share(value: float) -> str:
    return f"{value:.3f}"


def _milliseconds(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} ms"


def _environment() -> Environment:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_finalized)
    environment.filters.update(
        data_uri=lambda content, kind: f"data:{kind};base64,{base64.b64encode(content).decode()}",
        duration=text.duration,
        file_size=text.file_size,
        milliseconds=_milliseconds,
        quoted=lambda name: '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"',
        shape=text.shape,
        share=_share,
    )
    return environment


def _finalized(value: Any) -> Any:
    """What may come from a file is shown without characters that would steer the text around it."""
    return text.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _resource(name: str) -> str:
    return importlib.resources.files("onnxbin.report").joinpath(name).read_text(encoding="utf-8")
