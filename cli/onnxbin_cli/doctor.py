"""`onnxbin doctor`: is everything here that onnxbin needs?"""

from __future__ import annotations

import importlib.metadata
import json
import platform

import click
import numpy as np
import onnx
from onnx import TensorProto, helper
from rich.table import Table
from rich.text import Text

from onnxbin import OnnxbinError, __version__, get_library_path, session
from onnxbin.binarize import binarize
from onnxbin.errors import first_line
from onnxbin.operator import binary_conv, instruction_sets
from onnxbin.surgery import BinaryLayer, with_binary_layers
from onnxbin_cli.console import OutputConsole
from onnxbin_cli.options import json_option

PACKAGES = ("numpy", "onnx", "onnxruntime", "onnx-graphsurgeon", "pillow", "torch")


@click.command(short_help="Check the installation: versions, operator library, torch.")
@json_option
def doctor(as_json: bool) -> int:
    """Check the installation: versions, processor, the operator library, torch.

    Exit status 1 where something that every user needs does not work.

    \b
    Example:
      onnxbin doctor
    """
    findings, healthy = _findings()
    if as_json:
        click.echo(json.dumps({**findings, "healthy": healthy}, indent=2))
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in findings.items():
            table.add_row(name, Text(value))
        OutputConsole().print(table)
    return 0 if healthy else 1


def _findings() -> tuple[dict[str, str], bool]:
    findings = {
        "onnxbin": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }
    for package in PACKAGES:
        try:
            findings[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            findings[package] = "not installed"
    if findings["torch"] == "not installed":
        findings["torch"] += ": only needed for fine-tuning, `pip install 'onnxbin[finetune]'`"
    healthy = True
    try:
        findings["operator library"] = get_library_path()
        available = instruction_sets()
        findings["kernels"] = f"{available[0]} in use" + (
            f"; also {', '.join(available[1:])}" if len(available) > 1 else ""
        )
        findings["self-test"] = _self_test()
    except (OnnxbinError, OSError) as error:
        findings["operator library"] = f"does not work: {error}"
        healthy = False
    except Exception as error:  # ONNX Runtime raises its own types, and bare RuntimeErrors
        findings["self-test"] = f"failed: {first_line(error)}"
        healthy = False
    return findings, healthy


def _self_test() -> str:
    """A small BinaryConv in ONNX Runtime with the library, against the NumPy reference."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(16, 32, 3, 3)).astype(np.float32)
    x = rng.normal(size=(1, 32, 8, 8)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")],
        "doctor",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 6, 6])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    layer = BinaryLayer(binarize(weight), np.zeros(16, np.float32))
    found = session(with_binary_layers(model, {"conv": layer}).SerializeToString()).run(None, {"x": x})[0]
    expected = binary_conv(x, layer.weight, layer.bias)
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not difference <= 1e-5:
        raise RuntimeError(f"the kernel is off by {difference:.1e} of the largest output")
    return f"a BinaryConv in ONNX Runtime is within {difference:.0e} of the reference"
