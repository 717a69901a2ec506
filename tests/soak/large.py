"""Lists and compresses a model of more than 2 GiB, with external data, and says what that takes.

    python tests/soak/large.py [CHANNELS]

2.4 GB on the disk and 14 GB of memory with the 2048 channels that are the default. The compressed file has to
compute in ONNX Runtime what onnxbin says of it, with and without the operator library.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

import onnxbin

CHANNELS, LAYERS, SIZE, RATIO = 2048, 16, 8, 5


def main(channels: int) -> None:
    """Write the model, run the two commands, compare."""
    with tempfile.TemporaryDirectory() as name:
        model, small = Path(name, "large.onnx"), Path(name, "small.onnx")
        write_model(model, channels)
        run("inspect", model)
        run("compress", model, "--no-finetune", "--priority", "depth", "--until-ratio", RATIO, "-o", small)
        x = {"x": np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)}
        stock = onnxruntime.InferenceSession(str(small), providers=["CPUExecutionProvider"])
        (expected,), (found,) = stock.run(None, x), onnxbin.session(small).run(None, x)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        print(f"{small.stat().st_size} bytes, the same outputs with and without the library")


def write_model(path: Path, channels: int) -> None:
    """A chain of 3x3 convolutions, whose weights are in a file of their own."""
    rng = np.random.default_rng(0)
    nodes, weights, wide = [], [], 3
    with path.with_suffix(".data").open("wb") as file:
        for number, width in enumerate([*[channels] * (LAYERS + 1), 6]):
            weight = rng.standard_normal((width, wide, 3, 3), np.float32) * np.float32((wide * 9) ** -0.5)
            stub = TensorProto(
                name=f"w{number}", data_type=1, dims=weight.shape, data_location=TensorProto.EXTERNAL
            )
            place = {"location": file.name.rpartition("/")[2], "offset": file.tell(), "length": weight.nbytes}
            for key, entry in place.items():
                stub.external_data.add(key=key, value=str(entry))
            weight.tofile(file)
            file.flush()
            weights.append(stub)
            into = f"t{number}" if number else "x"
            out = f"t{number + 1}" if number <= LAYERS else "y"
            nodes += [
                helper.make_node("Conv", [into, stub.name], [f"c{number}"], pads=[1] * 4),
                helper.make_node("Relu", [f"c{number}"], [out]),
            ]
            wide = width
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", 1, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", 1, [1, 6, SIZE, SIZE])],
        weights,
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)


def run(*arguments: object) -> None:
    """A command, which has to succeed; how much memory it took."""
    subprocess.run([sys.executable, "-m", "onnxbin_cli", *map(str, arguments)], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{arguments[0]}: at most {peak:.1f} GB of memory so far", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CHANNELS)
