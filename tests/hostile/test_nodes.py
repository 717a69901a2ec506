"""Whole ONNX files whose nodes of ours are wrong, in ONNX Runtime, with the sanitized library.

Whatever a node says of itself: an error that names it, or the right output; never a crash, a hang, or a read
outside a buffer, on which the sanitizers end the process.
"""

import contextlib
import os
import pickle
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from damage import FACTOR
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from library_builds import build
from onnx import helper, numpy_helper

from onnxbin.operator import (
    ACTIVATIONS,
    Activation,
    BinaryWeight,
    QuantInput,
    SignInput,
    binary_conv,
    qlinear,
)
from onnxbin.operator.function import PARTS

SECONDS = 60


class Node:
    """A process that runs models; a new one where the last has ended."""

    def __init__(self, library, environment, log):
        self._command = [sys.executable, str(Path(__file__).parent / "node_worker.py"), str(library)]
        self._environment = environment
        self._log = log
        self._process = None

    def run(self, model, x):
        """The output, or what ONNX Runtime says."""
        if self._process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log.open("wb")}
            self._process = subprocess.Popen(self._command, env=self._environment, **pipes)
        pickle.dump((model, x), self._process.stdin)
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], SECONDS)[0]:
            self.stop()
            raise AssertionError(f"no answer within {SECONDS} s")
        try:
            return pickle.load(self._process.stdout)
        except EOFError:
            self.stop()
            raise AssertionError(self._log.read_text(errors="replace")[-6000:]) from None

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    (library,) = build("sanitize").glob("*onnxbin_ops.so")
    # The sanitizer comes first, and finds what throws exceptions only where that comes second.
    libraries = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # Python leaks; huge outputs are errors
    }
    worker = Node(library, environment, tmp_path_factory.mktemp("node") / "log")
    yield worker
    worker.stop()


OPS = ["BinaryConv", "BinaryConvSign", "BinaryConvQuant"]
HOSTILE = [-(2**63), -1, 0, 3, 2**16, 2**30, 2**31 - 1, 2**31, 2**62, 2**63 - 1, 331974727, 82443193, 337]
FLOATS = [np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1e-45, 1e-39, 3.4e38]


@st.composite
def convolutions(draw):
    """A small sound convolution of any kind: its attributes and inputs, to be spoiled."""
    op = draw(st.sampled_from(OPS))
    activation = draw(st.sampled_from(["", *ACTIVATIONS]))
    group, channels, outputs = (draw(st.integers(1, 3)) for _ in range(3))
    kernel, size = ([draw(st.integers(1, 3)) for _ in range(2)] for _ in range(2))
    m, bases = group * outputs, draw(st.integers(1, 2))
    attributes = {
        "weight_shape": [m, channels, *kernel],
        "strides": [draw(st.integers(1, 2)) for _ in range(2)],
        "pads": [draw(st.integers(0, 2)) for _ in range(4)],
        "dilations": [draw(st.integers(1, 2)) for _ in range(2)],
        "group": group,
    }
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    row = (channels * kernel[0] * kernel[1] + 7) // 8
    inputs = {
        "W": rng.integers(0, 256, (bases, m, row), dtype=np.uint8),
        "scale": rng.normal(size=(bases, m)).astype(np.float32),
        "bias": rng.normal(size=m).astype(np.float32),
    }
    if op != OPS[0]:
        inputs |= {"x_step": np.array([0.5], np.float32), "x_zero": np.array([1.0], np.float32)}
    if op == OPS[2]:
        attributes["x_bits"] = draw(st.sampled_from([2, 4, 8]))
    bounds = {"alpha": draw(st.sampled_from([0.1, 0.0, -2.0])), "min": -1.0, "max": 6.0}
    attributes |= {name: bounds[name] for name in ACTIVATIONS.get(activation, ())}
    x = rng.normal(size=(1, group * channels, size[0] + 4, size[1] + 4)).astype(np.float32)
    return op + activation, attributes, inputs, x


