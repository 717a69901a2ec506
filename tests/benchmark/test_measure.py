"""All measurements together: who takes part, on what, and that JSON holds what was measured."""

import json
import statistics

import graphs
import numpy as np
import onnx
import pytest

from onnxbin.benchmark import Contender, measure
from onnxbin.binarize import binarize
from onnxbin.errors import OnnxbinError
from onnxbin.surgery import BinaryLayer, with_binary_layers


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([8, 32, 8], shape=(1, 3, 16, 16)).SerializeToString())
    return path


@pytest.fixture
def compressed(original):
    proto = onnx.load(original)
    weight = next(onnx.numpy_helper.to_array(t) for t in proto.graph.initializer if t.name == "w1")
    layer = BinaryLayer(binarize(weight), np.zeros(32, np.float32))
    path = original.with_suffix(".binary.onnx")
    path.write_bytes(with_binary_layers(proto, {"c1": layer}).SerializeToString())
    return path


def test_contenders_and_figures(original, compressed):
    result = measure([original, compressed], threads=[2, 1], runs=3, int8=True, stock=True, layers=True)
    assert [(m.name, m.runtime) for m in result.measurements] == [
        (f"{original}", "stock"),
        (f"{original}, int8", "stock"),
        (f"{compressed}", "onnxbin"),
        (f"{compressed}, stock runtime", "stock"),
    ]
    sizes = [m.file_bytes for m in result.measurements]
    assert sizes[0] == original.stat().st_size
    assert sizes[2] == sizes[3] == compressed.stat().st_size
    for found in result.measurements:
        assert list(found.latency) == [1, 2]
        assert all(len(timing.milliseconds) == 3 for timing in [found.load, *found.latency.values()])
        assert all(time > 0 for timing in found.latency.values() for time in timing.milliseconds)
        assert list(found.profiles) == [1, 2]
        assert list(found.profiles[1].layers()) == ["c0", "c1", "c2"]
    assert [sorted(m.profiles[1].binary) for m in result.measurements] == [[], [], ["c1"], ["c1"]]


def test_json_holds_every_time(original):
    result = measure([original], threads=[1], runs=4, layers=True)
    (found,) = json.loads(result.to_json())["measurements"]
    (latency,) = found["latency"]
    assert latency["threads"] == 1
    assert latency["milliseconds"] == list(result.measurements[0].latency[1].milliseconds)
    assert latency["median"] == statistics.median(latency["milliseconds"])
    (profile,) = found["profiles"]
    sums = sum(statistics.median(node["milliseconds"]) for node in profile["nodes"])
    assert profile["total"] == pytest.approx(sums)


def test_all_are_run_on_the_same_images(original, compressed, monkeypatch):
    fed = {}
    run = Contender.run

    def recording(self, session, number):
        fed.setdefault(self.name, []).append(self.feeds[number % len(self.feeds)]["x"])
        return run(self, session, number)

    monkeypatch.setattr(Contender, "run", recording)
    measure([original, compressed], threads=[1], runs=2)
    first, second = fed.values()
    assert len(first) == 5  # one call at first, then two a round
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[1], first[3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": [0]}, "--threads 0: expected at least 1"),
        ({"runs": 0}, "--runs 0: expected at least 1"),
    ],
)
def test_numbers_that_make_no_sense(original, options, message):
    with pytest.raises(OnnxbinError, match=message):
        measure([original], **options)


def test_a_compressed_model_is_not_quantized(compressed):
    with pytest.raises(OnnxbinError, match="is compressed; --int8 needs the original, named first"):
        measure([compressed], int8=True)


def test_a_model_of_unknown_operators_is_named(tmp_path):
    node = onnx.helper.make_node("Unheard", ["x"], ["y"], domain="elsewhere")
    proto = graphs.model([node], [])
    proto.opset_import.append(onnx.helper.make_opsetid("elsewhere", 1))
    path = tmp_path / "strange.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(OnnxbinError, match=r"strange\.onnx: ONNX Runtime cannot load it: .*Unheard"):
        measure([path], runs=1)
