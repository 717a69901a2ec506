"""Costs as they are measured: of which layers, in which networks; sums that meet the networks' own times."""

import graphs
import pytest

from onnxbin.benchmark.costs import WIDTHS, width_name
from onnxbin.benchmark.layers import NodeTime, Profile
from onnxbin.benchmark.measure_costs import _Times, profile_model
from onnxbin.compress import compress
from onnxbin.errors import OnnxbinError


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([8, 32, 16, 32, 8], shape=(1, 3, 16, 16)).SerializeToString())
    return path


@pytest.fixture
def compressed(original):
    return compress(original, finetune=False, order=["c2", "c1"]).path


def test_all_that_could_be_binary(original):
    costs = profile_model(original, threads=2)
    assert [layer.name for layer in costs.layers] == ["c1", "c2", "c3"]
    assert costs.threads == 2


def test_the_layers_of_a_compressed_model(original, compressed):
    costs = profile_model(original, compressed)
    assert [layer.name for layer in costs.layers] == ["c1", "c2"]
    assert costs.original > 0
    assert set(costs.networks) == {width_name(width) for width in WIDTHS}


def test_a_busy_machine_is_not_taken_for_the_profiler():
    found = Profile((NodeTime("Conv", "a", (30.0,)), NodeTime("Relu", None, (0.1,))), frozenset())
    with pytest.raises(OnnxbinError, match="too busy"):
        _Times(found, 3.0, ["a"])
    tiny = Profile((NodeTime("Conv", "a", (0.030,)), NodeTime("Relu", None, (0.020,))), frozenset())
    assert _Times(tiny, 0.020, ["a"]).layers["a"] == pytest.approx(0.015)


def test_the_profilers_own_time_is_taken_off_each_node():
    nodes = [("Conv", "a"), ("Relu", "a"), ("Conv", "b"), ("MaxPool", None)]
    times = [0.05, 0.02, 0.09, 0.03]
    found = Profile(
        tuple(NodeTime(op, layer, (ms,)) for (op, layer), ms in zip(nodes, times, strict=True)), frozenset()
    )
    parts = _Times(found, 0.15, ["a", "b"])
    assert parts.layers == pytest.approx({"a": 0.05, "b": 0.08})
    assert parts.rest == pytest.approx(0.02)


def test_a_layer_that_is_not_seen_is_named():
    with pytest.raises(OnnxbinError, match="layer 'c'"):
        _Times(Profile((NodeTime("Conv", "a", (1.0,)),), frozenset()), 1.0, ["a", "c"])


def test_what_cannot_be_profiled_is_said(tmp_path, original, compressed):
    other = tmp_path / "other.onnx"
    other.write_bytes(graphs.chain([8, 32, 8], shape=(1, 3, 16, 16)).SerializeToString())
    tiny = tmp_path / "tiny.onnx"
    tiny.write_bytes(graphs.chain([8]).SerializeToString())
    with pytest.raises(OnnxbinError, match="is compressed"):
        profile_model(compressed)
    with pytest.raises(OnnxbinError, match="has no binary layers"):
        profile_model(original, other)
    with pytest.raises(OnnxbinError, match="was not made from"):
        profile_model(other, compressed)
    with pytest.raises(OnnxbinError, match="no convolution that could be binary"):
        profile_model(tiny)
    with pytest.raises(OnnxbinError, match="--threads 0"):
        profile_model(original, threads=0)
