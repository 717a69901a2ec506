"""Profiles: every convolution that ran is found again in the file, whatever became of it."""

import graphs
import numpy as np
import onnx
import pytest
from onnx import helper

from onnxbin.benchmark.attribution import labelled
from onnxbin.benchmark.layers import profile, timed_runs
from onnxbin.binarize import binarize
from onnxbin.prepare import prepare
from onnxbin.surgery import BinaryLayer, with_binary_layers

RNG = np.random.default_rng(0)


def conv(source, target, name, channels, width, **attributes):
    """A 3x3 Conv without bias, and its weight."""
    weight = graphs.tensor(f"w.{target}", RNG.normal(0, 0.1, (width, channels, 3, 3)))
    return helper.make_node("Conv", [source, weight.name], [target], name, pads=[1] * 4, **attributes), weight


def norm(source, target, channels):
    """A BatchNormalization, and its parameters."""
    values = [graphs.tensor(f"{slot}.{target}", RNG.uniform(0.5, 1.5, channels)) for slot in "gbmv"]
    names = [value.name for value in values]
    return helper.make_node("BatchNormalization", [source, *names], [target]), values


def residual(*, normalized, width=16, names=("stem", "left", "right", "last")):
    """conv, then x + conv(conv(x)) with Relus, then a conv; with batch norms behind the convs or without."""
    nodes, weights = [], []

    def layer(source, target, name, channels=width):
        raw = f"{target}.raw" if normalized else target
        node, weight = conv(source, raw, name, channels, width)
        nodes.append(node)
        weights.append(weight)
        if normalized:
            node, parameters = norm(raw, target, width)
            nodes.append(node)
            weights.extend(parameters)

    layer("x", "a", names[0], 3)
    nodes.append(helper.make_node("Relu", ["a"], ["ar"]))
    layer("ar", "b", names[1])
    nodes.append(helper.make_node("Relu", ["b"], ["br"]))
    layer("br", "c", names[2])
    nodes.append(helper.make_node("Add", ["c", "ar"], ["s"]))
    nodes.append(helper.make_node("Relu", ["s"], ["sr"]))
    layer("sr", "y", names[3])
    return graphs.model(nodes, weights)


def binarized(proto, *names):
    """The prepared model with the named layers binary."""
    model = prepare(proto)
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = {node.name or node.output[0]: node for node in model.graph.node}
    layers = {
        name: BinaryLayer(binarize(weight), np.zeros(len(weight), np.float32))
        for name, weight in ((name, values[nodes[name].input[1]]) for name in names)
    }
    return with_binary_layers(model, layers)


# On x86, ONNX Runtime fuses differently where the channels do not fill its blocks.
@pytest.mark.parametrize("width", [16, 18])
@pytest.mark.parametrize("normalized", [False, True])
def test_fused_convolutions_keep_their_names(contender, normalized, width):
    original = residual(normalized=normalized, width=width)
    small = binarized(original, "right")
    entries = [
        contender(original),
        contender(small, "small"),
        contender(small, "stock", kernels=False),
    ]
    profiles = profile(entries, 1, 2)
    for found in profiles:
        assert list(found.layers()) == ["stem", "left", "right", "last"]
    assert [found.binary for found in profiles] == [frozenset(), {"right"}, {"right"}]
    assert "BinaryConv" in profiles[1].ops()
    assert "BinaryConv" not in profiles[2].ops()


def test_layers_without_names_are_called_alike_with_batch_norms_and_without(contender):
    original = residual(normalized=True, names=("", "", "", ""))
    profiles = profile([contender(original), contender(binarized(original, "b"), "small")], 1, 2)
    assert [list(found.layers()) for found in profiles] == [["a", "b", "c", "y"]] * 2
    assert profiles[1].binary == {"b"}


def test_a_profile_adds_up(contender):
    (found,) = profile([contender(residual(normalized=False))], 1, 3)
    assert {len(node.milliseconds) for node in found.nodes} == {3}
    assert sum(found.ops().values()) == pytest.approx(found.total)
    rest = sum(node.median for node in found.nodes if node.layer is None)
    in_layers = sum(layer.milliseconds for layer in found.layers().values())
    assert in_layers + rest == pytest.approx(found.total)


def test_an_activation_belongs_to_its_convolution(contender):
    """QuickGelu is what ONNX Runtime makes of x * sigmoid(x); it is not fused into the Conv."""
    node, weight = conv("x", "c", "conv", 3, 16)
    nodes = [
        node,
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["m"]),
        helper.make_node("MaxPool", ["m"], ["y"], kernel_shape=[2, 2]),
    ]
    (found,) = profile([contender(graphs.model(nodes, [weight]))], 1, 1)
    owners = {node.op: node.layer for node in found.nodes}
    assert owners["Conv"] == "conv"
    assert owners["MaxPool"] is None
    activations = set(owners) & {"QuickGelu", "Sigmoid", "Mul"}
    assert activations
    assert {owners[op] for op in activations} == {"conv"}


def branching():
    """A conv whose output a branch of an If reads from inside."""
    node, weight = conv("x", "c", "conv", 3, 16)
    branches = [
        helper.make_graph(
            [helper.make_node(op, ["c"], [f"{op}.y"])],
            op,
            [],
            [helper.make_tensor_value_info(f"{op}.y", onnx.TensorProto.FLOAT, list("nchw"))],
        )
        for op in ("Relu", "Neg")
    ]
    nodes = [
        node,
        helper.make_node("ReduceMean", ["c"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    return graphs.model(nodes, [weight, graphs.tensor("zero", 0.0)])


@pytest.mark.parametrize("inlined", [False, True])
def test_labels_leave_the_computation_as_it_is(run, inlined):
    original = branching()
    x = RNG.normal(size=(1, 3, 16, 16)).astype(np.float32)
    expected = run(original, x)
    np.testing.assert_array_equal(run(labelled(original, inlined), x), expected)


def test_what_runs_in_a_branch_is_counted_once(contender):
    (found,) = profile([contender(branching())], 1, 2)
    assert "If" in found.ops()
    assert not {"Relu", "Neg"} & set(found.ops())


def event(name, ts, dur, cat="Node"):
    return {
        "name": name,
        "cat": cat,
        "ts": ts,
        "dur": dur,
        "args": {"op_name": name} if cat == "Node" else {},
    }


def test_timed_runs_are_every_second_after_the_first():
    events = []
    for number in range(5):
        start = 100 * number
        events.append(event("model_run", start, 90, "Session"))
        events += [event(f"first {number}", start + 10, 20), event(f"second {number}", start + 30, 20)]
        events += [event(f"loop {number}", start + 50, 30), event(f"inside {number}", start + 60, 10)]
    names = [[e["name"] for e in run] for run in timed_runs(events[::-1], 2)]
    assert names == [[f"first {n}", f"second {n}", f"loop {n}"] for n in (2, 4)]


@pytest.mark.shared
@pytest.mark.parametrize("detector", ["yolox_nano_coco", "nanodet_m_416_coco", "fastestdet_coco"])
def test_every_convolution_of_real_detectors_is_accounted_for(shared, contender, detector):
    proto = onnx.load(shared / "models" / f"{detector}.onnx")
    (found,) = profile([contender(proto)], 2, 1)
    expected = {node.name for node in proto.graph.node if node.op_type == "Conv"}
    assert set(found.layers()) == expected
