"""`onnxbin report`: a page about a compression."""

from __future__ import annotations

from pathlib import Path

import click

from onnxbin.text import file_size, printable
from onnxbin_cli.console import OutputConsole
from onnxbin_cli.detectors import class_numbers, class_option
from onnxbin_cli.options import json_option


@click.command(short_help="Write a page about a compression: curves, pictures, layers.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder to write to. Default: RUN/report."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Labels to measure the average precision of each step on: COCO json, VOC folder or YOLO folder.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Images to show. Default: those that the run held back from training.",
)
@class_option
@click.option(
    "--family",
    metavar="NAME",
    help="How to read the outputs, where not recognised: see `onnxbin evaluate -h`.",
)
@json_option
def report(
    run: Path,
    output: Path | None,
    data: Path | None,
    images: Path | None,
    classes: tuple[str, ...],
    family: str | None,
    as_json: bool,
) -> None:
    """Write a page about the compression in the run folder RUN: one HTML file that needs nothing else.

    It shows the trade-off curve, pictures before and after, every layer, what was used, and how to reproduce
    and deploy it. The latency of each step's model is measured now, all in turns; the average precision too,
    given --data. The plots are written beside it as PNG, the figures as JSON. A run that is going on can be
    reported too.

    \b
    Examples:
      onnxbin report model.binary.run
      onnxbin report model.binary.run --data val.json -o report/
    """
    # Here, not above: the plots take a while to import.
    from onnxbin.report import write_report

    console = OutputConsole(stderr=True)
    with console.status("") as status:
        made = write_report(
            run,
            output,
            data=data,
            images=images,
            family=family,
            classes=class_numbers(classes),
            progress=lambda text: status.update(text),
        )
    for note in made.notes:
        click.echo(f"warning: {printable(note)}", err=True)
    if as_json:
        click.echo(made.figures.to_json())
    else:
        size = file_size(made.page.stat().st_size)
        click.echo(printable(f"{made.page}: {made.figures.summary()}, {size}"))
