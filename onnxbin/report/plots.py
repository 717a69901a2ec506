"""The trade-off as plots: what each step's file ratio costs, every point labelled with its layer.

Drawn at the width of a phone, where the text has its natural size; a wide screen enlarges them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from onnxbin.report.theme import Theme
from onnxbin.text import shortened

# In inches: the axes. The layers' names stand above them, slanted, and need so much room along the axis each.
_WIDTH, _HEIGHT = 2.8, 2.2
_NAME_LETTERS, _NAME_SIZE, _NAME_ANGLE, _NAME_SPACE = 22, 6.5, 62, 0.13
_LABEL_SIZE, _LABEL_SPACE = 7.5, 0.32

_TICKS = {
    1.6: (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6),
    4: (1, 1.5, 2, 2.5, 3, 4),
    1000: (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000),
}
"""Ratios at the axis, by the ratio up to which they serve."""


@dataclass(frozen=True)
class Point:
    """One step in a plot: its number and layer, the file ratio it reached, the value there and its spread."""

    number: int
    layer: str
    ratio: float
    value: float
    spread: tuple[float, float] | None = None


@dataclass(frozen=True)
class Curve:
    """What one plot shows.

    label: of the value's axis. points: the steps, in order. original: the value of the original, if known.
    share: the values are shares, at most 1. form: how a value is written, such as "{:.3f}". caption: what
    the values are, in sentences.
    """

    label: str
    points: Sequence[Point]
    original: float | None
    share: bool
    form: str
    caption: str


def svg(curve: Curve, theme: Theme) -> bytes:
    """The plot as an SVG file, its text as outlines: the same in every viewer."""
    return _render(curve, theme, "svg")


def png(curve: Curve, theme: Theme) -> bytes:
    """The plot as a PNG file of about 1300 pixels' width."""
    return _render(curve, theme, "png")


def _render(curve: Curve, theme: Theme, form: str) -> bytes:
    content = io.BytesIO()
    with _style(theme):
        figure = _draw(curve, theme)
        metadata = {"Date": None} if form == "svg" else None
        # Tight: the picture ends where the longest name does.
        figure.savefig(content, format=form, dpi=300, metadata=metadata, bbox_inches="tight", pad_inches=0.04)
    return content.getvalue()


