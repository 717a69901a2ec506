"""Making a report: measure, draw, write the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxbin import model as files
from onnxbin.detection import read_labels
from onnxbin.errors import OnnxbinError
from onnxbin.report.curves import curves
from onnxbin.report.facts import facts
from onnxbin.report.figures import Figures
from onnxbin.report.measure import Progress
from onnxbin.report.page import Content, Plot, render
from onnxbin.report.plots import png, svg
from onnxbin.report.reproduce import command_line
from onnxbin.report.run import read_run
from onnxbin.report.subject import Subject
from onnxbin.report.theme import DARK, LIGHT

PAGE, FIGURES = "index.html", "figures.json"
"""What a report's folder holds, beside the plots of `curves`."""


@dataclass(frozen=True)
class Report:
    """page: the HTML file that was written. figures: what is in it. notes: what could not be had, and why."""

    page: Path
    figures: Figures
    notes: tuple[str, ...]


def write_report(
    run: Path,
    output: Path | None = None,
    *,
    data: Path | None = None,
    images: Path | None = None,
    family: str | None = None,
    classes: Mapping[str, int] | None = None,
    progress: Progress = lambda _: None,
) -> Report:
    """Write the report of a run folder: index.html, figures.json and the plots as PNG.

    output: the folder to write to; `report` in the run folder by default. data: labels to measure the steps'
    average precision on. images: for the pictures, by default those that the run held back from training.
    family, classes: how outputs are read, and which class of the model each name in the labels is; see
    detection.Detector and detection.evaluate. progress: is told what is being measured.
    Raises OnnxbinError where there is nothing to report, or something that was asked for cannot be had.

    >>> write_report(Path("model.binary.run"), data=Path("val.json")).page
    """
    folder = output or run / "report"
    subject = Subject(read_run(run), images, family, progress)
    labels = read_labels(data) if data is not None else None
    _make(folder)
    figures = subject.measure(labels, classes)
    pictures = subject.pictures()
    plots = curves(figures)
    page = render(
        Content(
            run=subject.run,
            figures=figures,
            notes=subject.notes,
            plots=[Plot(curve, svg(curve, LIGHT), svg(curve, DARK)) for curve in plots.values()],
            pairs=pictures,
            held_back=images is None,
            facts=facts(subject, data, labels),
            command=command_line(subject.run),
        )
    )
    for name, curve in plots.items():
        files.write_atomically(folder / name, png(curve, LIGHT))
    files.write_atomically(folder / FIGURES, figures.to_json().encode())
    files.write_atomically(folder / PAGE, page.encode())
    return Report(folder / PAGE, figures, tuple(subject.notes))


def _make(folder: Path) -> None:
    """The folder to write to, known to be writable before anything is measured."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OnnxbinError(f"{folder}: cannot be made: {error.strerror or error}") from None
    files.check_writable(folder / PAGE)
