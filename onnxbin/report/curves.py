"""What the plots show: the trade-off of a run, read off its figures."""

from __future__ import annotations

from onnxbin.report.figures import Figures
from onnxbin.report.measure import ROUNDS
from onnxbin.report.plots import Curve, Point

QUALITY, LATENCY = "quality.png", "latency.png"
"""The plots' files beside the page."""


def curves(figures: Figures) -> dict[str, Curve]:
    """The curves by the names of their files; none for what was not measured."""
    found = {}
    quality = figures.quality
    if quality is not None:
        points = [
            Point(step.number, step.layer, step.ratio, value)
            for step in figures.steps
            if (value := getattr(step, quality.name)) is not None
        ]
        found[QUALITY] = Curve(
            label=quality.label,
            points=points,
            original=figures.original.average_precision if quality.name == "average_precision" else 1.0,
            share=True,
            form="{:.3f}",
            caption=quality.meaning + _measured(points, figures),
        )
    timed = [
        Point(step.number, step.layer, step.ratio, step.latency, step.quartiles)
        for step in figures.steps
        if step.latency is not None
    ]
    if timed:
        found[LATENCY] = Curve(
            label="latency, ms",
            points=timed,
            original=figures.original.latency,
            share=False,
            form="{:.1f} ms",
            caption="Latency of one image on one thread, by its processor time: the median and the "
            f"quartiles of {ROUNDS} runs of each model, all in turns." + _measured(timed, figures),
        )
    return found


def _measured(points: list[Point], figures: Figures) -> str:
    """Where there are many steps, only some are measured."""
    count = len(figures.steps)
    return f" {len(points)} of the {count} steps were measured." if len(points) < count else ""