@contextmanager
def _style(theme: Theme) -> Iterator[None]:
    settings: dict[Any, Any] = {
        "font.size": 8.5,
        "text.color": theme.ink,
        "text.parse_math": False,  # a layer may be called $x_1$
        "axes.edgecolor": theme.line,
        "axes.facecolor": theme.ground,
        "axes.labelcolor": theme.muted,
        "figure.facecolor": theme.ground,
        "grid.color": theme.line,
        "grid.linewidth": 0.6,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "svg.fonttype": "path",
        "svg.hashsalt": "onnxbin",  # the same figures give the same bytes
    }
    with warnings.catch_warnings(), matplotlib.rc_context(settings):
        # Layers may be named in scripts that the font has no letters for; it draws boxes then.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def _draw(curve: Curve, theme: Theme) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes((0, 0, 1, 1))
    _axes(axes, curve)
    _names(axes, curve.points, theme)
    ratios, values = [p.ratio for p in curve.points], [p.value for p in curve.points]
    if curve.original is None:
        axes.plot(ratios, values, color=theme.accent, linewidth=1.4)
    else:
        axes.plot([1, *ratios], [curve.original, *values], color=theme.accent, linewidth=1.4)
        axes.axhline(curve.original, color=theme.original, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot([1], [curve.original], "o", color=theme.original, markersize=5.5, clip_on=False, zorder=3)
    for point in curve.points:
        if point.spread is not None:
            axes.vlines(point.ratio, *point.spread, color=theme.accent, alpha=0.4, linewidth=2)
    dots: dict[str, Any] = {"markersize": 4.5, "markeredgecolor": theme.ground, "clip_on": False, "zorder": 3}
    axes.plot(ratios, values, "o", color=theme.accent, **dots)
    _margin_labels(axes, curve, theme)
    return figure


def _margin_labels(axes: Axes, curve: Curve, theme: Theme) -> None:
    """What was and what has become of it, right of the axes, each at the height of its value."""
    labels = [(curve.points[-1].value, "compressed", theme.accent)]
    if curve.original is not None:
        labels.append((curve.original, "original", theme.original))
    labels.sort(key=lambda label: label[0])
    heights = np.array([_position(axes, (1, value))[1] for value, _, _ in labels])
    for (value, name, colour), height in zip(labels, _spread(heights, _LABEL_SPACE / _HEIGHT), strict=True):
        axes.text(
            1.03,
            height,
            f"{name}\n{curve.form.format(value)}",
            transform=axes.transAxes,
            color=colour,
            fontsize=_LABEL_SIZE,
            verticalalignment="center",
        )


def _axes(axes: Axes, curve: Curve) -> None:
    end = 1.03 * max(point.ratio for point in curve.points) ** 1.04
    axes.set_xscale("log")
    axes.set_xlim(1, end)
    ticks = next((ticks for limit, ticks in _TICKS.items() if end <= limit), ())
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if tick <= end]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}\N{MULTIPLICATION SIGN}")
    axes.set_xlabel("how many times smaller the file is")
    values = [max(point.spread or (point.value,)) for point in curve.points]
    values += [] if curve.original is None else [curve.original]
    if curve.share:
        low = _lowest(min(values))
        axes.set_ylim(low, 1 + 0.03 * (1 - low))
        axes.set_yticks([low + (1 - low) * i / 5 for i in range(6)])
    else:
        axes.set_ylim(0, 1.1 * max(values))
    axes.set_ylabel(curve.label)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _lowest(share: float) -> float:
    """Where an axis of shares begins: at 0 unless all of them are far above it."""
    return next((low for low in (0.9, 0.8, 0.5) if share >= low + 0.1 * (1 - low)), 0.0)


def _names(axes: Axes, points: Sequence[Point], theme: Theme) -> None:
    """The layers' names above the axes, as many as fit, each with a line down to its point."""
    room = int(_WIDTH / _NAME_SPACE)
    # Counted from the last: what the run reached is always named.
    shown = list(reversed(points))[:: -(-len(points) // room)][::-1]
    wanted = np.array([_position(axes, (point.ratio, 0))[0] for point in shown])
    for point, place in zip(shown, _spread(wanted, _NAME_SPACE / _WIDTH), strict=True):
        axes.annotate(
            _name(point),
            xy=(point.ratio, max(point.value, 0)),
            xytext=(place, 1.03),
            textcoords="axes fraction",
            fontsize=_NAME_SIZE,
            color=theme.muted,
            rotation=_NAME_ANGLE,
            rotation_mode="anchor",
            verticalalignment="center",
            arrowprops={
                "arrowstyle": "-",
                "color": theme.line,
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 2,
                "relpos": (0, 0),
            },
            annotation_clip=False,
        )


def _name(point: Point) -> str:
    # PyTorch's exporter ends the names of all convolutions so; here is no room for what they share.
    return f"{point.number} {shortened(point.layer.removesuffix('/Conv'), _NAME_LETTERS)}"


def _position(axes: Axes, point: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Where a point of the data lies in the axes, each coordinate 0 to 1."""
    place: npt.NDArray[np.float64] = axes.transAxes.inverted().transform(axes.transData.transform(point))
    return place


def _spread(wanted: npt.NDArray[np.float64], space: float) -> npt.NDArray[np.float64]:
    """Places in 0..1 at least `space` apart, in the order of `wanted` and near to it.

    Pushed to the right where too close, then back from the right end; there is room for all.
    """
    places = wanted.copy()
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + space)
    places[-1] = min(places[-1], 1.0)
    for i in range(len(places) - 2, -1, -1):
        places[i] = min(places[i], places[i + 1] - space)
    return places