@st.composite
def byte_activations(draw):
    """The same of an activation between tensors of 8 bits."""
    op = draw(st.sampled_from(sorted(qlinear.OPS)))
    attributes = {name: draw(st.sampled_from([0.1, 0.0, -2.0])) for name in ACTIVATIONS[qlinear.OPS[op]]}
    shape = draw(st.sampled_from([[], [1]]))
    inputs = {}
    for name in "xy":
        scale = draw(st.floats(2**-10, 8, width=32))
        inputs[f"{name}_scale"] = np.full(shape, scale, np.float32)
        inputs[f"{name}_zero_point"] = np.full(shape, draw(st.integers(0, 255)), np.uint8)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.integers(0, 256, draw(st.lists(st.integers(0, 9), max_size=4)), dtype=np.uint8)
    return op, attributes, inputs, x


NODES = st.one_of(convolutions(), byte_activations())
INTEGERS = st.one_of(st.integers(-3, 40), st.sampled_from(HOSTILE), st.integers(-(2**63), 2**63 - 1))
LISTS = st.lists(INTEGERS, max_size=6)


@st.composite
def spoiled(draw):
    """A node with a few things wrong."""
    op, attributes, inputs, x = draw(NODES)
    of_attributes = ["attribute", "entry", "type"] if attributes else []
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from([*of_attributes, "shape", "number", "image"]))
        if kind in of_attributes:
            name = draw(st.sampled_from(sorted(attributes)))
            value = attributes[name]
            if kind == "type":
                attributes[name] = draw(st.sampled_from([[1.0, 2.0], "text", 1.5, None]))
            elif isinstance(value, float):
                attributes[name] = draw(st.sampled_from(FLOATS))
            elif not isinstance(value, list):
                attributes[name] = draw(INTEGERS)
            elif kind == "entry" and value:
                place = draw(st.integers(0, len(value) - 1))
                attributes[name] = [*value[:place], draw(INTEGERS), *value[place + 1 :]]
            else:
                attributes[name] = draw(LISTS)
        elif kind == "shape":
            name = draw(st.sampled_from(sorted(inputs)))
            shape = draw(st.lists(st.integers(0, 5), max_size=4))
            inputs[name] = np.ones(shape, inputs[name].dtype)
        elif kind == "number":
            floats = [name for name in sorted(inputs) if inputs[name].dtype == np.float32]
            name = draw(st.sampled_from(floats))
            if inputs[name].size:
                inputs[name].flat[draw(st.integers(0, inputs[name].size - 1))] = draw(st.sampled_from(FLOATS))
        else:
            x = np.ones(draw(st.lists(st.integers(0, 5), min_size=1, max_size=5)), x.dtype)
    return op, {name: value for name, value in attributes.items() if value is not None}, inputs, x


