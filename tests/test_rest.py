"""Real weights stored smaller: close to what they were, smaller in the file, the rest untouched."""

import graphs
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from onnxbin.model import load
from onnxbin.plan import plan
from onnxbin.rest import with_rest_restored, with_rest_stored
from onnxbin.settings import Settings


def run(proto, x):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def stored(proto):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


@pytest.mark.parametrize(("rest", "bytes_each", "most"), [("float16", 2, 2.0**-11), ("int8", 1, 0.5 / 127)])
def test_weights_are_within_half_a_step_and_the_file_is_smaller(rest, bytes_each, most):
    proto = graphs.chain([64, 64, 6], shape=(1, 3, 16, 16))
    small = with_rest_stored(proto, rest)
    onnx.checker.check_model(small, full_check=True)
    before, after = stored(proto), stored(small)
    weight = before["w1"]
    unpacked = after[f"w1.{rest}"].astype(np.float32) * after.get("w1.scale", np.float32(1))
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    assert np.abs(unpacked - weight).max() <= most * largest.max() * (1 + 1e-5)
    assert after[f"w1.{rest}"].nbytes == bytes_each * weight.size
    assert small.ByteSize() < proto.ByteSize() * (bytes_each / 4 + 0.1)
    for name in ("b0", "b1", "b2"):  # biases stay
        np.testing.assert_array_equal(after[name], before[name])

    x = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)
    expected, found = run(proto, x), run(small, x)
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize("rest", ["float32", "float16", "int8"])
def test_what_was_stored_small_is_restored_as_it_computes(rest):
    proto = graphs.chain([64, 64, 6], shape=(1, 3, 16, 16))
    small = with_rest_stored(proto, rest)
    restored = with_rest_restored(small)
    onnx.checker.check_model(restored, full_check=True)
    assert list(restored.graph.node) == list(proto.graph.node)
    assert stored(restored).keys() == stored(proto).keys()
    x = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(run(restored, x), run(small, x))


def test_channels_that_are_zero_and_gemm_in_both_layouts():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 30)).astype(np.float32), rng.normal(size=(30, 40)).astype(np.float32)
    a[:, 3] = 0
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["h"]),
        helper.make_node("Gemm", ["h", "b"], ["i"], transB=1),
        helper.make_node("MatMul", ["i", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [2, 40])],
        [helper.make_tensor_value_info("y", 1, [2, 30])],
        [numpy_helper.from_array(v, n) for n, v in {"a": a, "b": b.T.copy(), "c": a}.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    small = with_rest_stored(proto, "int8")
    assert stored(small)["a.scale"].shape == (1, 30)
    assert stored(small)["b.scale"].shape == (40, 1)
    x = rng.normal(size=(2, 40)).astype(np.float32)
    expected, found = run(proto, x), run(small, x)
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)
    assert found[:, 3].tolist() == [0, 0]


def test_what_is_used_otherwise_too_is_left_alone():
    proto = graphs.chain([64, 64, 6], shape=(1, 3, 16, 16))
    proto.graph.output.append(helper.make_tensor_value_info("w1", 1, [64, 64, 3, 3]))
    names = stored(with_rest_stored(proto, "int8", keep=["w2"]))
    assert {"w0.int8", "w1", "w2"} <= names.keys()
    assert with_rest_stored(proto, "float32") == proto


@pytest.mark.parametrize("rest", ["float32", "float16", "int8"])
def test_the_plan_knows_the_sizes(tmp_path, rest):
    """Of the model as it would be written after each layer."""
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([64, 64, 64, 64, 6], shape=(1, 3, 32, 32)).SerializeToString())
    found = plan(load(path), Settings(rest=rest, inputs="real", profile="yolov4"))
    from onnxbin.trainer import Untrained

    trainer = Untrained(found.prepared)
    for layer, ratio in zip(found.order, found.ratios, strict=True):
        trainer.binarize(layer, 1)
        size = found.build({}, trainer.binary()).ByteSize()
        assert path.stat().st_size / size == pytest.approx(ratio, rel=2e-3)
    assert found.largest_ratio == pytest.approx(path.stat().st_size / size, rel=1e-6)
