"""`onnxbin compress`: the main job, shown as it goes."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

import onnxbin
from onnxbin import Listener, OnnxbinError, Record, Result, Step
from onnxbin.binarize import MAX_BASES
from onnxbin.errors import first_line
from onnxbin.plan import Plan
from onnxbin.settings import STEPS_PER_LAYER
from onnxbin.sources import default_output
from onnxbin_cli.console import OutputConsole
from onnxbin_cli.options import ModelFile, json_option, layer_options, preprocessing_options
from onnxbin_cli.text import duration, file_size, preprocessing, printable, shape

NOT_REACHED = 3
"""Exit status where the goal was not reached, but the best file was written."""


@click.command(short_help="Binarize a model layer by layer, fine-tuning it in between.")
@click.argument("model", type=ModelFile())
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Default: MODEL.binary.onnx beside MODEL; in this folder if it was fetched.",
)
@click.option("--until-ratio", type=float, metavar="N", help="Stop when the file is N times smaller.")
@click.option(
    "--max-drop",
    type=float,
    metavar="X",
    help="Stop before outputs on held-back images change by more than X (0.02: by two percent).",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Photos like those the model will see, no labels needed: a folder, a COCO json, a list.",
)
@preprocessing_options
@layer_options
@click.option(
    "--bases",
    type=int,
    default=1,
    show_default=True,
    help=f"Binary tensors for each weight, 1 to {MAX_BASES}.",
)
@click.option(
    "--finetune",
    metavar="MODULE:FUNCTION",
    help="Fine-tune by your own function(module, images, step) instead of distillation from the original.",
)
@click.option("--no-finetune", is_flag=True, help="Do not fine-tune at all; needs no torch.")
@click.option(
    "--steps-per-layer",
    type=int,
    default=STEPS_PER_LAYER,
    show_default=True,
    help="Fine-tuning steps a layer.",
)
@click.option("--batch-size", type=int, default=4, show_default=True, help="Images a fine-tuning step.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@json_option
def compress(
    model: Path, output: Path | None, as_json: bool, finetune: str | None, no_finetune: bool, **settings: Any
) -> int:
    """Binarize MODEL layer by layer, deepest first, fine-tuning the whole network after each.

    MODEL is a file, or fetched: hub:NAME from the ONNX model zoo, hf:OWNER/NAME/FILE from Hugging Face.
    Fine-tuning distills from the original and needs no labels. Ctrl-C writes the best so far. Exit
    status 3: the goal was not reached, the best file was written all the same.

    \b
    Examples:
      onnxbin compress model.onnx --until-ratio 20 --images photos/
      onnxbin compress model.onnx --max-drop 0.1 --images photos/ -o small.onnx
      onnxbin compress model.onnx --until-ratio 8 --no-finetune
      onnxbin compress hub:tiny-yolov3 --until-ratio 20 --images photos/
    """
    if finetune and no_finetune:
        raise OnnxbinError("--finetune and --no-finetune exclude each other: give one")
    console = OutputConsole(stderr=as_json)
    with _Display(console) as display:
        result = onnxbin.compress(
            model,
            output or default_output(model, ".binary.onnx"),
            listener=display,
            finetune=_function(finetune) if finetune else not no_finetune,
            **settings,
        )
    if as_json:
        click.echo(result.to_json())
    else:
        _show(result, console)
    return 0 if result.reached else NOT_REACHED


def _function(name: str) -> Callable[..., Any]:
    """The function of `module:function`; modules of the working folder are found too."""
    module_name, colon, function_name = name.partition(":")
    if not colon:
        raise OnnxbinError(f"--finetune {name!r}: expected module:function")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # a module may raise anything while it is imported
        raise OnnxbinError(f"--finetune {name!r}: {type(error).__name__}: {first_line(error)}") from None
    if not callable(function):
        raise OnnxbinError(f"--finetune {name!r}: is not a function")
    found: Callable[..., Any] = function
    return found


class _Display(Listener):
    """One line for each finished layer; in a terminal, a bar for the layer in work below them."""

    def __init__(self, console: OutputConsole) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total} steps{task.fields[detail]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._started: float | None = None

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def planned(self, plan: Plan) -> None:
        """The head of the table."""
        original = plan.original
        self._print(
            f"{original.path}: {file_size(original.file_bytes)}; {len(plan.order)} of {len(plan.layers)} "
            f"convolutions can become binary, for a file at most {plan.largest_ratio:.2f} times smaller"
        )

    def warned(self, text: str) -> None:
        """A warning, where the user sees it."""
        self._print(f"warning: {text}", style="yellow")

    def layer_started(self, step: Step) -> None:
        """The bar for this layer."""
        if self._started is None:
            self._started = time.monotonic()
            self._print(_HEADER, style="bold")
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(
            printable(step.layer.name)[:28], total=step.training_steps, detail=""
        )

    def trained(self, step: Step, done: int, loss: float) -> None:  # noqa: ARG002
        """One more step on the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, detail=f", loss {loss:.4f}")

    def layer_finished(self, step: Step, record: Record) -> None:
        """The layer's line."""
        self._print(_line(step, record, self._time_left(step)), overflow="ellipsis", no_wrap=True)

    def _time_left(self, step: Step) -> str:
        assert self._started is not None
        elapsed = time.monotonic() - self._started
        return duration(elapsed / step.number * (step.expected - step.number))

    def _print(self, text: str, style: str = "", **layout: Any) -> None:
        try:
            self._console.print(Text(printable(text), style=style), **layout)
        except OSError:  # a full disk behind `> log`: no reason to lose the run
            self._console.quiet = True


_HEADER = " #  ratio  binary  before   after     left  shape        layer"


def _line(step: Step, record: Record, left: str) -> str:
    return (
        f"{step.number:2d} {record.ratio:6.2f} {100 * record.share:6.1f}% {_agreement(record.before)} "
        f"{_agreement(record.after)} {left:>8}  {shape(record.shape):11}  {record.layer}"
    )


def _agreement(value: float | None) -> str:
    return "      -" if value is None else f"{value:7.3f}"


def _show(result: Result, console: OutputConsole) -> None:
    verdict = "" if result.reached else "goal not reached: "
    console.print(Text(f"{verdict}{printable(result.reason)}", style="" if result.reached else "yellow"))
    console.print(
        Text(
            f"{printable(str(result.path))}: {file_size(result.bytes)}, {result.ratio:.2f} times smaller, "
            f"agreement {result.agreement:.3f}, in {duration(result.seconds)}"
        )
    )
    images = result.preprocessing
    console.print(Text(f"images fed as {images.origin}: {preprocessing(images.preprocessing)}", style="dim"))
