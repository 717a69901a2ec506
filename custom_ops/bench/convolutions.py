"""Times our convolutions against other people's, alternating in one process.

    python custom_ops/bench/convolutions.py LIBRARY [--threads 1] [--rounds 40] [--all] [--only TEXT]

Prints one row a shape: the median milliseconds of ONNX Runtime's fp32 Conv; then, for every other contender,
how many times faster than that it is, and its own median. All take floats and give floats: ONNX Runtime's
int8 (QDQ), BinaryConvSign (1 bit), BinaryConvQuant (2, 4, 8 bits), BinaryConv (real inputs) and, where the
package openvino is installed, OpenVINO's f32 Conv, and its BinaryConvolution behind a FakeQuantize.
ONNXBIN_ISA chooses our kernels. Machines may be shared: rounds alternate between the contenders, so that all
meet the same load, and ratios are what to read. Shares of the machine's peak: see kernel_peaks.cpp.
"""

import argparse
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Run = Callable[[], object]


@dataclass(frozen=True)
class Shape:
    """A square convolution, padded so that stride 1 keeps the size."""

    channels: int
    outputs: int
    size: int
    kernel: int = 3
    stride: int = 1
    group: int = 1

    def __str__(self) -> str:
        text = f"{self.channels}->{self.outputs} {self.size}x{self.size} k{self.kernel}"
        text += f" s{self.stride}" if self.stride > 1 else ""
        return text + (f" g{self.group}" if self.group > 1 else "")

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """M, C / group, kernel height and width."""
        return (self.outputs, self.channels // self.group, self.kernel, self.kernel)

    @property
    def conv_attributes(self) -> dict[str, object]:
        """The attributes of ONNX Conv."""
        pad = self.kernel // 2
        return {"strides": [self.stride] * 2, "pads": [pad] * 4, "dilations": [1, 1], "group": self.group}

    @property
    def macs(self) -> float:
        """Multiply-accumulates, those in the padding included."""
        out = (self.size - 1) // self.stride + 1
        return float(np.prod(self.weight_shape)) * out * out


MAIN = [Shape(256, 256, 28), Shape(512, 512, 14), Shape(1024, 1024, 13)]
OTHERS = [
    Shape(64, 64, 104),
    Shape(128, 128, 52),
    Shape(256, 256, 26, kernel=1),
    Shape(256, 256, 13, kernel=1),
    Shape(512, 512, 26, kernel=1),
    Shape(512, 512, 13, kernel=1),
    Shape(128, 256, 52, stride=2),
    Shape(65, 70, 27),
    Shape(128, 128, 52, group=128),
    Shape(256, 256, 26, kernel=5, group=256),
    Shape(128, 128, 52, stride=2, group=128),
]


def image(shape: Shape) -> np.ndarray:
    """A random input."""
    size = (1, shape.channels, shape.size, shape.size)
    return np.random.default_rng(0).normal(size=size).astype(np.float32)


def session(
    nodes: list[onnx.NodeProto], arrays: dict[str, np.ndarray], shape: Shape, library: str, threads: int
) -> Run:
    """A model from X to Y, ready to run in ONNX Runtime."""
    x = image(shape)
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("onnxbin", 1)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.register_custom_ops_library(library)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: made.run(None, {"X": x})


def fp32(shape: Shape, library: str, threads: int) -> Run:
    """ONNX Runtime's Conv."""
    rng = np.random.default_rng(1)
    arrays = {
        "W": rng.normal(size=shape.weight_shape).astype(np.float32),
        "B": np.zeros(shape.outputs, np.float32),
    }
    node = helper.make_node("Conv", ["X", "W", "B"], ["Y"], **shape.conv_attributes)
    return session([node], arrays, shape, library, threads)


def int8(shape: Shape, library: str, threads: int) -> Run:
    """ONNX Runtime's int8 convolution, as its quantizer writes it: weights per channel, float in and out."""
    rng = np.random.default_rng(1)
    arrays = {
        "W": rng.integers(-127, 128, shape.weight_shape).astype(np.int8),
        "w_scale": np.full(shape.outputs, 0.01, np.float32),
        "w_zero": np.zeros(shape.outputs, np.int8),
        "x_scale": np.array(0.03, np.float32),
        "x_zero": np.array(128, np.uint8),
        "y_scale": np.array(0.5, np.float32),
        "B": np.zeros(shape.outputs, np.int32),
        "b_scale": np.full(shape.outputs, 0.0003, np.float32),
        "b_zero": np.zeros(shape.outputs, np.int32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["X", "x_scale", "x_zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["W", "w_scale", "w_zero"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["B", "b_scale", "b_zero"], ["bd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["yf"], **shape.conv_attributes),
        helper.make_node("QuantizeLinear", ["yf", "y_scale", "x_zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "y_scale", "x_zero"], ["Y"]),
    ]
    return session(nodes, arrays, shape, library, threads)


def binary(shape: Shape, library: str, threads: int, op: str, x_bits: int = 0) -> Run:
    """One of our operators."""
    rng = np.random.default_rng(1)
    k = int(np.prod(shape.weight_shape[1:]))
    arrays = {
        "W": rng.integers(0, 256, (1, shape.outputs, (k + 7) // 8), dtype=np.uint8),
        "scale": np.full((1, shape.outputs), 0.02, np.float32),
        "bias": np.zeros(shape.outputs, np.float32),
    }
    attributes = shape.conv_attributes | {"weight_shape": shape.weight_shape}
    if op != "BinaryConv":
        arrays["x_step"] = np.array([4 / 2**x_bits if x_bits else 1], np.float32)
        arrays["x_zero"] = np.array([2 ** (x_bits - 1) if x_bits else 0], np.float32)
    if x_bits:
        attributes["x_bits"] = x_bits
    node = helper.make_node(op, ["X", *arrays], ["Y"], domain="onnxbin", **attributes)
    return session([node], arrays, shape, library, threads)


def openvino_conv(shape: Shape, threads: int, *, binary: bool) -> Run:
    """OpenVINO's Conv in f32, or its convolution of signs by signs."""
    import openvino
    from openvino import opset1

    rng = np.random.default_rng(1)
    values = image(shape)
    pad = [shape.kernel // 2] * 2
    x = opset1.parameter(values.shape, np.float32)
    if binary:
        limits = [np.array(value, np.float32) for value in (0.0, 0.0, 0.0, 1.0)]
        signs = opset1.fake_quantize(x, *limits, levels=2)
        packed = rng.integers(0, 256, int(np.prod(shape.weight_shape)) // 8, dtype=np.uint8)
        bits = openvino.Tensor(packed, openvino.Shape(shape.weight_shape), openvino.Type.u1)
        node = opset1.binary_convolution(
            signs, openvino.op.Constant(bits), [shape.stride] * 2, pad, pad, [1, 1], "xnor-popcount", 0.0
        )
    else:
        weight = opset1.constant(rng.normal(size=shape.weight_shape).astype(np.float32))
        node = opset1.convolution(x, weight, [shape.stride] * 2, pad, pad, [1, 1])
    config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.Model([node], [x], "bench"), "CPU", config)
    request = compiled.create_infer_request()
    return lambda: request.infer({0: values})


def contenders(shape: Shape, library: str, threads: int) -> dict[str, Run]:
    """All that can run here, by name; "fp32", which the others are compared with, first."""
    runs = {
        "fp32": fp32(shape, library, threads),
        "int8": int8(shape, library, threads),
        "1 bit": binary(shape, library, threads, "BinaryConvSign"),
        "2 bits": binary(shape, library, threads, "BinaryConvQuant", 2),
        "4 bits": binary(shape, library, threads, "BinaryConvQuant", 4),
        "8 bits": binary(shape, library, threads, "BinaryConvQuant", 8),
        "real": binary(shape, library, threads, "BinaryConv"),
    }
    if importlib.util.find_spec("openvino") and shape.group == 1:
        runs["OpenVINO f32"] = openvino_conv(shape, threads, binary=False)
        runs["OpenVINO 1 bit"] = openvino_conv(shape, threads, binary=True)
    return runs


def medians(runs: dict[str, Run], rounds: int, threads: int) -> dict[str, float]:
    """Milliseconds. Each round times each contender once, after one call that warms its caches.

    One thread is timed by its processor time, which does not count what other programs take.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            start = clock()
            run()
            times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--all", action="store_true", help="more shapes than the three main ones")
    parser.add_argument("--only", default="", help="shapes whose name holds this text")
    arguments = parser.parse_args()
    print(f"{processor()}, {arguments.threads} thread(s), onnxruntime {onnxruntime.__version__}")
    heading = False
    for shape in MAIN + OTHERS * arguments.all:
        if arguments.only not in str(shape):
            continue
        runs = contenders(shape, arguments.library, arguments.threads)
        times = medians(runs, arguments.rounds, arguments.threads)
        base = times.pop("fp32")
        if not heading:
            print(f"{'shape':24}{'fp32 ms':>9}{'GMAC/s':>9}" + "".join(f"{name:>16}" for name in times))
            heading = True
        ratios = "".join(f"{f'{base / t:.2f}x {t:.3f}':>16}" for t in times.values())
        print(f"{shape!s:24}{base:9.3f}{shape.macs / base / 1e6:9.0f}{ratios}", flush=True)


if __name__ == "__main__":
    main()
