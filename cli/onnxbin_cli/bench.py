"""`onnxbin bench`: how fast whole networks are in ONNX Runtime, and where the time goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onnxbin.benchmark import Benchmark, Measurement, measure
from onnxbin.benchmark.latency import processor_time
from onnxbin_cli.console import OutputConsole
from onnxbin_cli.options import ModelFile, Size, json_option, preprocessing_options
from onnxbin_cli.text import file_size, printable

MUCH = 0.1
"""Cores that other programs keep busy from which on the reader is told."""


class Threads(click.ParamType):  # type: ignore[type-arg]
    """Numbers of threads, with commas between."""

    name = "N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`1,2` to (1, 2)."""
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number, or several with commas between", param, ctx)


@click.command(short_help="Time whole networks in ONNX Runtime, side by side.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", type=ModelFile())
@click.option("--int8", is_flag=True, help="Also the first MODEL in int8, quantized here by ONNX Runtime.")
@click.option("--stock", is_flag=True, help="Also compressed models without the operator library.")
@click.option("--layers", is_flag=True, help="Also the time of each layer, and of all nodes by type.")
@click.option(
    "--threads", type=Threads(), help="Numbers of threads to time with.  [default: 1, and one a core]"
)
@click.option("--runs", type=int, help="Timed runs of each model.  [default: 5 to 50, in about 20 s]")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="What to run on, and to calibrate int8 with.  [default: images that onnxbin renders]",
)
@click.option("--input-size", type=Size(), help="Image size, where a model leaves it open.")
@preprocessing_options
@json_option
def bench(models: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Latency, session memory, load time and file size of each MODEL; the first is what ratios refer to.

    Compressed models run on onnxbin's operator library. All models take turns, so that a machine that others
    use too is fair to them.

    \b
    Examples:
      onnxbin bench model.onnx model.binary.onnx
      onnxbin bench model.onnx model.binary.onnx --int8 --images photos/ --layers
      onnxbin bench model.onnx --threads 1,2,4 --json
    """
    errors = OutputConsole(stderr=True)
    with errors.status("") as status:
        benchmark = measure(models, progress=lambda text: status.update(text), **options)
    for warning in benchmark.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    if as_json:
        click.echo(benchmark.to_json())
    else:
        show(benchmark, OutputConsole())


def show(benchmark: Benchmark, console: Console) -> None:
    """Tables that fit 80 columns with up to four models."""
    machine = benchmark.machine
    kernels = f"{machine.kernels} kernels" if machine.kernels else "no operator library"
    console.print(
        Text(
            f"{machine.processor}, {machine.cores} cores; onnxruntime {machine.onnxruntime}, "
            f"onnxbin {machine.onnxbin}, {kernels}"
        )
    )
    console.print(Text(f"run on {printable(benchmark.inputs)}"))
    console.print()
    console.print(_files(benchmark.measurements))
    console.print()
    console.print(_latency(benchmark.measurements))
    for threads in benchmark.measurements[0].profiles:
        console.print()
        counted = "1 thread" if threads == 1 else f"{threads} threads"
        console.print(f"layers on {counted}: convolutions with their activations (b: binary)")
        console.print(_layers(benchmark.measurements, threads))
        console.print()
        console.print(_ops(benchmark.measurements, threads))
    console.print()
    console.print("x: the first model's figure divided by this one's; more than 1 is better")
    if processor_time(1) and 1 in benchmark.measurements[0].latency:
        console.print("1 thread is timed by its processor time: what others take meanwhile does not count")
    if benchmark.others is not None and benchmark.others > MUCH:
        console.print(
            f"meanwhile other programs kept {benchmark.others:.1f} of {machine.cores} cores busy: "
            "times are longer than on an idle machine"
        )


def _table(*columns: str) -> Table:
    """Columns of figures, ratios ("x") among them; "model" and "layer" are names, and may take two lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in columns:
        if name in ("model", "layer"):
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True, style="dim" if name == "x" else None)
    return table


