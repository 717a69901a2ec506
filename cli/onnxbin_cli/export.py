"""`onnxbin export`: compressed models for other tools and runtimes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from onnxbin import OnnxbinError
from onnxbin import model as files
from onnxbin.exchange import inlined, to_qonnx
from onnxbin.run_folder import RunFolder
from onnxbin.sources import output_file
from onnxbin.text import file_size, printable
from onnxbin_cli.options import ModelFile, json_option


@click.command(short_help="Write a compressed model, or a step of a run, for other tools and runtimes.")
@click.argument("source", type=ModelFile())
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option("--step", type=int, metavar="N", help="Of a run folder: the model after step N, not the last.")
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
def export(
    source: Path,
    output: Path,
    step: int | None,
    inline: bool,
    float_weights: bool,
    qonnx: bool,
    as_json: bool,
) -> None:
    """Write the model of SOURCE, a compressed file or a run folder, in another form.

    What it computes stays the same.

    \b
    Examples:
      onnxbin export model.binary.run --step 7 -o seven.onnx
      onnxbin export model.binary.onnx --inline -o openvino.onnx
      onnxbin export model.binary.onnx --inline --float-weights -o opencv4.onnx
      onnxbin export model.binary.onnx --qonnx -o qonnx.onnx
    """
    if inline and qonnx:
        raise OnnxbinError("--inline and --qonnx exclude each other: give one")
    if float_weights and not inline:
        raise OnnxbinError("--float-weights goes with --inline; QONNX has float weights in any case")
    if source.is_dir():
        run = RunFolder.open(source)
        original = files.load(run.model_path(len(run.records()) if step is None else step))
    else:
        if step is not None:
            raise OnnxbinError(f"--step goes with a run folder; {source} is none")
        if not (inline or qonnx):
            raise OnnxbinError(f"{source}: would be written as it is; give --inline or --qonnx")
        original = files.load(source)
    if not original.proto.functions:
        raise OnnxbinError(
            f"{original.path}: has no binary layers; expected what onnxbin compress or onnxbin import writes"
        )
    target = output_file(output, original, ".onnx")
    proto = original.proto
    if qonnx:
        proto = to_qonnx(proto)
    elif inline:
        proto = inlined(proto, float_weights)
    size = files.save(proto, target)
    if as_json:
        result = {"path": str(target), "original_bytes": original.file_bytes, "bytes": size}
        click.echo(json.dumps(result, indent=2))
        return
    text = f"{printable(str(target))}: {file_size(size)}"
    if qonnx or float_weights:
        times = size / original.file_bytes
        text += f", {times:.1f} times {file_size(original.file_bytes)}: its binary weights are floats"
    click.echo(text)
