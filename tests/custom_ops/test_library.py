"""The library inside ONNX Runtime: right answers, clear errors, any number of sessions and threads."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from conv_cases import ACTIVATIONS, OPS, QUANT, REAL, SIGN, Case, Tensors, activated, convolved, tensors
from onnx import helper, numpy_helper

from onnxbin.operator import functions

INPUTS = [(REAL, 1), (SIGN, 1), (QUANT, 2), (QUANT, 4), (QUANT, 8)]
CASE = Case(op=QUANT, x_bits=4, group=2, group_channels=5, group_outputs=3, batch=2, size=(6, 7))


def build_model(
    case: Case, inputs: Tensors, attributes: dict[str, Any] | None = None, *, constant: bool = True
) -> bytes:
    """A model of one node named "node". `attributes` replaces, or with None removes, what the case says."""
    values = {
        "weight_shape": case.weight_shape,
        "strides": case.strides,
        "pads": case.pads,
        "dilations": case.dilations,
        "group": case.group,
        **({"x_bits": case.x_bits} if case.op == QUANT else {}),
        **({"alpha": case.alpha} if case.activation == "LeakyRelu" else {}),
        **(dict(zip(("min", "max"), case.bounds, strict=True)) if case.activation == "Clip" else {}),
        **(attributes or {}),
    }
    values = {name: value for name, value in values.items() if value is not None}
    arrays = {"W": inputs.w, "scale": inputs.scale, "bias": inputs.bias}
    if case.op != REAL:
        arrays |= {"x_step": inputs.x_step, "x_zero": inputs.x_zero}
    op = OPS[case.op] + case.activation
    node = helper.make_node(op, ["X", *arrays], ["Y"], name="node", domain="onnxbin", **values)
    graph_inputs = [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, ["n", "c", "h", "w"])]
    if not constant:
        graph_inputs.append(helper.make_tensor_value_info("W", onnx.TensorProto.UINT8, inputs.w.shape))
    graph = helper.make_graph(
        [node],
        "test",
        graph_inputs,
        [helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("onnxbin", 1)]
    serialized: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return serialized


def open_session(library: Path, model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(str(library))
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def assert_right(case: Case, inputs: Tensors, found: np.ndarray) -> None:
    sums = convolved(case, inputs)
    want = activated(case, sums)
    assert found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5 * np.abs(sums).max(initial=0))


@pytest.mark.parametrize(("op", "x_bits"), INPUTS)
@pytest.mark.parametrize("threads", [1, 2])
def test_agrees_with_the_definition(library: Path, op: int, x_bits: int, threads: int) -> None:
    case = Case(op=op, x_bits=x_bits, bases=2, group_channels=37, group_outputs=50, batch=2, size=(14, 13))
    inputs = tensors(case)
    session = open_session(library, build_model(case, inputs), threads)
    assert_right(case, inputs, session.run(None, {"X": inputs.x})[0])


@pytest.mark.parametrize(("op", "x_bits"), INPUTS)
@pytest.mark.parametrize("channels", [9, 1])
def test_threads_change_no_bit(library: Path, op: int, x_bits: int, channels: int) -> None:
    case = Case(op=op, x_bits=x_bits, group=4, group_channels=channels, group_outputs=channels, size=(30, 31))
    inputs = tensors(case)
    model = build_model(case, inputs)
    one, *others = (
        open_session(library, model, threads).run(None, {"X": inputs.x})[0] for threads in (1, 2, 3)
    )
    for other in others:
        np.testing.assert_array_equal(one, other)


def test_one_session_takes_images_of_any_size(library: Path) -> None:
    session = open_session(library, build_model(CASE, tensors(CASE)))
    for batch, size in [(1, (3, 4)), (0, (6, 7)), (3, (20, 1))]:
        other = replace(CASE, batch=batch, size=size)
        x = np.random.default_rng(1).normal(size=other.x_shape).astype(np.float32)
        inputs = replace(tensors(CASE), x=x)
        assert_right(other, inputs, session.run(None, {"X": x})[0])


def test_threads_share_a_session(library: Path) -> None:
    inputs = tensors(CASE)
    session = open_session(library, build_model(CASE, inputs), threads=2)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: session.run(None, {"X": inputs.x})[0], range(32)):
            assert_right(CASE, inputs, found)


def test_attributes_are_optional_as_in_conv(library: Path) -> None:
    case = replace(CASE, group=1, pads=(0, 0, 0, 0))
    inputs = tensors(case)
    left_out = dict.fromkeys(("strides", "pads", "dilations", "group"))
    session = open_session(library, build_model(case, inputs, left_out))
    assert_right(case, inputs, session.run(None, {"X": inputs.x})[0])


@pytest.mark.parametrize(("op", "x_bits"), INPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_kernel_and_function_body_agree(library: Path, op: int, x_bits: int, activation: str) -> None:
    """Where the library is registered its kernel runs; where not, the model-local function does."""
    case = Case(op=op, x_bits=x_bits, bases=2, group=2, group_channels=35, group_outputs=9, size=(8, 9))
    case = replace(case, activation=activation)
    inputs = tensors(case)
    model = onnx.load_from_string(build_model(case, inputs))
    model.functions.extend(functions([OPS[op] + activation], 17))
    stock = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ours = open_session(library, model.SerializeToString())
    for session in (stock, ours):
        assert_right(case, inputs, session.run(None, {"X": inputs.x})[0])


def test_kernel_goes_before_the_function_body(library: Path) -> None:
    model = onnx.load_from_string(build_model(CASE, tensors(CASE), {"x_bits": 3}))  # the body would take it
    model.functions.extend(functions([OPS[QUANT]], 17))
    with pytest.raises(Exception, match="attribute x_bits is 3"):
        open_session(library, model.SerializeToString())


def with_input(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Tensors:
    inputs = tensors(CASE)
    return replace(inputs, **{name: change(getattr(inputs, name))})


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"x_bits": 3}, "attribute x_bits is 3; expected 2, 4 or 8"),
        ({"x_bits": None}, "attribute x_bits is missing"),
        ({"group": 0}, "attribute group is 0"),
        ({"group": 4}, "attribute group is 4"),
        ({"pads": [0, 0, -1, 0]}, "attribute pads is [0, 0, -1, 0]; expected 4 integers from 0"),
        ({"pads": [0, 0]}, "attribute pads is [0, 0]; expected 4 integers"),
        ({"weight_shape": None}, "attribute weight_shape is missing; expected a list of integers"),
        ({"group": [1]}, "attribute group is missing or of another type; expected an integer"),
        ({"strides": [0, 1]}, "attribute strides is [0, 1]"),
        ({"strides": [1.0, 1.0]}, "attribute strides is []; expected 2 integers"),
        ({"dilations": [1, 0]}, "attribute dilations is [1, 0]"),
        ({"dilations": [2**31 - 1, 1]}, "spans more than 2^31 pixels"),
        ({"weight_shape": [6, 5, 3]}, "attribute weight_shape is [6, 5, 3]; expected 4 integers"),
        ({"weight_shape": [6, 5, 3, 0]}, "attribute weight_shape is [6, 5, 3, 0]"),
        ({"weight_shape": [6, 6, 3, 3]}, "input W has shape [1, 6, 6]; expected [1, 6, 7]"),
        ({"weight_shape": [6, 2**31 - 1, 2**31 - 1, 2**31 - 1]}, "overflows"),
        ({"weight_shape": [6, 2**62, 3, 3]}, "attribute weight_shape"),
        ({"weight_shape": [6, 2**24, 3, 3]}, "-bit inputs; expected at most"),
    ],
)
def test_hostile_attributes(library: Path, attributes: dict[str, Any], says: str) -> None:
    with pytest.raises(Exception, match="node 'node'") as error:
        open_session(library, build_model(CASE, tensors(CASE), attributes))
    assert says in str(error.value)
    assert "BinaryConvQuant" in str(error.value)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("w", lambda w: w[:, :, :-1], "input W has shape [1, 6, 5]; expected [1, 6, 6]"),
        ("w", lambda w: w[:0], "at least one base"),
        ("w", lambda w: w[0], "input W has shape [6, 6]"),
        ("w", lambda w: w.astype(np.float32), ""),
        ("scale", lambda s: s[:, 1:], "input scale has shape [1, 5]; expected [1, 6]"),
        ("scale", lambda s: np.concatenate([s, s]), "input scale has shape [2, 6]; expected [1, 6]"),
        ("bias", lambda b: b[1:], "input bias has shape [5]; expected [6]"),
        ("x_step", lambda s: 0 * s, "input x_step is 0"),
        ("x_step", lambda s: -s, "input x_step is -"),
        ("x_step", lambda s: s * np.float32(np.nan), "input x_step is"),
        ("x_step", lambda s: s * np.float32(np.inf), "input x_step is inf"),
        ("x_step", lambda s: np.repeat(s, 2), "input x_step has shape [2]; expected [1]"),
        ("x_zero", lambda z: np.repeat(z, 10), "input x_zero has shape [10]; expected [1]"),
        ("x_zero", lambda z: z * np.float32(np.nan), "input x_zero holds"),
    ],
)
def test_hostile_constants(
    library: Path, name: str, change: Callable[[np.ndarray], np.ndarray], says: str
) -> None:
    with pytest.raises(Exception, match="node") as error:
        open_session(library, build_model(CASE, with_input(name, change)))
    assert says in str(error.value)


def test_weights_must_be_constant(library: Path) -> None:
    with pytest.raises(Exception, match="node 'node': input W changes at run time"):
        open_session(library, build_model(CASE, tensors(CASE), constant=False))


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((1, 9, 6, 7), "input X has 9 channels; expected 10"),
        ((1, 10, 6), "input X has shape [1, 10, 6]; expected [N, C, H, W]"),
        ((1, 10, 6, 0), "the kernel's window is 3 pixels wide and the padded input 2"),
    ],
)
def test_hostile_images(library: Path, shape: tuple[int, ...], says: str) -> None:
    inputs = tensors(CASE)
    model = onnx.load_from_string(build_model(CASE, inputs))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    session = open_session(library, model.SerializeToString())
    with pytest.raises(Exception, match="node 'node'") as error:
        session.run(None, {"X": np.zeros(shape, np.float32)})
    assert says in str(error.value)
    assert_right(CASE, inputs, session.run(None, {"X": inputs.x})[0])  # the session lives on


@pytest.mark.parametrize("pad", [2**31 - 1, 2**20])
def test_outputs_beyond_memory(library: Path, pad: int) -> None:
    session = open_session(library, build_model(CASE, tensors(CASE), {"pads": [pad] * 4}))
    with pytest.raises(Exception, match="node"):
        session.run(None, {"X": tensors(CASE).x})


def instruction_sets(library: Path) -> list[str]:
    function = ctypes.CDLL(str(library)).OnnxbinInstructionSets
    function.restype = ctypes.c_char_p
    text: bytes = function()
    return text.decode().split(",")


def test_families_can_be_forced(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = instruction_sets(library)
    assert names[-2:] == ["portable", "reference"]
    inputs = tensors(CASE)
    for name in names:
        monkeypatch.setenv("ONNXBIN_ISA", name)
        assert instruction_sets(library)[0] == name
        assert sorted(instruction_sets(library)) == sorted(names)
        session = open_session(library, build_model(CASE, inputs))
        assert_right(CASE, inputs, session.run(None, {"X": inputs.x})[0])


def test_unknown_family_is_an_error(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXBIN_ISA", "abacus")
    assert instruction_sets(library) == [""]
    with pytest.raises(Exception, match="ONNXBIN_ISA is 'abacus'; expected one of"):
        open_session(library, build_model(CASE, tensors(CASE)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nm -D is for ELF")
def test_exports_nothing_else(library: Path) -> None:
    listing = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True)
    symbols = {line.split()[-1] for line in listing.stdout.splitlines()}
    assert symbols == {"RegisterCustomOps", "OnnxbinInstructionSets"}