def _files(measurements: Sequence[Measurement]) -> Table:
    table = _table("#", "model", "file", "x", "load", "x", "memory", "x")
    first = measurements[0]
    for number, row in enumerate(measurements, 1):
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


def _latency(measurements: Sequence[Measurement]) -> Table:
    table = _table("threads", "#", "model", "median", "quartiles", "runs", "x")
    first = measurements[0]
    for threads in first.latency:
        for number, row in enumerate(measurements, 1):
            timing = row.latency[threads]
            lower, upper = timing.quartiles
            table.add_row(
                str(threads),
                str(number),
                _model(row),
                f"{_digits(timing.median)} ms",
                f"{_digits(lower)} - {_digits(upper)}",
                str(len(timing.milliseconds)),
                _ratio(first.latency[threads].median, timing.median),
            )
    return table


def _layers(measurements: Sequence[Measurement], threads: int) -> Table:
    """Layer by layer, and what they add up to beside the rest."""
    profiles = [row.profiles[threads] for row in measurements]
    layers = [profile.layers() for profile in profiles]
    binary = frozenset[str]().union(*(profile.binary for profile in profiles))
    table = _table("layer", *_columns(len(profiles)))
    for name in dict.fromkeys(name for found in layers for name in found):
        times = [found[name].milliseconds if name in found else None for found in layers]
        table.add_row(Text(printable(name)), *_cells(times, [name in profile.binary for profile in profiles]))
    groups: dict[str, Callable[[str | None], bool]] = {
        "layers that are binary": lambda name: name in binary,
        "other convolutions": lambda name: name is not None and name not in binary,
        "all other nodes": lambda name: name is None,
    }
    table.add_section()
    for title, belongs in groups.items():
        times = [sum(n.median for n in profile.nodes if belongs(n.layer)) for profile in profiles]
        if any(times):
            table.add_row(Text(title), *_cells(times))
    return table


def _ops(measurements: Sequence[Measurement], threads: int) -> Table:
    """All nodes by type, the layers' own included, and their sum beside the time of a whole run."""
    profiles = [row.profiles[threads] for row in measurements]
    ops = [profile.ops() for profile in profiles]
    table = _table("nodes of type", *_columns(len(profiles)))
    table.columns[0].justify = "left"
    names = dict.fromkeys(name for found in ops for name in found)
    for name in sorted(names, key=lambda name: -max(found.get(name, 0) for found in ops)):
        table.add_row(Text(printable(name)), *_cells([found.get(name) for found in ops]))
    table.add_section()
    table.add_row(Text("all of them"), *_cells([profile.total for profile in profiles]))
    table.add_row(Text("a run, not profiled"), *_cells([row.latency[threads].median for row in measurements]))
    return table


def _columns(count: int) -> list[str]:
    return ["#1 ms ", *(name for number in range(2, count + 1) for name in (f"#{number} ms ", "x"))]


def _cells(times: Sequence[float | None], binary: Sequence[bool] = ()) -> list[str]:
    """Milliseconds of each model and, but for the first, its ratio."""
    cells = []
    for position, time in enumerate(times):
        mark = "b" if position < len(binary) and binary[position] else " "
        cells.append("- " if time is None else f"{time:.3f}{mark}")
        if position > 0:
            cells.append(_ratio(times[0], time))
    return cells


def _ratio(first: float | None, this: float | None) -> str:
    return f"{first / this:.2f}x" if first and this else "-"


def _digits(milliseconds: float) -> str:
    """Four digits, or what is before the point."""
    return (
        f"{milliseconds:.{max(0, 3 - len(str(int(milliseconds))))}f}"
        if milliseconds >= 1
        else f"{milliseconds:.3f}"
    )


def _model(measurement: Measurement) -> Text:
    """Without the folder; the rows are in the order of the command line."""
    return Text(printable(Path(measurement.name).name))
