"""Preparation keeps what a model computes, whatever form it came in."""

import graphs
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from onnxbin.model import load, opset
from onnxbin.prepare import prepare

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(1, 3, 16, 16)).astype(np.float32)


def conv_and_norm(*, bias=True, seen=False, constants=False, opset=13):
    """Conv -> BatchNormalization -> Relu; `seen`: the Conv's own output is a graph output too."""
    values = {
        "w": RNG.normal(size=(4, 3, 3, 3)),
        "b": RNG.normal(size=4),
        "gamma": RNG.normal(size=4),
        "beta": RNG.normal(size=4),
        "mean": RNG.normal(size=4),
        "variance": RNG.uniform(0.1, 2, 4),
    }
    tensors = [graphs.tensor(name, value) for name, value in values.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"] if bias else ["x", "w"], ["t"], "conv"),
        helper.make_node(
            "BatchNormalization", ["t", "gamma", "beta", "mean", "variance"], ["u"], epsilon=1e-3
        ),
        helper.make_node("Relu", ["u"], ["y"]),
    ]
    if constants:
        nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in tensors] + nodes
        tensors = []
    return graphs.model(nodes, tensors, outputs=("y", "t") if seen else ("y",), opset=opset)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("constants", [True, False])
def test_batch_norm_is_folded(run, bias, constants):
    proto = conv_and_norm(bias=bias, constants=constants)
    ready = prepare(proto)
    assert [node.op_type for node in ready.graph.node] == ["Conv", "Relu"]
    np.testing.assert_allclose(run(ready, IMAGE)[0], run(proto, IMAGE)[0], rtol=1e-4, atol=1e-5)


def test_batch_norm_stays_where_the_conv_is_seen_elsewhere(run):
    proto = conv_and_norm(seen=True)
    ready = prepare(proto)
    assert "BatchNormalization" in [node.op_type for node in ready.graph.node]
    for a, b in zip(run(ready, IMAGE), run(proto, IMAGE), strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]),
    st.tuples(*[st.integers(1, 4)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.tuples(*[st.integers(7, 12)] * 2),
)
def test_auto_pad_becomes_the_pads_of_the_reference_evaluator(mode, kernel, strides, size):
    weight = graphs.tensor("w", RNG.normal(size=(2, 3, *kernel)))
    node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=mode, strides=strides, kernel_shape=kernel)
    proto = graphs.model([node], [weight], shape=(1, 3, *size))
    ready = prepare(proto)
    assert "auto_pad" not in [a.name for a in ready.graph.node[0].attribute]
    import onnxruntime

    x = RNG.normal(size=(1, 3, *size)).astype(np.float32)
    results = [
        onnxruntime.InferenceSession(p.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, {"x": x}
        )
        for p in (proto, ready)
    ]
    np.testing.assert_allclose(results[1][0], results[0][0], atol=1e-5)


