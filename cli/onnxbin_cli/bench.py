"""`onnxbin bench`: how fast whole networks are in ONNX Runtime, and where the time goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from onnxbin.benchmark import measure
from onnxbin.text import printable
from onnxbin_cli.benchmark_tables import show
from onnxbin_cli.console import OutputConsole
from onnxbin_cli.options import ModelFile, Size, json_option, preprocessing_options


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
@click.option("--runs", type=int, help="Timed runs of each model.  [default: 5 to 50, as 10 s allow]")
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
