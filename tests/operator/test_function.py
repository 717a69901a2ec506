"""The function bodies in a stock ONNX Runtime against the NumPy reference, and their shape inference."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from onnxbin.operator import (
    ACTIVATIONS,
    DOMAIN,
    OP_TYPES,
    VERSION,
    Activation,
    BinaryWeight,
    QuantInput,
    SignInput,
    binary_conv,
    function,
    functions,
)
from onnxbin.operator.function import LOWEST_OPSET, PARTS, QUANT, REAL, SIGN

NEWEST_OPSET_OF_RUNTIME = 24
BOUNDS = {"alpha": 0.2, "min": -0.5, "max": 1.25}


def one_node_model(op_type, weight, bias, quantizer, x_shape, *, opset=LOWEST_OPSET, **attributes):
    """A model of a single node of the family, its inputs but X as initializers."""
    inputs = {"W": weight.packed(), "scale": weight.scale, "bias": bias}
    attributes |= {"weight_shape": weight.shape}
    if quantizer is not None:
        inputs |= {"x_step": quantizer.step, "x_zero": quantizer.zero}
    base, activation = PARTS[op_type]
    if base == QUANT:
        attributes["x_bits"] = quantizer.bits
    attributes |= {name: BOUNDS[name] for name in ACTIVATIONS.get(activation, ())}
    node = helper.make_node(op_type, ["X", *inputs], ["Y"], name="node", domain=DOMAIN, **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, x_shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, list("nmhw"))],
        [onnx.numpy_helper.from_array(value, name) for name, value in inputs.items()],
    )
    return helper.make_model(
        graph,
        ir_version=8,
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)],
        functions=functions([op_type], opset),
    )


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": x})[0]


def activation_of(op_type):
    name = PARTS[op_type][1]
    return Activation(name, {key: BOUNDS[key] for key in ACTIVATIONS[name]}) if name else None


def quantizer_for(op_type, rng, channels, bits=8):
    op_type = PARTS[op_type][0]
    if op_type == SIGN:
        size = rng.choice([1, channels])
        return SignInput(np.float32([0.7]), rng.normal(size=size).astype(np.float32))
    if op_type == QUANT:
        return QuantInput(np.float32([0.11]), np.float32([3]), bits)
    return None


@st.composite
def cases(draw):
    group = draw(st.sampled_from([1, 1, 2, 3]))
    depthwise = draw(st.booleans())
    channels = 1 if depthwise else draw(st.integers(1, 5))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    return {
        "op_type": draw(st.sampled_from(OP_TYPES)),
        "bits": draw(st.sampled_from([2, 4, 8])),
        "shape": (group * draw(st.integers(1, 3)), channels, *kernel),
        "bases": draw(st.integers(1, 3)),
        "x_shape": (
            draw(st.integers(1, 2)),
            channels * group,
            draw(st.integers(4, 9)),
            draw(st.integers(4, 9)),
        ),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "attributes": {
            "group": group,
            "strides": draw(st.tuples(st.integers(1, 2), st.integers(1, 3))),
            "dilations": (1, 1) if max(kernel) > 2 else draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
            "pads": draw(st.tuples(*[st.integers(0, 2)] * 4)),
        },
    }


@settings(max_examples=60, deadline=None)
@given(cases())
def test_body_agrees_with_the_reference(case):
    rng = np.random.default_rng(case["seed"])
    bases, shape = case["bases"], case["shape"]
    weight = BinaryWeight(
        rng.choice(np.array([-1, 1], np.int8), (bases, *shape)),
        rng.uniform(0.1, 1, (bases, shape[0])).astype(np.float32),
    )
    bias = rng.normal(size=shape[0]).astype(np.float32)
    x = rng.normal(size=case["x_shape"]).astype(np.float32)
    quantizer = quantizer_for(case["op_type"], rng, x.shape[1], case["bits"])
    model = one_node_model(case["op_type"], weight, bias, quantizer, x.shape, **case["attributes"])
    sums = binary_conv(x, weight, bias, quantizer, **case["attributes"])
    expected = binary_conv(x, weight, bias, quantizer, activation_of(case["op_type"]), **case["attributes"])

    np.testing.assert_allclose(run(model, x), expected, rtol=0, atol=1e-5 * np.abs(sums).max())
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type
    assert [d.dim_value for d in inferred.shape.dim] == list(expected.shape)


@pytest.mark.parametrize(
    ("op_type", "opset"),
    [(op, opset) for op in (REAL, SIGN, QUANT) for opset in range(LOWEST_OPSET, NEWEST_OPSET_OF_RUNTIME + 1)]
    + [(REAL + name, opset) for name in ACTIVATIONS for opset in (LOWEST_OPSET, NEWEST_OPSET_OF_RUNTIME)],
)
def test_body_exists_for_the_opset_of_every_model(op_type, opset):
    rng = np.random.default_rng(opset)
    weight = BinaryWeight(
        rng.choice(np.array([-1, 1], np.int8), (1, 4, 3, 3, 3)), np.full((1, 4), 0.5, np.float32)
    )
    x = rng.normal(size=(1, 3, 6, 6)).astype(np.float32)
    quantizer = quantizer_for(op_type, rng, 3)
    where = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "group": 1}
    model = one_node_model(op_type, weight, np.zeros(4, np.float32), quantizer, x.shape, opset=opset, **where)
    onnx.checker.check_model(model, full_check=True)
    sums = binary_conv(x, weight, np.zeros(4, np.float32), quantizer, **where)
    expected = binary_conv(x, weight, np.zeros(4, np.float32), quantizer, activation_of(op_type), **where)
    np.testing.assert_allclose(run(model, x), expected, rtol=0, atol=1e-5 * np.abs(sums).max())


@pytest.mark.parametrize(("op_type", "expected"), [(SIGN, [-1, 1, -1, 1, 1]), (QUANT, [0, 3, 0, 0, 0])])
def test_what_becomes_of_nan_infinities_and_signed_zero(op_type, expected):
    """NaN compares false: -step for signs, q = 0 for integers. sign(0) = sign(-0) = +1."""
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32).reshape(1, 1, 1, 5)
    weight = BinaryWeight(np.ones((1, 1, 1, 1, 1), np.int8), np.ones((1, 1), np.float32))
    one, nought = np.float32([1]), np.float32([0])
    quantizer = SignInput(one, nought) if op_type == SIGN else QuantInput(one, nought, 2)
    model = one_node_model(op_type, weight, nought, quantizer, x.shape)
    np.testing.assert_array_equal(run(model, x).ravel(), expected)
    np.testing.assert_array_equal(quantizer(x).ravel(), expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_pytorch(name):
    y = np.concatenate([np.linspace(-12, 12, 481), [-1e4, 1e4, -0.0]]).astype(np.float32)
    functional = torch.nn.functional
    torchs = {
        "Relu": functional.relu,
        "LeakyRelu": lambda t: functional.leaky_relu(t, BOUNDS["alpha"]),
        "Clip": lambda t: torch.clamp(t, BOUNDS["min"], BOUNDS["max"]),
        "HardSwish": functional.hardswish,
        "Silu": functional.silu,
    }
    expected = torchs[name](torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(activation_of(REAL + name)(y), expected, rtol=1e-5, atol=1e-6)


def test_opsets_below_the_lowest_are_refused():
    with pytest.raises(ValueError, match="opset 13"):
        function(REAL, 12)


@pytest.mark.parametrize("opset", [LOWEST_OPSET, NEWEST_OPSET_OF_RUNTIME])
@pytest.mark.parametrize("seed", range(4))
def test_a_runtime_that_optimizes_keeps_every_rounding(seed, opset):
    """Values right beside the ties, where X * (1 / step) and X / step fall on either side of one.

    Each is a pixel of its own of a 1x1 convolution of weight 1, which shows the quantised input itself.
    """
    rng = np.random.default_rng(seed)
    step, zero = rng.uniform(0.01, 0.1, 1).astype(np.float32), rng.uniform(0, 60, 1).astype(np.float32)
    ties = (rng.integers(1, 255, 4000).astype(np.float32) - np.float32(0.5) - zero) * step
    x = np.concatenate([ties, *(np.nextafter(ties, np.float32(end)) for end in (-9, 9))])
    by_product = np.floor(x * (1 / step) + zero + np.float32(0.5))
    by_quotient = np.floor(x / step + zero + np.float32(0.5))
    assert (by_product != by_quotient).any(), "else this shows nothing"

    quantizer = QuantInput(step, zero, 8)
    weight = BinaryWeight(np.ones((1, 1, 1, 1, 1), np.int8), np.ones((1, 1), np.float32))
    image = x.reshape(1, 1, 1, -1)
    model = one_node_model(
        QUANT,
        weight,
        np.zeros(1, np.float32),
        quantizer,
        image.shape,
        opset=opset,
        strides=[1, 1],
        pads=[0] * 4,
        dilations=[1, 1],
        group=1,
    )
    np.testing.assert_array_equal(run(model, image), quantizer(image))
