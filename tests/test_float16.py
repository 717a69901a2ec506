"""A float16 model works in float32 inside, and keeps its face."""

import numpy as np
import onnx
import zoo
from onnx import TensorProto, helper, numpy_helper

from onnxbin.float16 import in_float32

HALF_STEP = 2.0**-10
"""What float16 can tell apart, relative to a value."""


def image():
    return np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float16)


def half(name):
    return zoo.FORM_BUILDERS[name]()


def test_same_ends_and_no_float16_within(run):
    proto = half("float16 throughout with batch norms")
    wide = in_float32(proto)
    onnx.checker.check_model(wide, full_check=True)
    assert list(wide.graph.input) == list(proto.graph.input)
    assert list(wide.graph.output) == list(proto.graph.output)
    assert {tensor.data_type for tensor in wide.graph.initializer} == {TensorProto.FLOAT}
    found, expected = run(wide, image())[0], run(proto, image())[0]
    assert found.dtype == np.float16
    # Two steps of the largest output.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 * HALF_STEP * np.abs(expected).max())


def test_an_output_that_is_read_inside_too(run):
    proto = half("float16 throughout")
    inner = helper.make_tensor_value_info("r1", TensorProto.FLOAT16, list("nchw"))
    proto.graph.output.append(inner)
    wide = in_float32(proto)
    onnx.checker.check_model(wide, full_check=True)
    for found, expected in zip(run(wide, image()), run(proto, image()), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2 * HALF_STEP * np.abs(expected).max())


def test_subgraphs_constants_and_casts_follow(run):
    """An If whose branches read the graph around them, a Constant, and a Cast to float16."""
    proto = half("float16 throughout")
    branches = {}
    for branch, factor in (("then_branch", 2), ("else_branch", 3)):
        constant = numpy_helper.from_array(np.array(factor, np.float16), f"{branch}.k")
        nodes = [
            helper.make_node("Constant", [], [f"{branch}.k"], value=constant),
            helper.make_node("Mul", ["x", f"{branch}.k"], [f"{branch}.y"]),
        ]
        out = helper.make_tensor_value_info(f"{branch}.y", TensorProto.FLOAT16, [1, 3, 32, 32])
        branches[branch] = helper.make_graph(nodes, branch, [], [out])
    proto.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    head = [
        helper.make_node("If", ["yes"], ["chosen"], "if", **branches),
        helper.make_node("Cast", ["chosen"], ["cast"], "cast", to=TensorProto.FLOAT16),
    ]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in proto.graph.node]
    nodes[0].input[0] = "cast"
    del proto.graph.node[:]
    proto.graph.node.extend([*head, *nodes])
    wide = in_float32(proto)
    onnx.checker.check_model(wide, full_check=True)
    expected = run(proto, image())[0]
    np.testing.assert_allclose(
        run(wide, image())[0], expected, rtol=0, atol=2 * HALF_STEP * np.abs(expected).max()
    )


def test_a_float32_model_is_left_as_it_is():
    proto = zoo.FORM_BUILDERS["opset 13"]()
    assert in_float32(proto) is proto
