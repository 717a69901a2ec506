"""`onnxbin import`: networks that were trained binary elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from onnxbin import OnnxbinError
from onnxbin import model as files
from onnxbin.exchange import ImportedLayer, import_binary
from onnxbin.sources import output_file
from onnxbin.text import file_size, printable, shape
from onnxbin_cli.console import OutputConsole
from onnxbin_cli.options import ModelFile, json_option


@click.command("import", short_help="Take over a network that was trained binary elsewhere.")
@click.argument("model", type=ModelFile())
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Default: MODEL.binary.onnx beside MODEL; in this folder if it was fetched.",
)
@json_option
def import_(model: Path, output: Path | None, as_json: bool) -> None:
    """Turn the convolutions of MODEL whose weights are +a and -a into BinaryConv, exactly.

    MODEL is a QONNX file (Brevitas writes them), or any ONNX file with binary weights. Where the input of a
    convolution is binary too, the node computes with bits alone.

    \b
    Example:
      onnxbin import brevitas.onnx -o small.onnx
    """
    original = files.load(model)
    target = output_file(output, original, ".binary.onnx")
    proto, layers = import_binary(original.proto)
    binary = sum(layer.op is not None for layer in layers)
    if not binary:
        raise OnnxbinError(
            f"{model}: no convolution has weights of two values, +a and -a, so there is nothing to import; "
            "`onnxbin compress` binarizes networks of real weights"
        )
    size = files.save(proto, target)
    if as_json:
        found = {
            "path": str(target),
            "original_bytes": original.file_bytes,
            "bytes": size,
            "layers": [asdict(layer) for layer in layers],
        }
        click.echo(json.dumps(found, indent=2))
        return
    console = OutputConsole()
    _show(layers, console)
    console.print(
        Text(
            f"{printable(str(target))}: {file_size(size)}, {original.file_bytes / size:.2f} times smaller; "
            f"{binary} of {len(layers)} convolutions are binary"
        )
    )


def _show(layers: list[ImportedLayer], console: OutputConsole) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("now", "shape"):
        table.add_column(name, no_wrap=True)
    table.add_column("layer, and what there is to say", overflow="fold")
    for layer in layers:
        text = Text(printable(layer.name))
        if layer.reason:
            text.append(f"\n{printable(layer.reason)}", style="dim")
        table.add_row(layer.op or "as it was", shape(layer.shape), text)
    console.print(table)
