"""The inventory: depth, cost and reasons on graphs whose answers are known by hand."""

import graphs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxbin import OnnxbinError
from onnxbin.layers import fully_connected, inventory
from onnxbin.model import load
from onnxbin.prepare import prepare
from onnxbin.priority import deepest_first


def reasons(proto, **arguments):
    return {layer.name: layer.left_alone for layer in inventory(proto, **arguments)}


def test_a_chain_keeps_first_and_head():
    layers = inventory(graphs.chain([8, 16, 5]))
    assert [layer.depth for layer in layers] == [1, 2, 3]
    assert [layer.parameters for layer in layers] == [8 * 27 + 8, 16 * 72 + 16, 5 * 144 + 5]
    assert [layer.macs for layer in layers] == [256 * 8 * 27, 256 * 16 * 72, 256 * 5 * 144]
    assert [(layer.left_alone or "").split(":")[0] for layer in layers] == ["first convolution", "", "head"]


def test_depth_is_the_longest_path():
    """x -> a -> b -> c -> add -> head, with a shortcut from a to add."""
    names = "abc"
    weights = [graphs.tensor(n, np.ones((3, 3, 1, 1))) for n in [*names, "h"]]
    nodes = [
        *(
            helper.make_node("Conv", [i, n], [f"{n}_"], n)
            for i, n in zip(["x", "a_", "b_"], names, strict=True)
        ),
        helper.make_node("Add", ["c_", "a_"], ["sum"]),
        helper.make_node("Conv", ["sum", "h"], ["y"], "h"),
    ]
    layers = inventory(graphs.model(nodes, weights))
    assert {layer.name: layer.depth for layer in layers} == {"a": 1, "b": 2, "c": 3, "h": 4}
    assert [layer.name for layer in deepest_first(layers)] == ["c", "b"]


def special_cases():
    rng = np.random.default_rng(0)
    weights = [graphs.tensor(n, rng.normal(size=(8, 8, 3, 3))) for n in ("shared", "plain", "end")]
    weights += [
        graphs.tensor("first", rng.normal(size=(8, 3, 3, 3))),
        graphs.tensor("depthwise", rng.normal(size=(8, 1, 3, 3))),
        graphs.tensor("expectation", np.arange(8).reshape(1, 8, 1, 1)),
    ]
    conv = lambda i, w, o, **a: helper.make_node("Conv", [i, w], [o], o, **a)  # noqa: E731
    nodes = [
        conv("x", "first", "c1"),
        conv("c1", "shared", "c2"),
        conv("c2", "shared", "c3"),
        conv("c3", "depthwise", "c4", group=8),
        conv("c4", "plain", "c5"),
        helper.make_node("Mul", ["plain", "plain"], ["squared"]),
        conv("c5", "squared", "c6"),
        helper.make_node("ConvTranspose", ["c6", "end"], ["c7"], "c7"),
        conv("c7", "expectation", "y"),
    ]
    return graphs.model(nodes, weights, shape=(1, 3, 32, 32))


def test_every_layer_left_alone_has_its_reason():
    found = reasons(special_cases())
    expected = [
        "first",
        "weight 'shared'",
        "weight 'shared'",
        "depthwise",
        "weight 'plain'",
        "dynamic",
        "ConvTr",
    ]
    for reason, start in zip(found.values(), expected, strict=False):
        assert reason.startswith(start)
    assert found["y"].startswith("fixed decoding")


def test_patterns_override_judgement_but_not_what_is_impossible():
    found = reasons(special_cases(), include=["c"], exclude=["c4"])
    assert found["c1"] is None
    assert found["c2"].startswith("weight 'shared'")
    assert found["c4"] == "excluded by --exclude"
    with pytest.raises(OnnxbinError, match=r"--include '\(': not a regular expression"):
        reasons(special_cases(), include=["("])
    with pytest.raises(OnnxbinError, match="--exclude 'zzz': matches no convolution"):
        reasons(special_cases(), exclude=["zzz"])


def test_a_stated_size_gives_macs_to_a_dynamic_model():
    proto = graphs.chain([4, 4], shape=("n", 3, "h", "w"))
    assert [layer.macs for layer in inventory(proto)] == [None, None]
    sized = inventory(proto, input_size=(10, 20))
    assert [layer.macs for layer in sized] == [200 * 4 * 27, 200 * 4 * 36]
    with pytest.raises(OnnxbinError, match="which 8x8 does not fit"):
        inventory(graphs.chain([4]), input_size=(8, 8))


