"""Activations of bytes: the kernel and the body in a stock runtime against the formula."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxbin.operator import Activation, session, stock_session
from onnxbin.operator.qlinear import DOMAIN, OPS, VERSION, qlinear_function

EVERY_BYTE = np.arange(256, dtype=np.uint8)
SCALES = [  # of x, then of y
    (0.05, 128, 0.04, 7),
    (0.1, 0, 0.02, 255),  # saturates below and above
    (1e-3, 255, 1e-3, 0),
    (np.float32(1e30), 100, np.float32(1e30), 3),
]


def one_node_model(op, x_scale, x_zero, y_scale, y_zero, *, opset=13, shape=("n",), **attributes):
    attributes = {"alpha": 0.1, **attributes} if op == "QLinearLeakyRelu" else attributes
    constants = {
        "x_scale": np.float32(x_scale),
        "x_zero_point": np.uint8(x_zero),
        "y_scale": np.float32(y_scale),
        "y_zero_point": np.uint8(y_zero),
    }
    node = helper.make_node(op, ["X", *constants], ["Y"], name="node", domain=DOMAIN, **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("X", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("Y", TensorProto.UINT8, shape)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(
        graph, ir_version=8, opset_imports=opsets, functions=[qlinear_function(op, opset)]
    )


def expected(op, x_scale, x_zero, y_scale, y_zero):
    real = (EVERY_BYTE.astype(np.float32) - np.float32(x_zero)) * np.float32(x_scale)
    activated = Activation(OPS[op], {"alpha": 0.1})(real)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.clip(np.rint(activated / np.float32(y_scale)) + y_zero, 0, 255)


@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("op", OPS)
def test_kernel_and_body_are_the_formula(op, scales):
    model = one_node_model(op, *scales)
    onnx.checker.check_model(model, full_check=True)
    want = expected(op, *scales)
    for opened in (session(model.SerializeToString()), stock_session(model)):
        (found,) = opened.run(None, {"X": EVERY_BYTE})
        assert found.dtype == np.uint8
        # Runtimes compute exp to their own last bit: what lies halfway may fall to either side.
        assert np.abs(found.astype(np.int32) - want).max() <= (1 if op == "QLinearSilu" else 0)


@pytest.mark.parametrize("opset", [13, 17, 21, 24])
@pytest.mark.parametrize("op", OPS)
def test_body_exists_for_the_opset_of_every_model(op, opset):
    model = one_node_model(op, *SCALES[0], opset=opset)
    (found,) = stock_session(model).run(None, {"X": EVERY_BYTE})
    assert np.abs(found - expected(op, *SCALES[0])).max() <= 1


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (3, 5, 7), (1, 3, 200, 301)])
def test_any_shape(shape):
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    model = one_node_model("QLinearHardSwish", *SCALES[0], shape=shape)
    (found,) = session(model.SerializeToString()).run(None, {"X": x})
    assert found.shape == x.shape
    assert np.array_equal(found, expected("QLinearHardSwish", *SCALES[0])[x])


@pytest.mark.parametrize(
    ("scales", "attributes", "says"),
    [
        ((np.nan, 0, 1, 0), {}, "input x_scale is nan; expected a finite number above 0"),
        ((1, 0, -1, 0), {}, "input y_scale is -1.000000; expected a finite number above 0"),
        ((np.inf, 0, 1, 0), {}, "input x_scale is inf"),
        (([1.0, 2.0], 0, 1, 0), {}, r"input x_scale has shape \[2\]; expected a single number"),
        ((1, [[1]], 1, 0), {}, r"input x_zero_point has shape \[1, 1\]"),
        ((1, 0, 1, 0), {"alpha": np.inf}, "attribute alpha is inf; expected a finite number"),
        ((1, 0, 1, 0), {"alpha": "steep"}, "attribute alpha is missing or of another type"),
    ],
)
def test_a_bad_node_is_refused_by_name(scales, attributes, says):
    model = one_node_model("QLinearLeakyRelu", *scales, **attributes)
    with pytest.raises(Exception, match=f"QLinearLeakyRelu node 'node': {says}"):
        session(model.SerializeToString())
