"""Detectors that end in non-maximum suppression or control flow: trained up to there, and intact behind."""

import numpy as np
import onnx
import pytest
import torch
from bridge.onnx_models import make, random, run_ort, tensors
from onnx import TensorProto, helper, numpy_helper
from photos import blobs
from PIL import Image

import onnxbin
from onnxbin.agreement import with_outputs
from onnxbin.bridge import GraphModule, targets
from onnxbin.operator import DOMAIN

CUT = ["boxes", "by_class", "score_table", "table"]  # the last tensors before the selection
CONSTANTS = {
    "most": np.array([5], np.int64),
    "overlap": np.array([0.5], np.float32),
    "floor": np.array([0.3], np.float32),
    "class_and_box": np.array([1, 2], np.int64),
    "box_alone": np.array([2], np.int64),
    "first": np.array([0], np.int64),
    "none": np.array(0, np.int64),
    "no_boxes": np.zeros((0, 4), np.float32),
    "no_scores": np.zeros(0, np.float32),
}


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def results(boxes, scores):
    """The declarations of what a detector or a branch gives: [n, 4] and [n]."""
    return [
        helper.make_tensor_value_info(boxes, TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info(scores, TensorProto.FLOAT, ["n"]),
    ]


SUPPRESSION = [
    node("Transpose", "scores", "by_class", perm=[0, 2, 1]),
    node("Squeeze", "boxes first", "table"),
    node("Squeeze", "by_class first", "score_table"),
    node("NonMaxSuppression", "boxes by_class most overlap floor", "kept", name="nms"),
    node("Gather", "kept class_and_box", "class_box", axis=1),
    node("Gather", "kept box_alone", "box", axis=1),
]
SELECTION = [node("GatherND", "table box", "found_boxes"), node("GatherND", "score_table class_box", "found")]
BRANCHES = [  # what torchvision's exports do: nothing found is a branch of its own
    node("Size", "kept", "count"),
    node("Equal", "count none", "nothing"),
    node(
        "If",
        "nothing",
        "found_boxes found",
        name="anything",
        then_branch=helper.make_graph(
            [node("Identity", "no_boxes", "b0"), node("Identity", "no_scores", "s0")],
            "nothing",
            [],
            results("b0", "s0"),
        ),
        else_branch=helper.make_graph(
            [node("GatherND", "table box", "b1"), node("GatherND", "score_table class_box", "s1")],
            "something",
            [],
            results("b1", "s1"),
        ),
    ),
]
ENDINGS = {"selection": [*SUPPRESSION, *SELECTION], "If": [*SUPPRESSION, *BRANCHES]}


def with_ending(detector, ending):
    """The detector, which gives boxes [1, n, 4] and scores [1, n, classes], with an ending behind them."""
    detector.graph.node.extend(ending)
    detector.graph.initializer.extend(numpy_helper.from_array(value, n) for n, value in CONSTANTS.items())
    del detector.graph.output[:]
    detector.graph.output.extend(results("found_boxes", "found"))
    return detector


def ending_alone(ending, boxes, scores):
    return with_ending(make([], {"boxes": boxes.shape, "scores": scores.shape}, []), ending)


def small_ssd():
    """Five convolutions, two of them heads for two boxes on each of 6 x 6 cells, added to priors."""
    rng = np.random.default_rng(0)
    convolutions = {  # name: (source, outputs, inputs, stride)
        "c0": ("x", 8, 3, 2),
        "c1": ("r0", 16, 8, 2),
        "c2": ("r1", 16, 16, 1),
        "loc": ("r2", 2 * 4, 16, 1),
        "conf": ("r2", 2 * 3, 16, 1),
    }
    nodes, weights = [], {}
    for name, (source, m, c, stride) in convolutions.items():
        weights[f"{name}.w"] = rng.normal(0, (c * 9) ** -0.5, (m, c, 3, 3)).astype(np.float32)
        weights[f"{name}.b"] = rng.normal(0, 0.1, m).astype(np.float32)
        geometry = {"pads": [1] * 4, "strides": [stride] * 2}
        nodes.append(node("Conv", f"{source} {name}.w {name}.b", name, name=name, **geometry))
        if name.startswith("c") and name != "conf":
            nodes.append(node("Relu", name, f"r{name[1]}"))
    centers = rng.uniform(0.2, 0.8, (1, 72, 2))
    weights |= {
        "priors": np.concatenate([centers - 0.2, centers + 0.2], 2).astype(np.float32),
        "variance": np.float32(0.1),
        "as_boxes": np.array([1, -1, 4], np.int64),
        "as_classes": np.array([1, -1, 3], np.int64),
    }
    nodes += [
        node("Transpose", "loc", "loc_last", perm=[0, 2, 3, 1]),
        node("Reshape", "loc_last as_boxes", "shifts"),
        node("Mul", "shifts variance", "moves"),
        node("Add", "priors moves", "boxes"),
        node("Transpose", "conf", "conf_last", perm=[0, 2, 3, 1]),
        node("Reshape", "conf_last as_classes", "logits"),
        node("Sigmoid", "logits", "scores"),
    ]
    return make(nodes, {"x": [1, 3, 24, 24]}, ["boxes", "scores"], weights)


@pytest.fixture
def photos(tmp_path):
    return blobs(tmp_path / "photos", 4)


def assert_trained_and_intact(path, compressed, feed, ending):
    """Layers are binary, other weights have moved; behind the cut, boxes and scores give what they gave."""
    original, compressed = onnx.load(path), onnx.load(compressed)
    assert [n.name for n in compressed.graph.node if n.domain == DOMAIN]
    before, after = (
        {t.name: numpy_helper.to_array(t) for t in m.graph.initializer} for m in (original, compressed)
    )
    floats = [
        n for n in before.keys() & after.keys() if before[n].dtype == np.float32 and before[n].ndim == 4
    ]
    assert floats
    assert not any(np.array_equal(before[name], after[name]) for name in floats)

    found = run_ort(with_outputs(compressed, ["boxes", "scores"]), feed)
    alone = ending_alone(ending, found["boxes"], found["scores"])
    expected = run_ort(alone, {name: found[name] for name in ("boxes", "scores")})
    assert 0 < len(expected["found"]) < found["scores"].size
    for name, want in expected.items():
        np.testing.assert_array_equal(found[name], want)


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_bridge_equals_onnx_runtime_before_the_cut_and_behind_it(ending):
    model = with_ending(small_ssd(), ending)
    cut = targets(model)
    assert sorted(cut) == CUT
    x = random(1, 3, 24, 24)
    expected = run_ort(with_outputs(model, cut), {"x": x})
    assert len(expected["found"]) > 0
    before_the_cut = GraphModule(model, cut)
    values = before_the_cut(tensors({"x": x}))
    assert all(value.requires_grad for value in values.values())
    with torch.no_grad():
        values |= GraphModule(model)(tensors({"x": x}))
    for name, want in expected.items():
        np.testing.assert_allclose(values[name].detach().numpy(), want, atol=1e-5)


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_compress_trains_up_to_the_cut_and_keeps_what_follows(ending, photos, tmp_path):
    path = tmp_path / "ssd.onnx"
    onnx.save(with_ending(small_ssd(), ending), path)
    result = onnxbin.compress(path, images=photos, profile="yolov4", last_steps=0, steps_per_layer=2)
    assert_trained_and_intact(path, result.path, {"x": random(1, 3, 24, 24)}, ending)


@pytest.mark.shared
def test_a_real_ssd_with_suppression_behind_it(shared, tmp_path):
    model = onnx.load(shared / "models" / "ssd_mobilenet_v1_075_coco.onnx")
    model.opset_import[0].version = 13  # Squeeze as it is now; nothing that the detector has differs
    ending = ENDINGS["selection"]
    path = tmp_path / "ssd.onnx"
    onnx.save(with_ending(model, ending), path)

    cut = targets(model)
    assert sorted(cut) == CUT
    photos = tmp_path / "photos.txt"
    photo, *_ = sorted((shared / "data" / "pedestrians" / "images").iterdir())
    photos.write_text(f"{photo}\n")
    image = np.asarray(Image.open(photo).convert("RGB").resize((300, 300)), np.float32)
    feed = {"image": (image.transpose(2, 0, 1)[None] - 128) / 128}
    expected = run_ort(with_outputs(model, cut), feed)
    with torch.no_grad():
        found = GraphModule(model, cut)(tensors(feed))
    for name in cut:
        assert np.abs(found[name].numpy() - expected[name]).max() <= 1e-4 * np.abs(expected[name]).max()

    result = onnxbin.compress(path, images=photos, last_steps=0, steps_per_layer=1, until_ratio=1.01)
    assert_trained_and_intact(path, result.path, feed, ending)
