"""`onnxbin inspect`: what is in a model and what compression could do to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from onnxbin import OnnxbinError
from onnxbin import model as files
from onnxbin.inputs.hybrid import Choice, score_inputs
from onnxbin.inputs.widths import GAMMA, Inputs
from onnxbin.layers import fully_connected
from onnxbin.plan import Plan, plan
from onnxbin.settings import Settings
from onnxbin.text import file_size, preprocessing, printable, shape, thousands
from onnxbin_cli.console import OutputConsole
from onnxbin_cli.options import ModelFile, json_option, layer_options, preprocessing_options


@click.command(short_help="List a model's convolutions and the ratio they can reach.")
@click.argument("model", type=ModelFile())
@click.option(
    "--inputs",
    is_flag=True,
    help="Which layers want real inputs, by the scores of --inputs hybrid: of the binary layers of a "
    "compressed MODEL; of any other, as if all that can were binary.",
)
@click.option("--gamma", type=float, default=GAMMA, show_default=True, metavar="G", help="Of these scores.")
@click.option(
    "--images", type=click.Path(path_type=Path), help="For --inputs: photos like those the model will see."
)
@preprocessing_options
@layer_options
@json_option
def inspect(
    model: Path, inputs: bool, gamma: float, images: Path | None, as_json: bool, **settings: Any
) -> None:
    """List the convolutions of MODEL: depth, size, cost, turn in the order of depth, or why it has none.

    \b
    Examples:
      onnxbin inspect model.onnx
      onnxbin inspect model.onnx --exclude 'head' --json
      onnxbin inspect model.binary.onnx --inputs --images photos/
      onnxbin inspect hf:owner/detector/model.onnx
    """
    if not inputs and (images is not None or gamma != GAMMA):
        raise OnnxbinError("--images and --gamma go with --inputs")
    widths: Inputs = "hybrid" if inputs else "real"
    wanted = Settings(**settings, images=images, gamma=gamma, inputs=widths, priority="depth")
    found = plan(files.load(model), wanted)
    choices = score_inputs(found, wanted) if inputs else None
    if as_json:
        content = _as_dict(found) if choices is None else _inputs_as_dict(found, choices)
        click.echo(json.dumps(content, indent=2))
    elif choices is None:
        _show(found, OutputConsole())
    else:
        _show_inputs(found, choices, OutputConsole())


def _inputs_as_dict(found: Plan, choices: Sequence[Choice]) -> dict[str, Any]:
    return {
        "file": str(found.original.path),
        "layers": [{**asdict(choice), "bits": choice.bits} for choice in choices],
    }


def _show_inputs(found: Plan, choices: Sequence[Choice], console: OutputConsole) -> None:
    console.print(Text(f"{printable(str(found.original.path))}: the inputs of {len(choices)} layers"))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("error", "MACs", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("group", no_wrap=True)
    table.add_column("input", no_wrap=True)
    table.add_column("layer", overflow="fold")
    for choice in choices:
        table.add_row(
            f"{choice.error:.3f}",
            thousands(choice.macs),
            f"{choice.score:.3f}",
            "high" if choice.high else "low",
            "real, last" if choice.last else "real" if choice.bits is None else "1 bit",
            printable(choice.layer),
        )
    console.print(table)


def _as_dict(found: Plan) -> dict[str, Any]:
    turns = {layer.name: turn for turn, layer in enumerate(found.order, 1)}
    return {
        "file": str(found.original.path),
        "bytes": found.original.file_bytes,
        "opset": files.opset(found.original.proto),
        "largest_ratio": found.largest_ratio,
        "fully_connected": dict(zip(("nodes", "parameters"), fully_connected(found.prepared), strict=True)),
        "layers": [
            {
                **asdict(layer),
                "parameters": layer.parameters,
                "turn": turns.get(layer.name),
                "ratio": found.ratios[turns[layer.name] - 1] if layer.name in turns else None,
            }
            for layer in found.layers
        ],
    }


def _show(found: Plan, console: OutputConsole) -> None:
    proto = found.original.proto
    console.print(
        Text(
            f"{printable(str(found.original.path))}: {file_size(found.original.file_bytes)}, "
            f"opset {files.opset(proto)}, IR {proto.ir_version}, {len(proto.graph.node)} nodes"
        )
    )
    fed = found.preprocessing
    console.print(Text(f"images fed as {fed.origin}: {preprocessing(fed.preprocessing)}"))
    total = sum(layer.parameters for layer in found.layers)
    turns = {layer.name: turn for turn, layer in enumerate(found.order, 1)}

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("turn", "ratio", "depth", "params", "MACs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("layer, or why it is left alone", overflow="fold")
    for layer in found.layers:
        turn = turns.get(layer.name)
        text = Text(printable(layer.name))
        if layer.left_alone:
            text.append(f"\n{printable(layer.left_alone)}", style="dim")
        table.add_row(
            str(turn or "-"),
            f"{found.ratios[turn - 1]:.2f}" if turn else "-",
            str(layer.depth),
            thousands(layer.parameters),
            thousands(layer.macs),
            shape(layer.shape),
            text,
        )
    console.print(table)
    binary = sum(layer.parameters for layer in found.order)
    share = f"{100 * binary / total:.1f} %" if total else "0 %"
    console.print(
        f"{len(found.order)} of {len(found.layers)} convolutions can become binary, {share} of their "
        f"{thousands(total)} parameters: a file at most {found.largest_ratio:.2f} times smaller"
    )
    nodes, parameters = fully_connected(found.prepared)
    if nodes:
        console.print(
            f"left alone too: {nodes} Gemm or MatMul of {thousands(parameters)} parameters, for they are no "
            "convolutions"
        )