def model_of(op, attributes, inputs):
    quantized = op in qlinear.OPS
    domain = qlinear.DOMAIN if quantized else "onnxbin"
    images = onnx.TensorProto.UINT8 if quantized else onnx.TensorProto.FLOAT
    made = helper.make_node(op, ["X", *inputs], ["Y"], name="node", domain=domain)
    for name, value in attributes.items():
        kind = onnx.AttributeProto.INTS if value == [] else None
        made.attribute.append(helper.make_attribute(name, value, attr_type=kind))
    graph = helper.make_graph(
        [made],
        "hostile",
        [helper.make_tensor_value_info("X", images, None)],
        [helper.make_tensor_value_info("Y", images, None)],
        [numpy_helper.from_array(array, name) for name, array in inputs.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def expected(attributes, inputs, x, op):
    """The output, before and after the activation."""
    base, activation = PARTS[op]
    quantizer = None
    if base == OPS[1]:
        quantizer = SignInput(inputs["x_step"], inputs["x_zero"])
    elif base == OPS[2]:
        quantizer = QuantInput(inputs["x_step"], inputs["x_zero"], attributes["x_bits"])
    weight = BinaryWeight.from_packed(inputs["W"], inputs["scale"], tuple(attributes["weight_shape"]))
    geometry = {name: attributes[name] for name in ("strides", "pads", "dilations", "group")}
    sums = binary_conv(x, weight, inputs["bias"], quantizer, **geometry)
    return sums, Activation(activation, attributes)(sums) if activation else sums


SETTINGS = settings(
    deadline=None,
    derandomize=FACTOR == 1,
    max_examples=500 * FACTOR,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def asks_for_much(attributes):
    """Whether the output may be large, as far as a file may honestly ask for that."""
    pads, strides = attributes.get("pads", []), attributes.get("strides", [1, 1])
    if not all(isinstance(value, list) and set(map(type, value)) <= {int} for value in (pads, strides)):
        return False
    return any(256 < pad < 2**31 for pad in pads) and any(0 < stride < 2**24 for stride in strides)


@SETTINGS
@given(spoiled())
def test_spoiled_nodes(node, case):
    op, attributes, inputs, x = case
    assume(not asks_for_much(attributes))
    answer = node.run(model_of(op, attributes, inputs).SerializeToString(), x)
    if isinstance(answer, str):
        # Of what it has checked itself, before it asks the library, ONNX Runtime speaks in its own words.
        ours = f"{op} node 'node': "
        assert ours in answer or "onnxbin" not in answer or "Invalid rank" in answer, answer
        assert len(answer.splitlines()) == 1 or ours not in answer, answer


@SETTINGS
@given(convolutions())
def test_sound_convolutions(node, case):
    op, attributes, inputs, x = case
    answer = node.run(model_of(op, attributes, inputs).SerializeToString(), x)
    sums, want = expected(attributes, inputs, x, op)
    np.testing.assert_allclose(answer, want, rtol=0, atol=2e-5 * np.abs(sums).max())


@SETTINGS
@given(byte_activations())
def test_sound_byte_activations(node, case):
    op, attributes, inputs, x = case
    answer = node.run(model_of(op, attributes, inputs).SerializeToString(), x)
    real = (x.astype(np.float32) - inputs["x_zero_point"]) * inputs["x_scale"]
    level = Activation(qlinear.OPS[op], attributes)(real) / inputs["y_scale"] + inputs["y_zero_point"]
    assert answer.dtype == np.uint8
    assert answer.shape == x.shape
    np.testing.assert_allclose(answer, np.clip(level, 0, 255).reshape(x.shape), rtol=0, atol=0.501)


@settings(SETTINGS, max_examples=200 * FACTOR)
@given(NODES, st.data())
def test_damaged_bytes(node, case, data):
    """The file itself: bytes of nodes, shapes and tensors turned, or the end missing."""
    op, attributes, inputs, x = case
    content = bytearray(model_of(op, attributes, inputs).SerializeToString())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(1, len(content))) :]
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)) if content else ():
        content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        for made in onnx.ModelProto.FromString(bytes(content)).graph.node:
            assume(not asks_for_much({a.name: list(a.ints) for a in made.attribute}))
    node.run(bytes(content), x)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"pads": [-1, 0, 0, 0]}, "attribute pads is"),
        ({"weight_shape": [2, 331974727, 82443193, 337]}, "products of"),
        ({"weight_shape": [2, 2**31 - 1, 2**31 - 1, 2**31 - 1]}, "overflows"),
        ({"strides": [1, 2**31]}, "attribute strides is"),
        ({"group": 2**62}, "attribute group is"),
    ],
)
def test_overflows(node, op, attributes, says):
    sound = {"weight_shape": [2, 3, 3, 3], "x_bits": 4}
    inputs = {
        "W": np.zeros((1, 2, 4), np.uint8),
        "scale": np.ones((1, 2), np.float32),
        "bias": np.ones(2, np.float32),
    }
    if op != OPS[0]:
        inputs |= {"x_step": np.ones(1, np.float32), "x_zero": np.zeros(1, np.float32)}
    answer = node.run(
        model_of(op, sound | attributes, inputs).SerializeToString(), np.ones((1, 3, 5, 5), np.float32)
    )
    assert f"{op} node 'node': " in answer
    assert says in answer


