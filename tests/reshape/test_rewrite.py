"""Changed channels against what the network computed before, in ONNX Runtime."""

import backbones
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxbin.layers import inventory
from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.cost import MacsByWidth
from onnxbin.reshape.network import Network
from onnxbin.reshape.rewrite import Change, Conflict, rewritten

SIZE = 12
X = np.random.default_rng(0).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
KINDS = ["plain", "sum", "parts", "slice", "gather", "shuffle", "depthwise", "groups", "gate", "norm"]


quick = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def networks(draw):
    """Random graphs of what carries channels: sums, parts, shuffles, convolutions of all kinds."""
    graph = backbones.Graph(draw(st.integers(0, 99)))
    channels = draw(st.sampled_from([4, 8, 12]))
    x = graph.conv("x", (channels, 3, 3, 3))
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5)):
        x, channels = _layer(draw, graph, kind, x, channels)
    end = draw(st.sampled_from(["conv", "pooled", "flat"]))
    if end == "conv":
        return graph.model(graph.conv(x, (5, channels, 1, 1)), SIZE)
    if end == "pooled":
        return graph.model(graph.classifier(x, channels), SIZE)
    flat = graph.node("Flatten", [graph.node("MaxPool", [x], kernel_shape=[6, 6], strides=[6, 6])])
    weight = graph.constant(np.linspace(-1, 1, 4 * channels * 3).reshape(4 * channels, 3))
    return graph.model(graph.node("MatMul", [flat, weight]), SIZE)


