"""NaN, infinities, denormals and -0.0 as inputs: what docs/operators.md says comes out of all that computes.

The kernels of every instruction set, the function body in a stock runtime, and the PyTorch module, against
NumPy; for real inputs, and for those of 8, 4, 2 and 1 bits.
"""

import ctypes

import numpy as np
import onnxruntime
import pytest
import torch
from library_builds import build
from test_nodes import OPS, model_of

from onnxbin.bridge import BinaryConv2d
from onnxbin.operator import Activation, BinaryWeight, QuantInput, SignInput, binary_conv, functions

LEAST = np.float32(1.4e-45)  # the smallest number above 0
MOST = np.finfo(np.float32).max
NAN, INF = np.float32(np.nan), np.float32(np.inf)

STEP = np.float32([0.5])
QUANTIZERS = {
    "real": None,
    "sign": SignInput(STEP, np.float32([0.0])),
    "sign from -0": SignInput(STEP, np.float32([-0.0])),
    "sign from the least": SignInput(STEP, np.float32([LEAST])),
    "sign per channel": SignInput(STEP, np.float32([0.0, -0.0, LEAST, -LEAST, 1e-39, 1.0])),
    "2 bits": QuantInput(STEP, np.float32([1.0]), 2),
    "4 bits": QuantInput(STEP, np.float32([7.5]), 4),
    "8 bits": QuantInput(STEP, np.float32([128.0]), 8),
    "8 bits, least step": QuantInput(np.float32([3e-39]), np.float32([128.0]), 8),
}
SHAPES = {"tiles": (1, 6, 5), "planes": (6, 1, 1)}  # group, channels and outputs of one
GEOMETRY = {"pads": [1, 1, 1, 1], "strides": [1, 1], "dilations": [1, 1]}

SPECIAL = {
    "NaN": [NAN],
    "infinity": [INF],
    "-infinity": [-INF],
    "both infinities": [INF, -INF],
    "denormals": [LEAST, -LEAST, np.float32(1e-39), np.float32(-1e-39)],
    "zeros": [np.float32(0.0), np.float32(-0.0)],
    "largest": [MOST, -MOST],
}


@pytest.fixture(scope="module")
def library():
    (path,) = build("release").glob("*onnxbin_ops.*")
    return path


def families(library):
    names = ctypes.CDLL(str(library)).OnnxbinInstructionSets
    names.restype = ctypes.c_char_p
    return names().decode().split(",")


