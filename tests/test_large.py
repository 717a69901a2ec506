"""Models of more than 2 GiB. Here the limit is lowered: beyond it all has to be as it is below.

A real one is compressed by tests/soak/large.py.
"""

import sys

import bright_cells
import graphs
import numpy as np
import onnx
import pytest
from onnx import helper

import onnxbin
from onnxbin import OnnxbinError, agreement, large
from onnxbin import model as files
from onnxbin.operator import stock_session
from onnxbin.prepare import prepare


@pytest.fixture
def lower(monkeypatch):
    """Makes the limits this low."""

    def set_limits(message, tensor=10_000):
        for module in (large, files, sys.modules["onnxbin.compress"]):
            monkeypatch.setattr(module, "MESSAGE", message)
        monkeypatch.setattr(large, "LARGE", tensor)

    return set_limits


def stored_outside(proto, path):
    onnx.save(proto, path, save_as_external_data=True, location=f"{path.stem}.data", size_threshold=1024)
    return path


@pytest.fixture
def detector(tmp_path):
    bright_cells.write_images(tmp_path / "images")
    return stored_outside(bright_cells.detector(), tmp_path / "model.onnx")


@pytest.mark.parametrize("rest", ["int8", "float32"])
@pytest.mark.parametrize("finetune", [False, True])
def test_compressed_to_the_same_bits(detector, lower, finetune, rest):
    settings = {
        "images": detector.parent / "images",
        "finetune": finetune,
        "steps_per_layer": 2,
        "rest": rest,
    }
    below = onnxbin.compress(detector, detector.with_name("below.onnx"), **settings)
    lower(220_000)  # of 350,000; the first layer takes 140,000 away
    assert any(t.external_data for t in files.load(detector).proto.graph.initializer)
    beyond = onnxbin.compress(detector, detector.with_name("beyond.onnx"), **settings)
    assert beyond.path.read_bytes() == below.path.read_bytes()
    ratios = [step.ratio for step in below.steps]
    assert [step.ratio for step in beyond.steps] == pytest.approx(ratios, rel=1e-3)


def test_what_is_still_too_large_is_refused_before_the_first_layer(detector, lower):
    lower(150_000)
    with pytest.raises(OnnxbinError, match=r"more than the 2 GiB .*; --rest int8 makes it smaller"):
        onnxbin.compress(detector, images=detector.parent / "images", finetune=False, rest="float32")
    assert sorted(path.name for path in detector.parent.iterdir()) == ["images", "model.data", "model.onnx"]


def oldest():
    """Opset 7, IR 3, weights listed as inputs, a batch norm behind the second convolution."""
    proto = graphs.chain([16, 32, 32, 8], opset=7, ir_version=3)
    norm = [graphs.tensor(f"n{i}", np.linspace(0.5, 2, 32)) for i in range(4)]
    node = helper.make_node("BatchNormalization", ["t1", *(n.name for n in norm)], ["normed"])
    relu = [n.input[0] for n in proto.graph.node].index("t1")
    proto.graph.node[relu].input[0] = "normed"
    proto.graph.node.insert(relu, node)
    proto.graph.initializer.extend(norm)
    proto.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in proto.graph.initializer
    )
    return proto


def half():
    """In float16 throughout."""
    proto = graphs.chain([16, 32, 8])
    for tensor in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return proto


@pytest.mark.parametrize("make", [oldest, half])
def test_prepared_alike(tmp_path, lower, make):
    path = stored_outside(make(), tmp_path / "model.onnx")
    below = prepare(files.load(path).proto)
    lower(10_000, 2000)
    loaded = files.load(path).proto
    assert any(tensor.external_data for tensor in loaded.graph.initializer)
    beyond = prepare(loaded)
    files.check(beyond)
    kind = np.float16 if make is half else np.float32
    x = {"x": np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(kind)}
    found, expected = (agreement.run(stock_session(m), ["y"], x)[0] for m in (beyond, below))
    assert np.array_equal(found, expected)
    assert large.byte_size(beyond) == pytest.approx(below.ByteSize(), rel=1e-2)


@pytest.mark.parametrize("change", ["cut short", "claims more", "not weights"])
def test_what_is_not_as_it_says_is_refused(detector, lower, change):
    proto = onnx.load(detector, load_external_data=False)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w1")
    if change == "cut short":
        data = detector.with_suffix(".data")
        data.write_bytes(data.read_bytes()[:-5000])
    elif change == "claims more":
        weight.dims[0] *= 2
    else:
        weight.data_type = onnx.TensorProto.INT32
    detector.write_bytes(proto.SerializeToString())
    lower(100_000)
    with pytest.raises(OnnxbinError) as error:
        files.load(detector)
    assert str(detector.parent) in str(error.value)


def test_a_resumed_run_knows_its_external_data(detector):
    run = onnxbin.compress(
        detector, images=detector.parent / "images", finetune=False, until_ratio=1.5, rest="float32"
    ).run
    data = detector.with_suffix(".data")
    data.write_bytes(data.read_bytes()[::-1])
    with pytest.raises(OnnxbinError, match="is not the model that"):
        onnxbin.resume(run, until_ratio=20)