def test_half_precision_and_one_dimensional_weights_are_explained():
    proto = graphs.chain([4, 4, 4])
    proto.graph.initializer[2].data_type = TensorProto.FLOAT16
    assert "only float32" in reasons(proto)["c1"]


@pytest.mark.shared
def test_yolov4_tiny_has_its_known_layers(shared):
    layers = inventory(prepare(load(shared / "models" / "yolov4_tiny_voc.onnx").proto))
    left = {layer.name: layer.left_alone for layer in layers if layer.left_alone}
    assert len(layers) == 21
    assert sorted(reason.split(":")[0] for reason in left.values()) == ["first convolution", "head", "head"]
    assert sum(layer.macs for layer in layers) == pytest.approx(3.4e9, rel=0.02)


@pytest.mark.shared
def test_yolov8_heads_are_seen_before_their_decoding_convolution(shared):
    found = reasons(prepare(load(shared / "models" / "yolov8n_coco.onnx").proto))
    heads = [name for name, reason in found.items() if reason and reason.startswith("head")]
    assert len(heads) == 6
    assert sum("fixed decoding" in (reason or "") for reason in found.values()) == 1


def test_convolutions_inside_a_branch_count():
    """conv -> If(conv inside): the outer one is no head, for a convolution lies behind it."""
    proto = graphs.chain([4, 4], outputs=("z",))
    weight = next(t for t in proto.graph.initializer if t.name == "w1")
    branches = {}
    for name in ("then", "else"):
        inner = helper.make_node("Conv", ["y", "w1"], [f"{name}_out"], pads=[1] * 4)
        result = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, list("nchw"))
        branches[f"{name}_branch"] = helper.make_graph([inner], name, [], [result])
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    proto.graph.node.append(helper.make_node("If", ["yes"], ["z"], **branches))
    found = reasons(proto)
    assert weight.name == "w1"
    assert found["c1"].startswith("weight 'w1' is shared")
    proto.graph.node[2].input[1] = "w2"
    proto.graph.initializer.append(graphs.tensor("w2", np.ones((4, 4, 3, 3))))
    assert reasons(proto)["c1"] is None


def one_node(op, inputs, tensors, *, domain="", kind=TensorProto.FLOAT, **attributes):
    node = helper.make_node(op, inputs, ["y"], "node", domain=domain, **attributes)
    proto = graphs.model([node], tensors, opset=22, ir_version=10)
    proto.graph.input[0].type.tensor_type.elem_type = kind
    if domain:
        proto.opset_import.append(helper.make_opsetid(domain, 1))
    return proto


def eight_bits(name, shape):
    return onnx.numpy_helper.from_array(np.ones(shape, np.int8), name)


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (one_node("ConvInteger", ["x", "w"], [eight_bits("w", (8, 3, 3, 3))]), "ConvInteger: 8-bit already"),
        (
            one_node("DeformConv", ["x", "w", "o"], [graphs.tensor("w", np.ones((8, 3, 3, 3)))]),
            "DeformConv: the operator family has no deformable",
        ),
        (
            one_node(
                "FusedConv", ["x", "w"], [graphs.tensor("w", np.ones((8, 3, 3, 3)))], domain="com.microsoft"
            ),
            "FusedConv: written by ONNX Runtime's optimizer",
        ),
        (one_node("Conv", ["x", "w"], []), "dynamic weight: an input of the model"),
    ],
)
def test_convolutions_of_other_kinds_are_listed_with_the_reason(proto, expected):
    (layer,) = inventory(proto)
    assert layer.left_alone.startswith(expected)
    # It is impossible, not just unwise.
    assert inventory(proto, include=["node"])[0].left_alone == layer.left_alone


def test_the_weight_of_a_qlinear_conv_is_its_fourth_input():
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    proto = one_node("QLinearConv", names, [eight_bits("w", (8, 3, 3, 3))], kind=TensorProto.INT8)
    (layer,) = inventory(proto)
    assert layer.shape == (8, 3, 3, 3)
    assert layer.bias is None
    assert layer.parameters == 8 * 27


def test_fully_connected_weights_are_counted():
    tensors = [graphs.tensor("a", np.ones((10, 4))), graphs.tensor("b", np.ones((4, 5)))]
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["g"]),
        helper.make_node("MatMul", ["g", "b"], ["m"]),
        helper.make_node("MatMul", ["m", "m"], ["y"]),
    ]
    assert fully_connected(graphs.model(nodes, tensors)) == (2, 60)
