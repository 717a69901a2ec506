"""`onnxbin export`: compressed models for other tools and runtimes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from onnxbin import OnnxbinError
from onnxbin import model as files
from onnxbin.exchange import inlined, to_qonnx
from onnxbin.sources import output_file
from onnxbin_cli.options import ModelFile, json_option
from onnxbin_cli.text import file_size, printable


@click.command(short_help="Write a compressed model for other tools and runtimes.")
@click.argument("source", type=ModelFile())
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option(
    "--inline",
    is_flag=True,
    help="Standard ops only, for runtimes without local functions: OpenVINO, OpenCV 5.",
)
@click.option(
    "--float-weights",
    is_flag=True,
    help="With --inline: weights as floats, for runtimes that cannot unpack bits, such as OpenCV 4.",
)
@click.option("--qonnx", is_flag=True, help="In the ops of QONNX, for FINN and others.")
@json_option
def export(source: Path, output: Path, inline: bool, float_weights: bool, qonnx: bool, as_json: bool) -> None:
    """Write the compressed model SOURCE in another form; what it computes stays the same.

    \b
    Examples:
      onnxbin export model.binary.onnx --inline -o openvino.onnx
      onnxbin export model.binary.onnx --inline --float-weights -o opencv4.onnx
      onnxbin export model.binary.onnx --qonnx -o qonnx.onnx
    """
    if inline == qonnx:
        raise OnnxbinError("give --inline or --qonnx, one of the two")
    if float_weights and not inline:
        raise OnnxbinError("--float-weights goes with --inline; QONNX has no bits in any case")
    original = files.load(source)
    target = output_file(output, original, ".onnx")
    proto = to_qonnx(original.proto) if qonnx else inlined(original.proto, float_weights)
    size = files.save(proto, target)
    if as_json:
        result = {"path": str(target), "original_bytes": original.file_bytes, "bytes": size}
        click.echo(json.dumps(result, indent=2))
        return
    weights = "floats" if float_weights or qonnx else "bits"
    click.echo(
        f"{printable(str(target))}: {file_size(size)} (from {file_size(original.file_bytes)}); "
        f"weights are {weights}"
    )