def image(special, everywhere):
    """Numbers of which one in nine, or each, is special."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 6, 9, 11)).astype(np.float32)
    places = np.ones(x.shape, bool) if everywhere else rng.random(x.shape) < 0.11
    x[places] = rng.choice(np.array(special, np.float32), places.sum())
    return x


def outputs(library, monkeypatch, quantizer, shape, x, activation=None):
    """The output of all that computes, by its name; NumPy's is the first. PyTorch's layers are without."""
    group, channels, count = shape
    rng = np.random.default_rng(2)
    signs = rng.choice(np.array([-1, 1], np.int8), (2, group * count, channels, 3, 3))
    weight = BinaryWeight(
        signs, rng.uniform(0.5, 1, (2, group * count)).astype(np.float32) * np.float32([[2], [1]])
    )
    bias = np.zeros(group * count, np.float32)
    geometry = {**GEOMETRY, "group": group}
    op = OPS[0] if quantizer is None else OPS[1] if isinstance(quantizer, SignInput) else OPS[2]
    inputs = {"W": weight.packed(), "scale": weight.scale, "bias": bias}
    attributes = {**geometry, "weight_shape": list(weight.shape)}
    if quantizer is not None:
        inputs |= {"x_step": quantizer.step, "x_zero": quantizer.zero}
    if isinstance(quantizer, QuantInput):
        attributes["x_bits"] = quantizer.bits
    if activation is not None:
        op += activation.name
        attributes |= activation.attributes
    model = model_of(op, attributes, inputs)
    model.functions.extend(functions([op], 17))
    content = model.SerializeToString()

    with np.errstate(all="ignore"):
        found = {"NumPy": binary_conv(x, weight, bias, quantizer, activation, **geometry)}
    for family in families(library):
        monkeypatch.setenv("ONNXBIN_ISA", family)
        options = onnxruntime.SessionOptions()
        options.register_custom_ops_library(str(library))
        found[family] = onnxruntime.InferenceSession(content, options).run(None, {"X": x})[0]
        monkeypatch.delenv("ONNXBIN_ISA")
    stock = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found["function body"] = stock.run(None, {"X": x})[0]
    if activation is not None:
        return found
    with torch.no_grad():
        module = BinaryConv2d(weight, bias, quantizer=quantizer, **geometry)
        found["PyTorch"] = module(torch.from_numpy(x)).numpy()
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", QUANTIZERS)
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("everywhere", [False, True])
def test_all_agree(library, monkeypatch, shape, form, kind, everywhere):
    if form == "real" and kind == "largest":
        pytest.skip("sums beyond the range of float32 depend on their order")
    quantizer = QUANTIZERS[form]
    expected, *others = outputs(
        library, monkeypatch, quantizer, SHAPES[shape], image(SPECIAL[kind], everywhere)
    ).items()
    want = expected[1]
    if quantizer is not None:
        assert np.isfinite(want).all()  # whatever comes in, numbers come out
    finite = np.abs(want[np.isfinite(want)]).max(initial=0)
    # Among denormals the last digit is all the precision that there is: one for each product and sum.
    tolerance = 1e-5 * finite + 128 * float(LEAST)
    for name, found in others:
        np.testing.assert_allclose(found, want, rtol=0, atol=tolerance, err_msg=name)


ACTIVATIONS = [
    Activation("Relu"),
    Activation("LeakyRelu", {"alpha": 0.1}),
    Activation("LeakyRelu", {"alpha": 0.0}),
    Activation("Clip", {"min": 0.0, "max": 6.0}),
    Activation("HardSwish"),
    Activation("Silu"),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: activation.name)
@pytest.mark.parametrize("kind", ["NaN", "infinity", "-infinity", "both infinities", "denormals"])
def test_activations_agree(library, monkeypatch, shape, activation, kind):
    """A NaN stays one in each; infinities go where IEEE arithmetic sends them."""
    x = image(SPECIAL[kind], everywhere=False)
    arguments = (library, monkeypatch, None, SHAPES[shape], x)
    sums = outputs(*arguments)["NumPy"]
    expected, *others = outputs(*arguments, activation).items()
    assert np.isnan(expected[1][np.isnan(sums)]).all()
    tolerance = 1e-5 * np.abs(sums[np.isfinite(sums)]).max(initial=0)
    for name, found in others:
        np.testing.assert_allclose(found, expected[1], rtol=0, atol=tolerance, err_msg=name)


VALUES = {
    "sign": [(NAN, -0.5), (INF, 0.5), (-INF, -0.5), (0.0, 0.5), (-0.0, 0.5), (LEAST, 0.5), (-LEAST, -0.5)],
    "sign from -0": [(0.0, 0.5), (-0.0, 0.5), (-LEAST, -0.5)],
    "sign from the least": [(0.0, -0.5), (LEAST, 0.5), (NAN, -0.5)],
    "2 bits": [(NAN, -0.5), (INF, 1.0), (-INF, -0.5), (-0.0, 0.0), (LEAST, 0.0), (MOST, 1.0), (-MOST, -0.5)],
    "4 bits": [(NAN, -3.75), (INF, 3.75), (-INF, -3.75), (0.0, 0.25), (MOST, 3.75)],
    "8 bits": [(NAN, -64.0), (INF, 63.5), (-INF, -64.0), (-0.0, 0.0), (-LEAST, 0.0)],
}


@pytest.mark.parametrize("form", VALUES)
def test_what_the_page_says(form):
    """V, of docs/operators.md, in figures."""
    for value, expected in VALUES[form]:
        assert QUANTIZERS[form](np.full((1, 1, 1, 1), value, np.float32)).item() == expected


def test_nan_stays_in_its_windows(library, monkeypatch):
    """A NaN among reals reaches the outputs whose windows hold it, and of groups its own alone."""
    x = np.ones((1, 6, 9, 11), np.float32)
    x[0, 2, 4, 5] = NAN
    for name, (group, channels, count) in SHAPES.items():
        for found in outputs(library, monkeypatch, None, (group, channels, count), x).values():
            hit = np.isnan(found[0])
            channel = slice(2, 3) if name == "planes" else slice(None)
            assert hit[channel, 3:6, 4:7].all()
            assert hit.sum() == hit[channel, 3:6, 4:7].sum()
