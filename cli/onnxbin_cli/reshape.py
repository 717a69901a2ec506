"""`onnxbin reshape`: shallower and wider, for the same compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import click
from rich.progress import TaskID
from rich.table import Table
from rich.text import Text

from onnxbin.measures import Measured
from onnxbin.reshape import STEPS, Changes, Cost, Listener, Result
from onnxbin.reshape import reshape as reshape_model
from onnxbin.reshape.pruning import EPS
from onnxbin.settings import Device
from onnxbin.text import duration, file_size, preprocessing, printable, thousands
from onnxbin_cli.compress import NOT_REACHED
from onnxbin_cli.console import OutputConsole, progress_bar
from onnxbin_cli.options import (
    ModelFile,
    Widths,
    input_size_option,
    json_option,
    preprocessing_options,
)


@click.command(short_help="Make a model shallower and wider at the same cost, before compressing it.")
@click.argument("model", type=ModelFile())
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Default: MODEL.wide.onnx beside MODEL; in this folder if it was fetched.",
)
@click.option(
    "--factor",
    type=float,
    default=2.0,
    show_default=True,
    help="What the depth of each stage is divided by.",
)
@click.option(
    "--widths", type=Widths(), help="Widths of the stages, instead of those with which MACs stay the same."
)
@click.option(
    "--prune",
    type=float,
    is_flag=False,
    flag_value=EPS,
    metavar="[EPS]",
    help="After training, leave out channels that show the same as others, clustered by a distance of "
    f"{EPS} or as given, and train again.",
)
@click.option("--dry-run", is_flag=True, help="Say what would become of the stages; write nothing.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Photos like those the model will see, no labels needed: a folder, a COCO json, a list.",
)
@preprocessing_options
@input_size_option
@click.option("--no-finetune", is_flag=True, help="Do not distill from the original; needs no torch.")
@click.option("--steps", type=int, default=STEPS, show_default=True, help="Of distillation.")
@click.option(
    "--resume", is_flag=True, help="Go on where the same command was stopped, as if it had not been."
)
@click.option("--batch-size", type=int, default=4, show_default=True, help="Images a step.")
@click.option(
    "--device", type=click.Choice(get_args(Device)), default="auto", show_default=True, help="To train on."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@json_option
def reshape(
    model: Path,
    output: Path | None,
    as_json: bool,
    no_finetune: bool,
    **options: Any,
) -> int:
    """Divide the depth of MODEL's stages, widen what is left until it costs the same.

    Binary networks are more accurate when they are shallower and wider. Blocks that are missed least are
    dropped, channels are doubled in a way that keeps what the network computes, then it is distilled from
    the original. Inputs and outputs keep their shapes. Compress the result like any model.

    \b
    Examples:
      onnxbin reshape model.onnx --dry-run --factor 1
      onnxbin reshape model.onnx --dry-run
      onnxbin reshape model.onnx -o wide.onnx --images photos/
      onnxbin reshape model.onnx -o wide.onnx --images photos/ --resume
      onnxbin reshape model.onnx --prune 0.01 --images photos/
      onnxbin reshape resnet18.onnx --widths 96,168,378,866 --no-finetune
    """
    console = OutputConsole(stderr=as_json)
    with _Progress(console) as progress:
        result = reshape_model(model, output, listener=progress, finetune=not no_finetune, **options)
    if as_json:
        click.echo(result.to_json())
    else:
        _show(result, console)
    return NOT_REACHED if result.stopped else 0


class _Progress(Listener):
    """The table of stages; in a terminal a bar too, for what is being chosen or trained."""

    def __init__(self, console: OutputConsole) -> None:
        self._console = console
        self._bar = progress_bar(console)
        self._task: TaskID | None = None

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def warned(self, text: str) -> None:
        """A warning, where the user sees it."""
        self._console.print(Text(f"warning: {printable(text)}", style="yellow"))

    def looked_at(self, size: tuple[int, ...], done: int, total: int) -> None:
        """The bar for the blocks of which one goes."""
        self._show(f"choosing a block of {_size(size)}", done, total, "blocks")

    def reshaped(self, found: Changes, left_alone: Mapping[str, Sequence[str]]) -> None:
        """What became of the stages."""
        self._hide()
        self._console.print(table(found))
        deeper = [stage for stage in found.stages if stage.after.depth > stage.wanted]
        if deeper:
            depths = (f"{_size(s.size)} ({s.after.depth}, not {s.wanted})" for s in deeper)
            text = f"deeper than asked for, as no more can be bypassed: {', '.join(depths)}"
            self._console.print(Text(text, style="dim"))
        for reason, names in left_alone.items():
            some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            self._console.print(Text(f"left alone: {printable(some)}: {printable(reason)}", style="dim"))

    def measured(self, phase: str, found: Measured) -> None:
        """How it agrees with the original."""
        self._hide()
        boxes = "" if found.boxes is None else f", of the boxes {found.boxes:.3f}"
        self._console.print(f"{phase}: agreement with the original {found.agreement:.3f}{boxes}")

    def trained(self, done: int, total: int, loss: float) -> None:
        """One more step."""
        self._show("distilling", done, total, f"steps, loss {loss:.4f}")

    def _show(self, what: str, done: int, total: int, detail: str) -> None:
        if self._task is None:
            self._task = self._bar.add_task(what, detail="")
        self._bar.update(self._task, description=what, completed=done, total=total, detail=detail)

    def _hide(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


def table(found: Changes) -> Table:
    """The stages before and after, what is in none, and all."""
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("stage", "depth", "width", "MACs", "activations"):
        rows.add_column(name, no_wrap=True)
    others = [found.before, found.after]
    for stage in found.stages:
        before, after = stage.before, stage.after
        others = [others[0] - before.cost, others[1] - after.cost]
        rows.add_row(
            _size(stage.size),
            f"{before.depth} > {after.depth}",
            f"{before.width} > {after.width}",
            *_costs(before.cost, after.cost),
        )
    if any(other.activations for other in others):
        rows.add_row("others", "", "", *_costs(*others))
    macs, activations = _costs(found.before, found.after)
    rows.add_row(
        "all",
        "",
        "",
        f"{macs} ({_percent(found.before.macs, found.after.macs)})",
        f"{activations} ({_percent(found.before.activations, found.after.activations)})",
    )
    return rows


def _size(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _costs(before: Cost, after: Cost) -> tuple[str, str]:
    return _arrow(before.macs, after.macs), _arrow(before.activations, after.activations)


def _arrow(before: float, after: float) -> str:
    return f"{thousands(round(before))} > {thousands(round(after))}"


def _percent(before: float, after: float) -> str:
    return f"{100 * (after / before - 1):+.1f} %"


def _show(result: Result, console: OutputConsole) -> None:
    if result.stopped:
        go_on = "; to go on: the same command with --resume" if result.resumable else ""
        console.print(Text(f"stopped by Ctrl-C{go_on}", style="yellow"))
    if result.path is not None:
        console.print(
            Text(f"{printable(str(result.path))}: {file_size(result.bytes)}, in {duration(result.seconds)}")
        )
    images = result.preprocessing
    console.print(Text(f"images fed as {images.origin}: {preprocessing(images.preprocessing)}", style="dim"))