def _layer(draw, graph, kind, x, channels):
    if kind == "plain":
        new = draw(st.sampled_from([4, 8]))
        return graph.conv_relu(x, (new, channels, 3, 3)), new
    if kind == "sum":
        factors = graph.constant(np.linspace(1, 2, channels).reshape(-1, 1, 1))
        y = graph.conv_relu(x, (channels, channels, 3, 3))
        return graph.node("Add", [y, graph.node("Mul", [x, factors])]), channels
    if kind == "parts":
        small = channels // 2
        sizes = graph.constant([small, channels - small], np.int64)
        a, b = graph.node("Split", [x, sizes], 2, axis=1)
        a = graph.conv_relu(a, (small, small, 1, 1))
        return graph.node("Concat", [b, a, b], axis=1), 2 * channels - small
    if kind == "slice" and channels > 3:
        bounds = [graph.constant([value], np.int64) for value in (1, channels - 1, 1)]
        return graph.node("Slice", [x, *bounds]), channels - 2
    if kind == "gather":
        chosen = draw(st.lists(st.integers(-channels, channels - 1), min_size=2, max_size=6))
        return graph.node("Gather", [x, graph.constant(chosen, np.int64)], axis=1), len(chosen)
    if kind == "shuffle" and channels % 2 == 0:
        rows = [2, channels // 2] if draw(st.booleans()) else [channels // 2, 2]
        spread = graph.node("Reshape", [x, graph.constant([1, *rows, SIZE, SIZE], np.int64)])
        turned = graph.node("Transpose", [spread], perm=[0, 2, 1, 3, 4])
        whole = graph.constant([1, channels, SIZE, SIZE], np.int64)
        return graph.node("Reshape", [turned, whole]), channels
    if kind == "depthwise":
        return graph.conv_relu(x, (channels, 1, 3, 3), group=channels), channels
    if kind == "groups" and channels % 2 == 0:
        return graph.conv_relu(x, (channels, channels // 2, 3, 3), group=2), channels
    if kind == "gate":
        means = graph.node("GlobalAveragePool", [x])
        factors = graph.node("Sigmoid", [graph.conv(means, (channels, channels, 1, 1))])
        return graph.node("Mul", [x, factors]), channels
    if kind == "norm":
        values = [np.linspace(low, 2, channels) for low in (0.5, -1, -0.5, 1)]
        return graph.node("BatchNormalization", [x, *map(graph.constant, values)]), channels
    return x, channels


def changed(model, counts_of, **details):
    """The model with counts_of(group) copies of the bundles of each group, frozen where that conflicts."""
    network, frozen = Network(model), {}
    while True:
        dependencies = Dependencies(network, frozen)
        counts = {}
        for group in dependencies.groups:
            if group.frozen is None and len(group.bundles) > 1:
                counts.update(zip(group.bundles, counts_of(group), strict=True))
        try:
            return rewritten(dependencies, Change(counts, **details)), dependencies, counts
        except Conflict as conflict:
            frozen.update(dict.fromkeys(conflict.channels, conflict.reason))


def parameters(model):
    return sum(np.prod(tensor.dims) for tensor in model.graph.initializer)


@quick
@given(networks())
def test_once_each_changes_nothing(run, model):
    """Bit for bit."""
    new, _, _ = changed(model, lambda group: [1] * len(group.bundles))
    assert (run(new, X)[0] == run(model, X)[0]).all()
    old, found = ({node.output[0]: node for node in m.graph.node} for m in (model, new))
    assert {name: list(node.input) for name, node in found.items()} == {
        n: list(i.input) for n, i in old.items()
    }


@quick
@given(networks(), st.integers(0, 99))
def test_copies_change_no_output(run, model, seed):
    rng = np.random.default_rng(seed)
    new, _, counts = changed(model, lambda group: rng.integers(1, 4, len(group.bundles)).tolist())
    onnx.checker.check_model(new, full_check=True)
    old, found = run(model, X)[0], run(new, X)[0]
    assert np.abs(old - found).max() <= 1e-5 * np.abs(old).max()
    if any(count > 1 for count in counts.values()):
        assert parameters(new) > parameters(model)


@quick
@given(networks(), st.integers(1, 3))
def test_multiply_accumulates_by_width(model, copies):
    """Known before, counted after."""
    new, dependencies, counts = changed(model, lambda group: [copies] * len(group.bundles))
    widths = [sum(counts.get(bundle, 1) for bundle in group.bundles) for group in dependencies.groups]
    counted = sum(layer.macs for layer in inventory(new))
    assert MacsByWidth(dependencies)(widths) == pytest.approx(counted, rel=1e-9)


@quick
@given(networks(), st.integers(0, 99))
def test_shares_differ_and_add_up(run, model, seed):
    new, _, _ = changed(model, lambda group: [2] * len(group.bundles), noise=0.5, seed=seed)
    old, found = run(model, X)[0], run(new, X)[0]
    assert np.abs(old - found).max() <= 1e-4 * np.abs(old).max()


@quick
@given(networks(), st.integers(0, 99))
def test_what_is_pruned_could_as_well_be_zero(run, model, seed):
    """Leaving channels out is the same as zeros in every weight that reads them."""
    rng = np.random.default_rng(seed)

    def some(group):
        return [1, 1, *rng.integers(0, 2, len(group.bundles) - 2).tolist()]

    new, dependencies, counts = changed(model, some)
    onnx.checker.check_model(new, full_check=True)
    zeroed = onnx.ModelProto()
    zeroed.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in zeroed.graph.initializer}
    for node in zeroed.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            group = next((a.i for a in node.attribute if a.name == "group"), 1)
            weight = onnx.numpy_helper.to_array(stored[node.input[1]]).copy()
            channels = dependencies.of(node.input[0]).ravel()
            kept = np.array([counts.get(b, 1) for b in dependencies.bundle(channels).tolist()])
            if node.op_type == "MatMul":
                weight *= kept[:, None]
            elif group == 1:
                weight *= kept.reshape(1, -1, *[1] * (weight.ndim - 2))
            else:
                rows = kept.reshape(group, -1).repeat(weight.shape[0] // group, 0)
                weight *= rows.reshape(*weight.shape[:2], 1, 1)
            stored[node.input[1]].CopyFrom(onnx.numpy_helper.from_array(weight, node.input[1]))
    old, found = run(zeroed, X)[0], run(new, X)[0]
    assert np.abs(old - found).max() <= 1e-5 * max(np.abs(old).max(), 1e-3)


def test_a_channel_merged_into_its_double(run):
    """Twice the same filter, one of them three times as strong: merging is exact."""
    graph = backbones.Graph()
    filters = np.random.default_rng(0).normal(size=(4, 3, 3, 3))
    filters[2] = 3 * filters[1]
    x = graph.node("Relu", [graph.node("Conv", ["x", graph.constant(filters)])])
    model = graph.model(graph.conv(x, (5, 4, 1, 1)), SIZE)
    dependencies = Dependencies(Network(model))
    (group,) = [group for group in dependencies.groups if group.frozen is None]
    _, kept, gone, _ = group.bundles
    new = rewritten(dependencies, Change({gone: 0}, {gone: (kept, 3.0)}))
    old, found = run(model, X)[0], run(new, X)[0]
    assert new.ByteSize() < model.ByteSize()
    assert np.abs(old - found).max() <= 1e-5 * np.abs(old).max()


def test_what_is_shared_or_not_followed_is_frozen():
    graph = backbones.Graph()
    x = graph.conv_relu("x", (4, 3, 3, 3))
    weight = graph.constant(np.ones((4, 4, 1, 1)))
    y = graph.node("Conv", [graph.node("Conv", [x, weight]), weight])
    z = graph.conv_relu(y, (4, 4, 1, 1))
    z = graph.node("Softmax", [graph.conv_relu(z, (6, 4, 1, 1))], axis=1)
    dependencies = Dependencies(Network(graph.model(graph.conv(z, (5, 6, 1, 1)), SIZE)))
    reasons = {group.frozen for group in dependencies.groups}
    assert None in reasons  # the convolution between them
    for text in ("is shared", "it sets channels against each other", "output 'y'", "an input"):
        assert any(text in reason for reason in reasons if reason)


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["fastestdet_coco", "nanodet_m_416_coco", "yolov4_tiny_voc", "yolov8n_coco", "yolox_nano_coco"]
)
def test_real_detectors_twice_as_wide(shared, run, name):
    from onnxbin.model import load
    from onnxbin.prepare import prepare

    model = prepare(load(shared / "models" / f"{name}.onnx").proto)
    new, _, counts = changed(model, lambda group: [2] * len(group.bundles))
    assert counts
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).random(sizes, np.float32)
    for old, found in zip(run(model, x), run(new, x), strict=True):
        assert np.abs(old - found).max() <= 1e-4 * np.abs(old).max()