def test_old_opsets_are_raised_and_newer_ones_kept(run):
    assert opset(prepare(conv_and_norm(opset=16))) == 16
    old = conv_and_norm(opset=9)
    ready = prepare(old)
    assert opset(ready) == 13
    np.testing.assert_allclose(run(ready, IMAGE)[0], run(old, IMAGE)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    [
        "fastestdet_coco",
        "nanodet_m_416_coco",
        "ssd_mobilenet_v1_075_coco",
        "yolov4_tiny_voc",
        "yolov8n_coco",
        "yolox_nano_coco",
    ],
)
def test_real_detectors_compute_the_same(shared, run, name):
    proto = load(shared / "models" / f"{name}.onnx").proto
    ready = prepare(proto)
    onnx.checker.check_model(ready, full_check=True)
    shape = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).random(shape, np.float32)
    for a, b in zip(run(ready, x), run(proto, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("op", "opset_"), [("Upsample", 7), ("Upsample", 9), ("Resize", 10)])
def test_old_resizing_keeps_its_meaning(run, op, opset_, mode):
    """Before opset 11 it was asymmetric and rounded down, which the version converter forgets."""
    scales = graphs.tensor("scales", [1, 1, 2, 2])
    if op == "Upsample" and opset_ < 9:
        node, constants = helper.make_node(op, ["x"], ["y"], mode=mode, scales=[1.0, 1.0, 2.0, 2.0]), []
    else:
        node, constants = helper.make_node(op, ["x", "scales"], ["y"], mode=mode), [scales]
    proto = graphs.model([node], constants, opset=opset_)
    np.testing.assert_allclose(run(prepare(proto), IMAGE)[0], run(proto, IMAGE)[0], rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_also_an_output_is_not_folded_into(run):
    proto = conv_and_norm()
    proto.graph.output.append(helper.make_tensor_value_info("w", 1, [4, 3, 3, 3]))
    for a, b in zip(run(prepare(proto), IMAGE), run(proto, IMAGE), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_absent_bias_may_be_spelled_out(run):
    proto = conv_and_norm(bias=False)
    proto.graph.node[0].input.append("")
    ready = prepare(proto)
    assert [node.op_type for node in ready.graph.node] == ["Conv", "Relu"]
    np.testing.assert_allclose(run(ready, IMAGE)[0], run(proto, IMAGE)[0], rtol=1e-4, atol=1e-5)


def test_a_local_function_called_conv_is_no_conv(run):
    """`local.Conv` doubles its input; the batch norm behind it stays."""
    proto = conv_and_norm(opset=16)
    proto.graph.node[0].CopyFrom(helper.make_node("Conv", ["x"], ["t"], domain="local"))
    for name in ("gamma", "beta", "mean", "variance"):
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        tensor.CopyFrom(graphs.tensor(name, np.arange(1, 4)))
    body = helper.make_node("Add", ["a", "a"], ["b"])
    standard = helper.make_opsetid("", 16)
    proto.functions.append(helper.make_function("local", "Conv", ["a"], ["b"], [body], [standard]))
    proto.opset_import.append(helper.make_opsetid("local", 1))
    proto.ir_version = 8
    np.testing.assert_allclose(run(prepare(proto), IMAGE)[0], run(proto, IMAGE)[0], rtol=1e-6)


def test_initializers_are_not_listed_as_inputs():
    proto = graphs.chain([4], ir_version=3, opset=13)
    proto.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in proto.graph.initializer
    )
    ready = prepare(proto)
    assert [value.name for value in ready.graph.input] == ["x"]
    onnx.checker.check_model(ready)  # IR 3 would still want them listed


def test_weights_that_are_only_moved_become_initializers(run):
    """Stored in float16, scaled, in another order and flat, as converters leave them."""
    weight = RNG.normal(size=(4, 3, 3, 3)).astype(np.float16)
    stored = onnx.numpy_helper.from_array(weight.transpose(2, 3, 1, 0).reshape(-1), "stored")
    shape = onnx.numpy_helper.from_array(np.array([3, 3, 3, 4]), "shape")
    nodes = [
        helper.make_node("Reshape", ["stored", "shape"], ["hwio"]),
        helper.make_node("Transpose", ["hwio"], ["oihw"], perm=[3, 2, 0, 1]),
        helper.make_node("Cast", ["oihw"], ["cast"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["cast", "scale"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    proto = graphs.model(nodes, [stored, shape, graphs.tensor("scale", [2])])
    ready = prepare(proto)
    assert [node.op_type for node in ready.graph.node] == ["Conv"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(ready.graph.initializer[0]), 2 * weight)
    np.testing.assert_array_equal(run(ready, IMAGE)[0], run(proto, IMAGE)[0])


def test_weights_that_are_computed_stay_computed(run):
    """To store what they come to could make the file much larger."""
    weight = graphs.tensor("stored", RNG.normal(size=(4, 3, 3, 3)))
    nodes = [
        helper.make_node("Tanh", ["stored"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    proto = graphs.model(nodes, [weight])
    ready = prepare(proto)
    assert [node.op_type for node in ready.graph.node] == ["Tanh", "Conv"]
    np.testing.assert_array_equal(run(ready, IMAGE)[0], run(proto, IMAGE)[0])
