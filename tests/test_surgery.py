"""Surgery: what replaces a Conv computes what it should, and nothing else is lost."""

import graphs
import numpy as np
import onnx
import pytest
from onnx import helper

from onnxbin import OnnxbinError
from onnxbin.binarize import binarize
from onnxbin.operator import DOMAIN, QuantInput, SignInput, binary_conv
from onnxbin.surgery import (
    BinaryLayer,
    exported,
    imported,
    layer_names,
    with_binary_layers,
    with_quantizers,
    with_values,
)

QUANTIZERS = [
    None,
    SignInput(np.float32([0.5]), np.float32([0.1])),
    QuantInput(np.float32([0.05]), np.float32([9]), 8),
]


def weights(proto):
    return {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}


def annotated():
    """A model that holds everything graphsurgeon drops."""
    proto = graphs.chain([4, 5], doc_string="a model", domain="org.example", model_version=7)
    helper.set_model_props(proto, {"licence": "none"})
    proto.graph.doc_string = "a graph"
    proto.graph.node[0].doc_string = "a node"
    proto.graph.initializer[0].doc_string = "a weight"
    proto.graph.input[0].doc_string = "an image"
    proto.graph.metadata_props.add(key="graph", value="kept")
    proto.graph.node[0].metadata_props.add(key="node", value="kept")
    proto.graph.value_info.append(helper.make_tensor_value_info("t0", 1, [1, 4, 16, 16]))
    proto.graph.input.append(helper.make_tensor_value_info("w0", 1, [4, 3, 3, 3]))
    annotation = proto.graph.quantization_annotation.add(tensor_name="t0")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="b0")
    return proto


def test_a_round_trip_loses_nothing():
    proto = annotated()
    again = exported(imported(proto), proto)
    for field in ("doc_string", "domain", "model_version", "producer_name", "ir_version"):
        assert getattr(again, field) == getattr(proto, field)
    assert again.metadata_props == proto.metadata_props
    for field in ("doc_string", "metadata_props", "quantization_annotation", "input", "output", "node"):
        assert getattr(again.graph, field) == getattr(proto.graph, field), field
    assert {v.name for v in proto.graph.value_info} <= {v.name for v in again.graph.value_info}
    assert [t.doc_string for t in again.graph.initializer] == [t.doc_string for t in proto.graph.initializer]
    assert again.graph.initializer == proto.graph.initializer


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_a_binary_layer_computes_its_operator(run, quantizer):
    proto = graphs.chain([4])
    values = weights(proto)
    layer = BinaryLayer(binarize(values["w0"], bases=2), values["b0"], quantizer)
    model = with_binary_layers(proto, {"c0": layer})
    onnx.checker.check_model(model, full_check=True)
    x = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)
    expected = binary_conv(x, layer.weight, layer.bias, quantizer, pads=(1, 1, 1, 1))
    np.testing.assert_allclose(run(model, x)[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert [n.op_type for n in model.graph.node if n.domain == DOMAIN] == [f.name for f in model.functions]
    assert not {"w0", "b0"} & weights(model).keys()
    assert model.ir_version == 8
    assert proto.ir_version == 7


@pytest.mark.parametrize("before", QUANTIZERS)
@pytest.mark.parametrize("after", QUANTIZERS)
def test_a_layer_gets_another_quantizer(before, after):
    """As if it had had that from the start; the other layer keeps its own."""
    proto = graphs.chain([4, 5])
    values = weights(proto)
    layers = {
        f"c{n}": BinaryLayer(binarize(values[f"w{n}"]), values[f"b{n}"], quantizer)
        for n, quantizer in enumerate([before, QUANTIZERS[2]])
    }
    changed = with_quantizers(with_binary_layers(proto, layers), {"c0": after})
    onnx.checker.check_model(changed, full_check=True)
    expected = with_binary_layers(
        proto, {**layers, "c0": BinaryLayer(layers["c0"].weight, layers["c0"].bias, after)}
    )
    assert changed.graph.node == expected.graph.node
    assert sorted(f.name for f in changed.functions) == sorted(f.name for f in expected.functions)
    found, wanted = weights(changed), weights(expected)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, wanted[name])


def test_other_nodes_and_notes_stay():
    proto = annotated()
    values = weights(proto)
    layer = BinaryLayer(binarize(values["w1"]), values["b1"])
    model = with_binary_layers(proto, {"c1": layer})
    assert model.graph.node[:2] == proto.graph.node[:2]
    assert model.metadata_props == proto.metadata_props
    assert "w0" in [value.name for value in model.graph.input]


def test_unnamed_and_namesake_nodes_go_by_their_output():
    proto = graphs.chain([4, 4, 4])
    for node, name in zip(proto.graph.node, ["same", "", "same", "", "own"], strict=True):
        node.name = name
    assert layer_names(proto) == {"t0": "t0", "r0": "r0", "t1": "t1", "r1": "r1", "y": "own"}


def test_values_are_replaced_in_place():
    proto = annotated()
    model = with_values(proto, {"b0": np.arange(4)})
    np.testing.assert_array_equal(weights(model)["b0"], [0, 1, 2, 3])
    model.graph.initializer[1].CopyFrom(proto.graph.initializer[1])
    assert model == proto
    with pytest.raises(OnnxbinError, match=r"'b0' has shape \[4\], not \[5\]"):
        with_values(proto, {"b0": np.arange(5)})
