"""`onnxbin profile`: what each layer costs here, for every width of its input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from onnxbin import model as files
from onnxbin.benchmark.costs import WIDTHS, Costs, width_name
from onnxbin.benchmark.measure_costs import profile_model
from onnxbin.text import printable, shortened
from onnxbin_cli.console import OutputConsole
from onnxbin_cli.options import ModelFile, Size, json_option

COLUMN = 7
"""Characters that a column of milliseconds takes, the space before it included."""


@click.command(short_help="Measure what layers cost on this machine, by the bits of their inputs.")
@click.argument("model", type=ModelFile())
@click.argument("compressed", type=ModelFile(), required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A file of costs, for compress --costs."
)
@click.option("--threads", type=int, default=1, show_default=True, help="Threads that the network will have.")
@click.option("--runs", type=int, help="Timed runs of each network.  [default: 5 to 50, as 10 s allow]")
@click.option("--input-size", type=Size(), help="Image size, where the model leaves it open.")
@json_option
def profile(model: Path, compressed: Path | None, output: Path | None, as_json: bool, **options: Any) -> None:
    """Time every convolution of MODEL: of floats, and binary, with its input real and in 8, 4, 2 and 1 bits.

    All that could be binary are; with COMPRESSED, made from MODEL, those that are binary there. Runs where
    the network will run, without PyTorch: compress --costs, elsewhere, reads the file.

    \b
    Examples:
      onnxbin profile model.onnx
      onnxbin profile model.onnx -o costs.json --threads 4
      onnxbin profile model.onnx model.binary.onnx -o costs.json
    """
    if output is not None:
        files.check_writable(output)
    with OutputConsole(stderr=True).status("") as status:
        costs = profile_model(model, compressed, progress=lambda text: status.update(text), **options)
    if output is not None:
        costs.write(output)
    if as_json:
        click.echo(costs.to_json())
    else:
        show(costs, OutputConsole())


def show(costs: Costs, console: OutputConsole) -> None:
    """Print all of it."""
    counted = "1 thread" if costs.threads == 1 else f"{costs.threads} threads"
    console.print(Text(f"{costs.machine.processor}, {costs.machine.cores} cores; {counted}; milliseconds"))
    console.print(Text(f"run on {printable(costs.inputs)}"))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("layer", no_wrap=True)
    for title in ("float", *map(width_name, WIDTHS)):
        table.add_column(title, justify="right", no_wrap=True, min_width=COLUMN - 1)
    room = console.width - COLUMN * (len(WIDTHS) + 1)
    for layer in costs.layers:
        times = [layer.conv, *(layer.milliseconds(width) for width in WIDTHS)]
        table.add_row(Text(shortened(printable(layer.name), room)), *(f"{time:.3f}" for time in times))
    names = [layer.name for layer in costs.layers]
    sums = [costs.latency(dict.fromkeys(names, width)) for width in WIDTHS]
    networks = [costs.original, *(costs.networks[width_name(width)] for width in WIDTHS)]
    table.add_row("all other nodes", "", *[f"{costs.rest:.3f}"] * len(WIDTHS), style="bold")
    table.add_row("sum", "", *(f"{time:.2f}" for time in sums), style="bold")
    table.add_row("the whole network", *(f"{time:.2f}" for time in networks), style="bold")
    table.add_row("times as fast", *(f"{costs.original / time:.2f}" for time in networks), style="bold")
    console.print(table)
