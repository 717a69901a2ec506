"""Miss-rate curves as the pedestrian field draws them: log-log, one panel for each ratio and labelled set.

Dollár, Wojek, Schiele, Perona: "Pedestrian detection: an evaluation of the state of the art", PAMI 2012,
figure 11. The legend is sorted by the log-average miss rate, as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

FEWEST, MOST = 1e-2, 1e0
"""False positives per image, at the ends of the axis."""

_MISS_RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.64, 0.8, 1.0)
_FALSE_POSITIVES = (0.01, 0.0316, 0.1, 0.316, 1.0)

# Okabe and Ito's colours, which all eyes tell apart; the original is black.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1.5, 1)))

Result = Mapping[str, Any]
"""One run's result, as experiment.py writes it."""


def curve(figures: Mapping[str, Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """False positives per image, FEWEST to MOST, and the miss rate from each of them to the next.

    figures: what figures.measure gave.
    """
    missed = 1 - np.array(figures["found"]) / figures["labels"]
    count = np.arange(len(missed)) / figures["images"]
    inside = (count > FEWEST) & (count <= MOST)
    start = missed[count <= FEWEST][-1]
    return np.append(FEWEST, count[inside]), np.append(start, missed[inside])


def draw(original: Result, results: Mapping[float, Sequence[Result]], path: Path) -> None:
    """Write the plot as a PNG file. results: of each ratio."""
    names = list(original["data"])
    figure = Figure(figsize=(4.6 * len(names), 3.8 * len(results)), layout="constrained")
    panels = figure.subplots(len(results), len(names), squeeze=False)
    for row, (ratio, runs) in zip(panels, results.items(), strict=True):
        for axes, name in zip(row, names, strict=True):
            axes.set_title(f"{name}, {ratio:g} times smaller", fontsize=10)
            _lines(axes, original, runs, name)
            _frame(axes)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def _lines(axes: Axes, original: Result, runs: Sequence[Result], data: str) -> None:
    lines = []
    for number, result in enumerate([original, *runs]):
        figures = result["data"][data]
        value = figures["miss_rate"]["value"]
        colour = "black" if number == 0 else _COLOURS[(number - 1) % len(_COLOURS)]
        dashes = "-" if number == 0 else _DASHES[(number - 1) % len(_DASHES)]
        (line,) = axes.step(
            *curve(figures),
            where="post",
            color=colour,
            linestyle=dashes,
            linewidth=1.6,
            label=f"{100 * value:.1f}% {result['name']}",
        )
        lines.append((value, number, line))
    axes.legend(handles=[line for *_, line in sorted(lines)], fontsize=8, loc="lower left")


def _frame(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(FEWEST, MOST)
    axes.set_ylim(_MISS_RATES[0], _MISS_RATES[-1])
    for axis, ticks in ((axes.xaxis, _FALSE_POSITIVES), (axes.yaxis, _MISS_RATES)):
        axis.set_major_locator(FixedLocator(list(ticks)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.set_xlabel("false positives per image")
    axes.set_ylabel("miss rate")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
