"""The widths that `--inputs auto` has chosen, and why, as a table for a terminal of 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from onnxbin.benchmark.costs import width_name
from onnxbin.inputs.auto import WidthChoice
from onnxbin.text import printable, shortened

FIGURES = 31
"""Characters that the columns of figures take; names of layers get what is left."""


def show(choice: WidthChoice, console: Console) -> None:
    """Print all of it."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("layer", no_wrap=True)
    for title, width in (("bits", 5), ("damage", 8), ("ms", 6), ("saved", 6)):
        table.add_column(title, justify="right", no_wrap=True, min_width=width)
    room = max(1, console.width - FIGURES)
    for layer in choice.layers:
        table.add_row(
            Text(shortened(printable(layer.name), room)),
            width_name(layer.bits),
            f"{layer.damage:.5f}",
            f"{layer.milliseconds:.3f}",
            f"{layer.real - layer.milliseconds:.3f}",
        )
    binary = sum(layer.milliseconds for layer in choice.layers)
    sums = [sum(layer.damage for layer in choice.layers), binary]
    saved = sum(layer.real for layer in choice.layers) - binary
    table.add_row("binary layers", "", f"{sums[0]:.5f}", f"{sums[1]:.2f}", f"{saved:.2f}", style="bold")
    table.add_row("all other nodes", "", "", f"{choice.predicted - binary:.2f}", "", style="bold")
    table.add_row("sum", "", "", f"{choice.predicted:.2f}", f"{saved:.2f}", style="bold")
    counted = "1 thread" if choice.threads == 1 else f"{choice.threads} threads"
    console.print(Text(f"inputs chosen by damage and time, {counted}", style="bold"))
    console.print(table)
    goal = "" if choice.goal is None else f", goal {choice.goal:.2f} ms"
    console.print(
        Text(
            f"{choice.original / choice.predicted:.2f} times as fast as the original's "
            f"{choice.original:.2f} ms{goal}; at most {choice.original / choice.fastest:.2f} times, "
            f"in {choice.fastest:.2f} ms"
        )
    )
