"""`onnxbin compress`: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource
from rich.text import Text

import onnxbin
from onnxbin import OnnxbinError, Result
from onnxbin.binarize import MAX_BASES
from onnxbin.inputs.widths import GAMMA, Inputs
from onnxbin.settings import LAST_STEPS, STEPS_PER_LAYER, Device, Priority, Rest, Settings
from onnxbin.text import duration, file_size, preprocessing, printable
from onnxbin_cli.console import OutputConsole, is_first_process
from onnxbin_cli.options import Duration, ModelFile, json_option, layer_options, preprocessing_options
from onnxbin_cli.progress import CompressionProgress

NOT_REACHED = 3
"""Exit status where the goal was not reached, but the best file was written."""

_GOAL = ("until_ratio", "max_drop", "inputs", "gamma", "speedup", "costs", "last_steps", "rest")
_WITH_RESUME = {*_GOAL, "resume", "output", "finetune", "as_json"}
"""Options that may be given when a run is taken up again; the others are those that it was begun with."""


@click.command(short_help="Binarize a model layer by layer, fine-tuning it in between.")
@click.argument("model", type=ModelFile(), required=False)
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
    help="Lose at most X (0.02: two percent) of the boxes on held-back images; of the outputs, where the "
    "model is no known detector. Layers that lose more are skipped.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Photos like those the model will see, no labels needed: a folder, a COCO json, a list.",
)
@click.option("--budget", type=Duration(), help="Time that the run may take, such as 20m or 1h30m.")
@preprocessing_options
@layer_options
@click.option(
    "--priority",
    type=click.Choice(get_args(Priority)),
    default=Settings.priority,
    show_default=True,
    help="Which layer goes next: of the layers that reach the goal with the least damage the one that costs "
    "least for each byte it saves, or the deepest.",
)
@click.option(
    "--bases",
    type=int,
    help=f"Binary tensors for each weight, 1 to {MAX_BASES}. Default: 1, or 2 where that does less damage.",
)
@click.option(
    "--rest",
    type=click.Choice(get_args(Rest)),
    default="int8",
    show_default=True,
    help="How the weights that stay real are stored; static-int8: these layers compute in int8, too, where "
    "that is faster.",
)
@click.option(
    "--inputs",
    type=click.Choice(get_args(Inputs)),
    default="8",
    show_default=True,
    help="How binary layers see their inputs in the end: as they are, in so many bits, some real and "
    "others binary, or (auto) each in as many bits as its damage and its time suggest.",
)
@click.option(
    "--gamma",
    type=float,
    default=GAMMA,
    show_default=True,
    metavar="G",
    help="With --inputs hybrid: a layer's error counts as G / its MACs in millions more.",
)
@click.option(
    "--speedup",
    type=float,
    metavar="N",
    help="With --inputs auto: be N times as fast as the original, with the least damage. Without: as fast as "
    "--max-drop lets it be.",
)
@click.option(
    "--costs",
    type=click.Path(path_type=Path),
    help="With --inputs auto: what layers cost on the device, by onnxbin profile there.  [default: measured "
    "here, on one thread]",
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
@click.option(
    "--last-steps",
    type=int,
    default=LAST_STEPS,
    show_default=True,
    help="Fine-tuning steps of the last phase, when all layers that will be are binary.",
)
@click.option("--batch-size", type=int, default=4, show_default=True, help="Images a fine-tuning step.")
@click.option(
    "--device", type=click.Choice(get_args(Device)), default="auto", show_default=True, help="To train on."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="Folder that keeps every step of the run. Default: beside the output, ending in .run.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with a run that was stopped, or to a new goal: --until-ratio, --max-drop, --inputs, "
    "--gamma, --last-steps, --rest.",
)
@json_option
@click.pass_context
def compress(
    context: click.Context,
    /,
    model: Path | None,
    output: Path | None,
    resume: Path | None,
    as_json: bool,
    finetune: str | None,
    no_finetune: bool,
    **settings: Any,
) -> int:
    """Binarize MODEL layer by layer, fine-tuning the whole network after each.

    Fine-tuning distills from the original and needs no labels. Ctrl-C writes the best so far. Exit
    status 3: the goal was not reached, the best file was written all the same.

    \b
    Examples:
      onnxbin compress model.onnx --until-ratio 20 --images photos/
      onnxbin compress model.onnx --max-drop 0.1 --images photos/ -o small.onnx
      onnxbin compress model.onnx --until-ratio 8 --no-finetune
      onnxbin compress --resume model.binary.run
      onnxbin compress --resume model.binary.run --inputs 4 --last-steps 300 -o four.onnx
      onnxbin compress --resume model.binary.run --inputs auto --speedup 2 -o twice.onnx
      onnxbin compress --resume model.binary.run --rest static-int8 -o fast.onnx
    """
    if finetune and no_finetune:
        raise OnnxbinError("--finetune and --no-finetune exclude each other: give one")
    if (model is None) == (resume is None):
        raise OnnxbinError("give a MODEL to compress, or --resume a run: one of the two")
    console = OutputConsole(stderr=as_json)
    with CompressionProgress(console) as progress:
        if resume is not None:
            given = _given(context)
            _refuse_with_resume(given)
            goal = {name: settings[name] for name in _GOAL if name in given}
            result = onnxbin.resume(resume, output, **goal, finetune=finetune, listener=progress)
        else:
            assert model is not None
            result = onnxbin.compress(
                model,
                output,
                listener=progress,
                finetune=finetune or not no_finetune,
                **settings,
            )
    if as_json:
        if is_first_process():
            click.echo(result.to_json())
    else:
        _show(result, console)
    return 0 if result.reached else NOT_REACHED


def _given(context: click.Context) -> list[str]:
    """The options that are on the command line."""
    return [n for n in context.params if context.get_parameter_source(n) == ParameterSource.COMMANDLINE]


def _refuse_with_resume(given: Sequence[str]) -> None:
    for name in given:
        if name not in _WITH_RESUME:
            *goal, last = (f"--{option.replace('_', '-')}" for option in _GOAL)
            raise OnnxbinError(
                f"--{name.replace('_', '-')}: a run goes on with the options that it was begun with; "
                f"only {', '.join(goal)} and {last} may be new"
            )


def _show(result: Result, console: OutputConsole) -> None:
    verdict = "" if result.reached else "goal not reached: "
    console.print(Text(f"{verdict}{printable(result.reason)}", style="" if result.reached else "yellow"))
    console.print(
        Text(
            f"{printable(str(result.path))}: {file_size(result.bytes)}, {result.ratio:.2f} times smaller, "
            f"agreement {result.agreement:.3f}{_boxes(result)}, in {duration(result.seconds)}"
        )
    )
    if result.int8:
        console.print(Text("what stays real computes in int8", style="dim"))
    if not result.reached:
        command = f"onnxbin compress --resume {printable(str(result.run))}"
        console.print(Text(f"to go on, or for another goal: {command}", style="dim"))
    images = result.preprocessing
    console.print(Text(f"images fed as {images.origin}: {preprocessing(images.preprocessing)}", style="dim"))


def _boxes(result: Result) -> str:
    return "" if result.boxes is None else f", of the boxes {result.boxes:.3f}"
