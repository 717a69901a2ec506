"""Graphs inside of nodes, against ONNX Runtime."""

import numpy as np
import pytest
from bridge.onnx_models import make, random, run_ort, tensors
from onnx import TensorProto, helper, numpy_helper

from onnxbin.bridge import GraphModule, targets
from onnxbin.errors import OnnxbinError


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def floats(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def with_outputs_of_any_shape(model, *names):
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return model


def test_a_body_in_a_body_reads_from_the_graphs_around_it():
    """r is made outside and read by a branch in a loop; the loop sums it up while the total is small."""
    add = helper.make_graph([node("Add", ["total", "r"], ["more"])], "add", [], [floats("more", 2)])
    stay = helper.make_graph([node("Identity", ["total"], ["same"])], "stay", [], [floats("same", 2)])
    body = helper.make_graph(
        [
            node("ReduceMax", ["total"], ["most"], keepdims=0),
            node("Less", ["most", "limit"], ["small"]),
            node("If", ["small"], ["next"], then_branch=add, else_branch=stay),
            node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("trip", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            floats("total", 2),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            floats("next", 2),
            floats("next", 2),  # carried, and collected in each trip
        ],
    )
    nodes = [node("Relu", ["x"], ["r"]), node("Loop", ["trips", "", "zero"], ["y", "history"], body=body)]
    constants = {"trips": np.array(5, np.int64), "zero": np.zeros(2, np.float32), "limit": np.float32(1)}
    model = with_outputs_of_any_shape(make(nodes, {"x": [2]}, [], constants), "y", "history")
    x = np.float32([0.3, 0.4])
    expected = run_ort(model, {"x": x})
    np.testing.assert_allclose(expected["y"], 3 * x)
    found = GraphModule(model)(tensors({"x": x}))
    for name, want in expected.items():
        np.testing.assert_allclose(found[name].numpy(), want)


def image_loop():
    """TensorFlow's detectors begin with a loop over the images of the batch, which scales them one by one."""
    body = helper.make_graph(
        [
            node("Gather", ["x", "trip"], ["image"]),
            node("Mul", ["image", "inner_scale"], ["scaled"]),
            node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("trip", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), floats("scaled", 3, 4, 4)],
        [numpy_helper.from_array(np.float32(0.5), "inner_scale")],
    )
    nodes = [
        node("Shape", ["x"], ["batch"], start=0, end=1),
        node("Squeeze", ["batch"], ["images"]),
        node("Loop", ["images", ""], ["scaled_images"], body=body),
        node("Conv", ["scaled_images", "w"], ["y"]),
    ]
    return make(nodes, {"x": [2, 3, 4, 4]}, ["y"], {"w": random(2, 3, 1, 1)})


def test_weights_behind_a_loop_train_and_nothing_in_it_does():
    model = image_loop()
    assert targets(model) == ["y"]
    module = GraphModule(model)
    x = random(2, 3, 4, 4)
    y = module(tensors({"x": x}))["y"]
    np.testing.assert_allclose(y.detach().numpy(), run_ort(model, {"x": x})["y"], atol=1e-5)
    y.sum().backward()
    trained = [p for p in module.parameters() if p.requires_grad]
    assert len(trained) == 1
    assert trained[0].grad.any()
    assert set(module.initializers()) == {"w"}


def test_a_body_that_is_not_supported_matters_only_where_it_is_needed():
    unknown = helper.make_graph([node("Decode", ["y"], ["d"], domain="com.example")], "b", [], [floats("d")])
    nodes = [
        node("Relu", ["x"], ["y"]),
        node("ReduceMax", ["y"], ["most"], keepdims=0),
        node("Cast", ["most"], ["any"], to=TensorProto.BOOL),
        node("If", ["any"], ["z"], name="tail", then_branch=unknown, else_branch=unknown),
    ]
    model = make(nodes, {"x": [2]}, ["z"], domains=["com.example"])
    assert GraphModule(model, ["y"])(tensors({"x": random(2)}))
    with pytest.raises(OnnxbinError, match=r"node 'tail' \(If\) is not supported"):
        GraphModule(model)
