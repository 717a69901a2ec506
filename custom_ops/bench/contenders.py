"""The convolutions that are timed beside each other: ONNX Runtime's, OpenVINO's, and ours.

Each contender is a function of no arguments that convolves one image once, floats in and floats out, in
memory that was set aside before: no allocation, no copy by Python is timed.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Run = Callable[[], object]

# The number of bits of our operators' inputs, by their column in the table.
OURS = {
    "1 bit": ("BinaryConvSign", 1),
    "2 bits": ("BinaryConvQuant", 2),
    "4 bits": ("BinaryConvQuant", 4),
    "8 bits": ("BinaryConvQuant", 8),
    "real": ("BinaryConv", 32),
}


@dataclass(frozen=True)
class Shape:
    """A square convolution, padded so that stride 1 keeps the size; depthwise ones keep the channels."""

    channels: int
    outputs: int
    size: int
    kernel: int = 3
    stride: int = 1
    depthwise: bool = False

    def __str__(self) -> str:
        channels = str(self.channels) if self.outputs == self.channels else f"{self.channels}>{self.outputs}"
        text = f"{channels} {self.size}x{self.size} {self.kernel}x{self.kernel}"
        return text + (f" s{self.stride}" if self.stride > 1 else "") + (" dw" if self.depthwise else "")

    @property
    def group(self) -> int:
        """The attribute of ONNX Conv."""
        return self.channels if self.depthwise else 1

    @property
    def pad(self) -> int:
        """Pixels on each side."""
        return self.kernel // 2

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """M, C / group, kernel height and width."""
        return (self.outputs, self.channels // self.group, self.kernel, self.kernel)

    @property
    def attributes(self) -> dict[str, object]:
        """Those of ONNX Conv."""
        strides, pads = [self.stride] * 2, [self.pad] * 4
        return {"strides": strides, "pads": pads, "dilations": [1, 1], "group": self.group}

    @property
    def macs(self) -> int:
        """Multiply-accumulates that count: those of taps inside the image."""
        starts = range(-self.pad, self.size + self.pad - self.kernel + 1, self.stride)
        inside = sum(0 <= start + tap < self.size for start in starts for tap in range(self.kernel))
        return self.outputs * self.channels // self.group * inside**2

    def image(self) -> np.ndarray:
        """A random input."""
        size = (1, self.channels, self.size, self.size)
        return np.random.default_rng(0).normal(size=size).astype(np.float32)


def _session(
    nodes: list[onnx.NodeProto], arrays: dict[str, np.ndarray], shape: Shape, library: str, threads: int
) -> Run:
    """A model from X to Y in ONNX Runtime."""
    x = shape.image()
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("onnxbin", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait for work spin, as by default, but no longer than the next contender's first call.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "100")
    options.register_custom_ops_library(library)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("X", x)
    y = onnxruntime.OrtValue.ortvalue_from_numpy(session.run(None, {"X": x})[0])
    binding.bind_ortvalue_output("Y", y)
    return lambda: session.run_with_iobinding(binding)


def ort_fp32(shape: Shape, library: str, threads: int) -> Run:
    """ONNX Runtime's Conv."""
    weight = np.random.default_rng(1).normal(size=shape.weight_shape).astype(np.float32)
    arrays = {"W": weight, "B": np.zeros(shape.outputs, np.float32)}
    node = helper.make_node("Conv", ["X", "W", "B"], ["Y"], **shape.attributes)
    return _session([node], arrays, shape, library, threads)