@pytest.mark.parametrize(
    ("activation", "attributes", "says"),
    [
        ("LeakyRelu", {}, "attribute alpha is missing or of another type; expected a float"),
        ("LeakyRelu", {"alpha": 1}, "attribute alpha is missing or of another type"),
        ("LeakyRelu", {"alpha": np.nan}, "attribute alpha is"),
        ("LeakyRelu", {"alpha": np.inf}, "attribute alpha is inf; expected a finite number"),
        ("Clip", {"min": 0.0}, "attribute max is missing"),
        ("Clip", {"max": 0.0}, "attribute min is missing"),
        ("Clip", {"min": -np.inf, "max": 0.0}, "attribute min is -inf; expected a finite number"),
        ("Clip", {"min": 0.0, "max": np.inf}, "attribute max is inf; expected a finite number"),
        ("Clip", {"min": 1.0, "max": 0.5}, "attribute min is 1.000000 and max 0.500000; expected min <= max"),
    ],
)
def test_activations(node, activation, attributes, says):
    op = OPS[0] + activation
    attributes = {"weight_shape": [2, 3, 3, 3], **attributes}
    inputs = {
        "W": np.zeros((1, 2, 4), np.uint8),
        "scale": np.ones((1, 2), np.float32),
        "bias": np.ones(2, np.float32),
    }
    answer = node.run(model_of(op, attributes, inputs).SerializeToString(), np.ones((1, 3, 5, 5), np.float32))
    assert f"{op} node 'node': " in answer
    assert says in answer


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scales_must_be_finite(node, op, value):
    inputs = {
        "W": np.zeros((1, 2, 4), np.uint8),
        "scale": np.array([[1, value]], np.float32),
        "bias": np.ones(2, np.float32),
    }
    if op != OPS[0]:
        inputs |= {"x_step": np.ones(1, np.float32), "x_zero": np.zeros(1, np.float32)}
    attributes = {"weight_shape": [2, 3, 3, 3], "x_bits": 4}
    answer = node.run(model_of(op, attributes, inputs).SerializeToString(), np.ones((1, 3, 5, 5), np.float32))
    assert f"{op} node 'node': input scale holds {value}" in answer.replace("-nan", "nan")


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("group", "channels"), [(3, 1), (1, 199)])
def test_far_strides_and_pads(node, op, group, channels):
    """Windows 2^30 pixels apart: no memory goes to what lies between, no address leaves what there is."""
    m, far = group * 2, 2**30
    attributes = {
        "weight_shape": [m, channels, 2, 2],
        "strides": [far, far],
        "pads": [far, far, 1, 1],
        "group": group,
    }
    rng = np.random.default_rng(0)
    inputs = {
        "W": rng.integers(0, 256, (1, m, (channels * 4 + 7) // 8), dtype=np.uint8),
        "scale": np.ones((1, m), np.float32),
        "bias": np.ones(m, np.float32),
    }
    if op != OPS[0]:
        inputs |= {"x_step": np.ones(1, np.float32), "x_zero": np.zeros(1, np.float32)}
    if op == OPS[2]:
        attributes["x_bits"] = 4
    x = rng.normal(size=(1, group * channels, 1, 90)).astype(np.float32)
    answer = node.run(model_of(op, attributes, inputs).SerializeToString(), x)
    near = {**attributes, "strides": [1, 1], "pads": [0, 0, 1, 1], "dilations": [1, 1]}
    want = expected(near, inputs, x, op)[0][:, :, :1, :1]  # the only window that sees the image
    np.testing.assert_allclose(answer[:, :, 1:2, 1:2], want, rtol=0, atol=1e-5 * np.abs(want).max())
    assert (answer[:, :, 0] == 1).all()
