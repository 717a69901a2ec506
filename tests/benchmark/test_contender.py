"""Sessions of contenders: in which runtime, on which input."""

import dataclasses
import json
from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest
from onnx import helper

from onnxbin.benchmark.contender import is_compressed
from onnxbin.binarize import binarize
from onnxbin.errors import OnnxbinError
from onnxbin.surgery import BinaryLayer, with_binary_layers


def compressed():
    proto = graphs.chain([8, 32, 8])
    weight = next(onnx.numpy_helper.to_array(t) for t in proto.graph.initializer if t.name == "w1")
    layer = BinaryLayer(binarize(weight), np.zeros(32, np.float32))
    return with_binary_layers(proto, {"c1": layer})


def types_that_ran(entry, folder):
    """By the runtime's own profile."""
    session = entry.session(1, profile=folder / "profile")
    entry.run(session, 0)
    events = json.loads(Path(session.end_profiling()).read_text())
    return {event["args"]["op_name"] for event in events if "op_name" in event.get("args", {})}


def test_the_stock_runtime_does_without_our_kernels(contender, tmp_path):
    proto = compressed()
    assert is_compressed(proto)
    assert "BinaryConv" in types_that_ran(contender(proto, kernels=True), tmp_path)
    assert "BinaryConv" not in types_that_ran(contender(proto, kernels=False), tmp_path)


def test_feeds_take_turns(contender):
    proto = graphs.model([helper.make_node("Relu", ["x"], ["y"])], [], shape=(1,))
    entry = dataclasses.replace(contender(proto), feeds=[{"x": np.float32([n])} for n in (3, 5)])
    session = entry.session(1)
    assert [entry.run(session, number)[0].tolist() for number in range(4)] == [[3], [5], [3], [5]]


def test_a_model_that_fails_while_it_runs_is_named(contender):
    entry = contender(graphs.chain([4]), x=np.zeros((1, 3, 7, 7), np.float32))
    with pytest.raises(OnnxbinError, match="model: fails when it is run: ") as caught:
        entry.run(entry.session(1), 0)
    assert len(str(caught.value).splitlines()) == 1