def ort_int8(shape: Shape, library: str, threads: int) -> Run:
    """ONNX Runtime's int8 convolution, as its quantizer writes it (QDQ), with weights per channel."""
    arrays = {
        "W": np.random.default_rng(1).integers(-127, 128, shape.weight_shape).astype(np.int8),
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
        helper.make_node("Conv", ["xd", "wd", "bd"], ["yf"], **shape.attributes),
        helper.make_node("QuantizeLinear", ["yf", "y_scale", "x_zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "y_scale", "x_zero"], ["Y"]),
    ]
    return _session(nodes, arrays, shape, library, threads)


def ours(shape: Shape, library: str, threads: int, op: str, x_bits: int) -> Run:
    """One of our operators."""
    k = int(np.prod(shape.weight_shape[1:]))
    signs = np.random.default_rng(1).integers(0, 256, (1, shape.outputs, (k + 7) // 8), dtype=np.uint8)
    arrays = {
        "W": signs,
        "scale": np.full((1, shape.outputs), 0.02, np.float32),
        "bias": np.zeros(shape.outputs, np.float32),
    }
    attributes = shape.attributes | {"weight_shape": shape.weight_shape}
    if op == "BinaryConvSign":
        arrays |= {"x_step": np.ones(1, np.float32), "x_zero": np.zeros(1, np.float32)}
    if op == "BinaryConvQuant":
        attributes["x_bits"] = x_bits
        arrays["x_step"] = np.array([4 / 2**x_bits], np.float32)
        arrays["x_zero"] = np.array([2 ** (x_bits - 1)], np.float32)
    node = helper.make_node(op, ["X", *arrays], ["Y"], domain="onnxbin", **attributes)
    return _session([node], arrays, shape, library, threads)


def openvino_conv(shape: Shape, threads: int, precision: str) -> Run:
    """OpenVINO's convolution in "f32", in "i8", or of signs by signs, "bin".

    Raises:
        RuntimeError: OpenVINO compiled it to something else.
    """
    import openvino
    from openvino import opset13 as ops

    def fake_quantize(values: object, low: float, high: float, out_low: float, out_high: float) -> object:
        limits = [np.array(limit, np.float32) for limit in (low, high, out_low, out_high)]
        return ops.fake_quantize(values, *limits, levels=2 if precision == "bin" else 256)

    rng = np.random.default_rng(1)
    image = shape.image()
    x = values = ops.parameter(image.shape, np.float32)
    window = [[shape.stride] * 2, [shape.pad] * 2, [shape.pad] * 2, [1, 1]]
    if precision == "bin":
        values = fake_quantize(x, 0, 0, 0, 1)  # outputs of -1 and +1 would silently be packed as zeros
        packed = rng.integers(0, 256, int(np.prod(shape.weight_shape)) // 8, dtype=np.uint8)
        bits = openvino.Tensor(packed, openvino.Shape(shape.weight_shape), openvino.Type.u1)
        weight = openvino.op.Constant(bits)
        y = openvino.opset1.binary_convolution(values, weight, *window, "xnor-popcount", 0.0)
    else:
        if precision == "i8":
            values = fake_quantize(x, -3.84, 3.81, -3.84, 3.81)
            integers = ops.constant(rng.integers(-127, 128, shape.weight_shape).astype(np.int8))
            scale = np.full((shape.outputs, 1, 1, 1), 0.01, np.float32)
            weight = ops.multiply(ops.convert(integers, "f32"), ops.constant(scale))
        else:
            weight = ops.constant(rng.normal(size=shape.weight_shape).astype(np.float32))
        if shape.depthwise:
            grouped = np.array([shape.group, 1, *shape.weight_shape[1:]])
            y = ops.group_convolution(values, ops.reshape(weight, ops.constant(grouped), False), *window)
        else:
            y = ops.convolution(values, weight, *window)
    config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.Model([y], [x], "bench"), "CPU", config)
    _check_kernel(compiled, {"f32": "f32", "i8": "u8", "bin": "u1"}[precision])
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(image))
    return request.infer


def _check_kernel(compiled: object, precision: str) -> None:
    """Raises where the convolution that OpenVINO will execute does not take inputs of `precision`."""
    nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]  # type: ignore[attr-defined]
    found = [
        info["runtimePrecision"].astype(str)
        for info in nodes
        if "Convolution" in info["layerType"].astype(str)
    ]
    if found != [precision]:
        raise RuntimeError(f"OpenVINO made convolutions of {found}; expected one of {precision}")


def contenders(shape: Shape, library: str, threads: int) -> dict[str, Run]:
    """All that can run here, by name; "fp32", which the others are compared with, first."""
    runs = {"fp32": ort_fp32(shape, library, threads), "int8": ort_int8(shape, library, threads)}
    if importlib.util.find_spec("openvino"):
        runs["OpenVINO f32"] = openvino_conv(shape, threads, "f32")
        runs["OpenVINO int8"] = openvino_conv(shape, threads, "i8")
        if not shape.depthwise:  # it has no binary convolution by groups
            runs["OpenVINO 1 bit"] = openvino_conv(shape, threads, "bin")
    for name, (op, x_bits) in OURS.items():
        runs[name] = ours(shape, library, threads, op, x_bits)
    return runs
