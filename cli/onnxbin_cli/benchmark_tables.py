"""A benchmark as tables for a terminal of 80 columns, which hold up to four models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from onnxbin.benchmark import Benchmark, Measurement
from onnxbin.benchmark.latency import processor_time
from onnxbin.text import file_size, printable, shortened

MUCH = 0.1
"""Cores that other programs keep busy from which on the reader is told."""

COLUMN = 8
"""Characters that a column of milliseconds or ratios takes; names of layers get what is left."""


def show(benchmark: Benchmark, console: Console) -> None:
    """Print all of it."""
    machine, rows = benchmark.machine, benchmark.measurements
    kernels = f"{machine.kernels} kernels" if machine.kernels else "no operator library"
    console.print(
        Text(
            f"{machine.processor}, {machine.cores} cores; onnxruntime {machine.onnxruntime}, "
            f"onnxbin {machine.onnxbin}, {kernels}"
        )
    )
    console.print(Text(f"run on {printable(benchmark.inputs)}"))
    parts: list[str | Table] = ["", _files(rows), "", _latency(rows)]
    for threads in rows[0].profiles:
        counted = "1 thread" if threads == 1 else f"{threads} threads"
        parts += ["", f"convolutions with their activations, {counted} (b: binary)"]
        parts += [_layers(rows, threads, console.width)]
        parts += ["", f"all nodes by type, {counted}", _types(rows, threads)]
    for part in [*parts, ""]:
        console.print(part)
    console.print("x: the first model's figure divided by this one's; more than 1 is better")
    if 1 in rows[0].latency and processor_time(1):
        console.print("1 thread: processor time, which leaves out what other programs take")
    if benchmark.others is not None and benchmark.others > MUCH:
        console.print(
            f"other programs used {benchmark.others:.1f} of {machine.cores} cores meanwhile: "
            "an idle machine is faster"
        )


def _files(rows: Sequence[Measurement]) -> Table:
    table = _table("#", "model", "file", "x", "load", "x", "memory", "x")
    first = rows[0]
    for number, row in enumerate(rows, 1):
        table.add_row(
            str(number),
            _model(row),
            file_size(row.file_bytes),
            _ratio(first.file_bytes, row.file_bytes),
            f"{row.load.median:.1f} ms",
            _ratio(first.load.median, row.load.median),
            "-" if row.peak_memory is None else file_size(row.peak_memory),
            _ratio(first.peak_memory, row.peak_memory),
        )
    return table


def _latency(rows: Sequence[Measurement]) -> Table:
    table = _table("threads", "#", "model", "median", "quartiles", "runs", "x")
    for threads, first in rows[0].latency.items():
        for number, row in enumerate(rows, 1):
            timing = row.latency[threads]
            lower, upper = timing.quartiles
            table.add_row(
                str(threads),
                str(number),
                _model(row),
                f"{_digits(timing.median)} ms",
                f"{_digits(lower)} - {_digits(upper)}",
                str(len(timing.milliseconds)),
                _ratio(first.median, timing.median),
            )
    return table


def _layers(rows: Sequence[Measurement], threads: int, width: int) -> Table:
    """Layer by layer, and what they add up to beside the rest."""
    profiles = [row.profiles[threads] for row in rows]
    layers = [profile.layers() for profile in profiles]
    ratios = [name for number in range(2, len(rows) + 1) for name in (f"#{number} ms ", "x")]
    table = _table("layer", "#1 ms ", *ratios)
    names = list(dict.fromkeys(name for found in layers for name in found))
    shown = _shown(names, width - COLUMN * (2 * len(rows) - 1))
    for name in names:
        times = [found[name].milliseconds if name in found else None for found in layers]
        marks = ["b" if name in profile.binary else " " for profile in profiles]
        table.add_row(Text(shown[name]), *_cells(times, marks))
    binary = frozenset[str]().union(*(profile.binary for profile in profiles))
    groups: dict[str, Callable[[str | None], bool]] = {
        "layers that are binary": lambda name: name in binary,
        "other convolutions": lambda name: name is not None and name not in binary,
        "all other nodes": lambda name: name is None,
    }
    for title, belongs in groups.items():
        sums = [sum(n.median for n in profile.nodes if belongs(n.layer)) for profile in profiles]
        if any(sums):
            table.add_row(Text(title), *_cells(sums, [" "] * len(sums)), style="bold")
    return table


def _types(rows: Sequence[Measurement], threads: int) -> Table:
    """All nodes by type, the layers' own included, and their sum beside the time of a whole run."""
    profiles = [row.profiles[threads] for row in rows]
    types = [profile.ops() for profile in profiles]
    table = _table("type", *(f"#{number} ms" for number in range(1, len(rows) + 1)))
    names = {name for found in types for name in found}
    for name in sorted(names, key=lambda name: -max(found.get(name, 0) for found in types)):
        table.add_row(
            Text(printable(name)), *(f"{found[name]:.3f}" if name in found else "-" for found in types)
        )
    sums = {
        "all of them": [profile.total for profile in profiles],
        "a run, not profiled": [row.latency[threads].median for row in rows],
    }
    for title, times in sums.items():
        table.add_row(Text(title), *(f"{time:.3f}" for time in times), style="bold")
    return table


def _table(*columns: str) -> Table:
    """Columns of figures, ratios ("x") among them, and of names, which may take two lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in columns:
        if name in ("model", "layer", "type"):
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True, style="dim" if name == "x" else None)
    return table


def _shown(names: Sequence[str], room: int) -> dict[str, str]:
    """Names cut to the room, unless two would look the same."""
    clean = {name: printable(name) for name in names}
    cut = {name: shortened(text, max(room, 1)) for name, text in clean.items()}
    return cut if len(set(cut.values())) == len(cut) else clean


def _cells(times: Sequence[float | None], marks: Sequence[str]) -> list[str]:
    """Milliseconds of each model and, but for the first, its ratio."""
    cells = []
    for position, (time, mark) in enumerate(zip(times, marks, strict=True)):
        cells.append("- " if time is None else f"{time:.3f}{mark}")
        if position > 0:
            cells.append(_ratio(times[0], time))
    return cells


def _ratio(first: float | None, this: float | None) -> str:
    return f"{first / this:.2f}x" if first and this else "-"


def _digits(milliseconds: float) -> str:
    """Three digits, or all before the point, but no finer than a microsecond."""
    decimals = 3 - len(str(int(milliseconds))) if milliseconds >= 1 else 3
    return f"{milliseconds:.{max(0, decimals)}f}"


def _model(row: Measurement) -> Text:
    """Without the folder; the rows are in the order of the command line."""
    return Text(printable(Path(row.name).name))
