"""The loop: sizes, stop rules and written files, against onnx, ONNX Runtime and the formula of the ratio."""

import itertools
import json
import os

import graphs
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from PIL import Image

import onnxbin
from onnxbin import Listener, OnnxbinError, int8_rest
from onnxbin.images import METADATA_KEY, Preprocessing
from onnxbin.model import load, metadata
from onnxbin.operator import DOMAIN
from onnxbin.plan import ORIGINAL_KEY, plan
from onnxbin.settings import Settings


@pytest.fixture
def model(tmp_path):
    """A chain of five Convs, the middle three candidates, on a 3x32x32 input."""
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([8, 64, 64, 64, 6], shape=(1, 3, 32, 32)).SerializeToString())
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        pixels = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def binary_nodes(path):
    return [node.name for node in onnx.load(path).graph.node if node.domain == DOMAIN]


def outputs(path, x, *, library):
    if library:
        session = onnxbin.session(path)
    else:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def test_deepest_layers_go_first_until_the_ratio_is_reached(model, photos):
    settings = {
        "finetune": False,
        "images": photos,
        "profile": "yolov4",
        "rest": "float32",
        "priority": "depth",
        "inputs": "real",
    }
    whole = onnxbin.compress(model, **settings)
    assert [record.layer for record in whole.steps] == ["c3", "c2", "c1"]
    assert whole.path == model.with_suffix(".binary.onnx")
    assert whole.ratio == model.stat().st_size / whole.path.stat().st_size == whole.steps[-1].ratio
    assert whole.reached
    assert plan(load(model), Settings(**settings)).largest_ratio == pytest.approx(whole.ratio, rel=1e-6)

    part = onnxbin.compress(model, until_ratio=2, **settings)
    assert part.reached
    assert binary_nodes(part.path) == ["c2", "c3"]
    assert part.steps[0].ratio < 2 <= part.ratio


def test_the_file_is_valid_and_runs_alike_with_and_without_the_library(model, photos):
    result = onnxbin.compress(model, finetune=False, images=photos, profile="yolov4", bases=2, inputs="real")
    onnx.checker.check_model(onnx.load(result.path), full_check=True)
    x = np.random.default_rng(1).normal(size=(1, 3, 32, 32)).astype(np.float32)
    (plain,), (fast,) = (outputs(result.path, x, library=library) for library in (False, True))
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-5 * np.abs(plain).max())
    assert all(record.difference <= 1e-5 for record in result.steps)


def test_agreement_is_one_minus_the_relative_change_of_the_outputs(model, photos):
    """Recomputed here from the files, on the one image that is both trained on and held back."""
    image = photos / "0.png"
    result = onnxbin.compress(model, finetune=False, images=image, profile="yolov4", exclude=["c1", "c2"])
    x = (np.asarray(Image.open(image), np.float32) / 255).transpose(2, 0, 1)[None]
    (expected,), (found,) = (outputs(path, x, library=False) for path in (model, result.path))
    change = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert result.agreement == pytest.approx(1 - change, abs=1e-4)


class Heard(Listener):
    """What a run says."""

    def __init__(self):
        self.warnings = []
        self.rejected = []
        self.forecasts = []

    def forecast(self, seconds):
        self.forecasts.append(seconds)

    def warned(self, text):
        self.warnings.append(text)

    def step_undone(self, step, record):
        self.rejected.append((record.layer, step.bases, record.drop))


def test_after_each_step_the_rest_has_a_forecast(model, photos):
    heard = Heard()
    result = onnxbin.compress(model, finetune=False, images=photos, profile="yolov4", listener=heard)
    assert len(heard.forecasts) == len(result.steps) > 2
    assert all(seconds > 0 for seconds in heard.forecasts[:-1])
    assert heard.forecasts[-1] == 0


def test_what_drops_too_much_is_undone_and_tried_again_with_two_bases(model, photos):
    settings = {
        "finetune": False,
        "images": photos,
        "profile": "yolov4",
        "priority": "depth",
        "inputs": "real",
    }
    one = onnxbin.compress(model, **settings, exclude=["c1", "c2"])
    two = onnxbin.compress(model, **settings, exclude=["c1"])
    most = 1 - (one.agreement + two.agreement) / 2
    heard = Heard()
    result = onnxbin.compress(model, **settings, max_drop=most, listener=heard)
    assert heard.rejected[0][:2] == ("c2", 1)
    assert all(drop > most for _, _, drop in heard.rejected)
    assert result.steps[0].layer == "c3"
    assert all(record.drop <= most for record in result.steps)
    assert result.reached
    # Every layer is binary with one base or two, or was tried with both.
    kept = {(record.layer, record.bases) for record in result.steps}
    tried = {(layer, bases) for layer, bases, _ in heard.rejected}
    for layer in ("c1", "c2", "c3"):
        assert {(layer, 1), (layer, 2)} <= tried or any(name == layer for name, _ in kept)
    assert sorted(binary_nodes(result.path)) == sorted(name for name, _ in kept)

    out_of_reach = onnxbin.compress(model, **settings, max_drop=1e-4, until_ratio=2)
    assert not out_of_reach.reached
    assert "3 layers are left as before: binary, they would lose more than --max-drop" in out_of_reach.reason
    assert binary_nodes(out_of_reach.path) == []


def test_a_rest_in_int8_that_is_faster_and_loses_little_is_written(model, photos, monkeypatch):
    monkeypatch.setattr(int8_rest, "is_faster", lambda *_: True)  # it need not be, of a network this small
    settings = {"finetune": False, "images": photos, "profile": "yolov4", "exclude": ["c3"]}
    result = onnxbin.compress(model, rest="static-int8", **settings)
    stored = onnxbin.compress(model, model.with_name("stored.onnx"), rest="int8", **settings)
    assert result.int8
    assert not stored.int8
    assert binary_nodes(result.path) == binary_nodes(stored.path) == ["c1", "c2"]
    types = [node.op_type for node in onnx.load(result.path).graph.node]
    assert "QuantizeLinear" in types
    assert 0 < abs(result.agreement - stored.agreement) <= int8_rest.LARGEST_LOSS
    assert json.loads((result.run / "curve.json").read_text())["result"]["int8"]
    assert metadata(onnx.load(result.path)) == metadata(onnx.load(stored.path))


@pytest.mark.parametrize("reason", ["it is slower", "it loses much"])
def test_else_the_rest_stays_float(model, photos, monkeypatch, reason):
    def made(proto, feeds):
        ruined = original(proto, feeds)
        (last,) = (node for node in ruined.graph.node if ruined.graph.output[0].name in node.output)
        last.input[1] = "huge"  # the scale of the output
        ruined.graph.initializer.append(graphs.tensor("huge", 1e3))
        return ruined

    original = int8_rest.with_int8_rest
    if reason == "it loses much":
        monkeypatch.setattr(int8_rest, "with_int8_rest", made)
    monkeypatch.setattr(int8_rest, "is_faster", lambda *_: reason == "it loses much")
    settings = {"finetune": False, "images": photos, "profile": "yolov4", "exclude": ["c3"]}
    result = onnxbin.compress(model, rest="static-int8", **settings)
    assert not result.int8
    assert "QuantizeLinear" not in {node.op_type for node in onnx.load(result.path).graph.node}


def test_the_rest_stays_float_where_int8_would_miss_the_goal(model, photos, monkeypatch):
    monkeypatch.setattr(int8_rest, "is_faster", lambda *_: True)
    settings = {"finetune": False, "images": photos, "profile": "yolov4", "rest": "static-int8"}
    stored = onnxbin.compress(model, **{**settings, "rest": "int8"})
    goal = stored.ratio * (1 - 1e-6)  # what QDQ nodes take would be too much
    result = onnxbin.compress(model, until_ratio=goal, **settings)
    assert result.reached
    assert not result.int8


def test_the_order_can_be_given(model, photos):
    settings = {"finetune": False, "images": photos, "profile": "yolov4", "inputs": "real"}
    result = onnxbin.compress(model, **settings, order=["c1", "c3"])
    assert [record.layer for record in result.steps] == ["c1", "c3"]
    assert result.reached


def test_damage_priority_takes_what_costs_least_for_each_byte(model, photos):
    """The first choice, recomputed from runs with one layer each."""
    settings = {"finetune": False, "images": photos, "profile": "yolov4", "rest": "float32", "inputs": "real"}
    scores = {}
    for name in ("c1", "c2", "c3"):
        alone = onnxbin.compress(model, **settings, order=[name])
        scores[name] = (1 - alone.agreement) ** 2 / (alone.original_bytes - alone.bytes)
    result = onnxbin.compress(model, **settings)
    assert result.steps[0].layer == min(scores, key=scores.get)
    assert [record.bases for record in result.steps] == [1, 1, 1]


def test_damage_priority_reaches_the_goal_with_as_little_damage_as_it_can(model, photos):
    """All choices of layers and bases, each in a run of its own; none that is as small agrees much better."""
    settings = {"finetune": False, "images": photos, "profile": "yolov4", "rest": "float32", "inputs": "real"}
    result = onnxbin.compress(model, **settings, until_ratio=4)
    assert result.reached
    others = [
        onnxbin.compress(model, **settings, bases=bases, order=order)
        for bases in (1, 2)
        for count in (1, 2, 3)
        for order in itertools.combinations(["c1", "c2", "c3"], count)
    ]
    small = [other for other in others if other.ratio >= 4]
    assert small
    assert result.agreement >= max(other.agreement for other in small) - 0.02


def test_a_goal_out_of_reach_is_said_first_and_the_best_is_written(model, photos):
    heard = Heard()
    result = onnxbin.compress(
        model, until_ratio=50, finetune=False, images=photos, profile="yolov4", listener=heard
    )
    assert not result.reached
    assert "--until-ratio 50 is out of reach" in heard.warnings[0]
    assert result.warnings == tuple(heard.warnings)
    assert len(binary_nodes(result.path)) == 3


def test_what_was_used_is_found_again_in_the_file(model, photos):
    result = onnxbin.compress(model, finetune=False, images=photos, mean=(1, 2, 3), std=(4, 5, 6))
    kept = metadata(onnx.load(result.path))
    assert Preprocessing.from_json(kept[METADATA_KEY]).mean == (1, 2, 3)
    assert json.loads(kept[ORIGINAL_KEY])["bytes"] == model.stat().st_size
    again = onnxbin.compress(
        result.path, result.path.with_name("again.onnx"), finetune=False, images=photos, include=["c4"]
    )
    assert again.preprocessing.origin == "recorded"
    assert again.preprocessing.preprocessing.std == (4, 5, 6)


def test_ctrl_c_writes_what_was_finished(model, photos):
    class Impatient(Listener):
        def step_started(self, step):
            if step.number == 3:
                raise KeyboardInterrupt

    result = onnxbin.compress(model, finetune=False, images=photos, profile="yolov4", listener=Impatient())
    assert not result.reached
    assert result.reason == "stopped by Ctrl-C"
    assert binary_nodes(result.path) == ["c2", "c3"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"until_ratio": 0.5}, "--until-ratio 0.5: expected more than 1"),
        ({"max_drop": 0}, "--max-drop 0: expected more than 0"),
        ({"bases": 9}, "--bases 9: expected 1 to 4"),
        ({"inputs": "3"}, "--inputs '3': expected one of real, 8, 4, 2, 1, hybrid"),
        ({"gamma": 3}, "--gamma 3: goes with --inputs hybrid, not 8"),
        ({"inputs": "hybrid", "gamma": -1}, "--gamma -1: expected a number from 0 on"),
        ({"steps_per_layer": -1}, "--steps-per-layer -1: expected at least 0"),
        ({"priority": "width"}, "--priority 'width': expected one of depth, damage"),
        ({"budget": 60}, "--budget: is shared out over the built-in fine-tuning"),
        ({"order": ["c0"]}, "order: 'c0' cannot become binary: first conv"),
        ({"order": ["c9"]}, "order: 'c9' is no convolution"),
        ({"images": "nowhere"}, "nowhere: no such file or folder"),
        ({"exclude": ["c"]}, "none of its 5 convolutions can be binarized"),
    ],
)
def test_bad_settings_are_refused_with_nothing_left_behind(model, settings, message):
    before = sorted(model.parent.iterdir())
    with pytest.raises(OnnxbinError, match=message):
        onnxbin.compress(model, finetune=False, **settings)
    assert sorted(model.parent.iterdir()) == before


def test_the_original_is_never_overwritten(model):
    with pytest.raises(OnnxbinError, match="is the model itself"):
        onnxbin.compress(model, model, finetune=False)


def test_a_model_without_convolutions_is_refused(tmp_path):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.model([node], []).SerializeToString())
    with pytest.raises(OnnxbinError, match="no convolution"):
        onnxbin.compress(path, finetune=False)


def test_without_images_it_renders_its_own(model):
    result = onnxbin.compress(model, until_ratio=1.2, finetune=False, profile="yolov4")
    assert result.reached
    assert 0 < result.agreement < 1


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "reachable"),
    [
        ("fastestdet_coco", False),
        ("nanodet_m_416_coco", True),
        ("ssd_mobilenet_v1_075_coco", True),
        ("yolov4_tiny_voc", True),
        ("yolov8n_coco", True),
        ("yolox_nano_coco", True),
    ],
)
def test_real_detectors_reach_eight_or_say_what_stopped_them(shared, tmp_path, name, reachable):
    path = shared / "models" / f"{name}.onnx"
    result = onnxbin.compress(path, tmp_path / "small.onnx", until_ratio=8, finetune=False, priority="depth")
    assert result.reached is reachable
    assert (result.ratio >= 8) is reachable
    assert bool(result.warnings) is not reachable


def test_the_models_own_external_data_is_never_overwritten(tmp_path, photos):
    path = tmp_path / "model.onnx"
    proto = graphs.chain([8, 64, 64, 6], shape=(1, 3, 32, 32))
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    before = (tmp_path / "weights.bin").read_bytes()
    with pytest.raises(OnnxbinError, match="a part of it"):
        onnxbin.compress(path, tmp_path / "weights.bin", finetune=False, images=photos, profile="yolov4")
    assert (tmp_path / "weights.bin").read_bytes() == before


def test_links_are_followed_and_devices_refused(model, photos, tmp_path):
    settings = {"finetune": False, "images": photos, "profile": "yolov4"}
    link = tmp_path / "link.onnx"
    link.symlink_to(tmp_path / "behind.onnx")
    onnxbin.compress(model, link, **settings)
    assert link.is_symlink()
    assert binary_nodes(tmp_path / "behind.onnx")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OnnxbinError, match="not a regular file"):
        onnxbin.compress(model, tmp_path / "pipe", **settings)


def test_an_agreement_that_is_no_number_satisfies_nothing(tmp_path, photos):
    """The outputs become NaN when a layer is binarized: a square root of what was positive."""
    proto = graphs.chain([8, 16, 6], shape=(1, 3, 32, 32), outputs=("z",))
    squares = [
        helper.make_node("Mul", ["y", "y"], ["p"]),
        helper.make_node("Sub", ["p", "far"], ["d"]),
        helper.make_node("Sqrt", ["d"], ["z"]),
    ]
    proto.graph.node.extend(squares)
    # Far enough above zero for the original at every place, and for nothing else.
    session = onnxruntime.InferenceSession(
        graphs.chain([8, 16, 6], shape=(1, 3, 32, 32)).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    tensors = [np.asarray(Image.open(p), np.float32).transpose(2, 0, 1)[None] / 255 for p in photos.iterdir()]
    least = np.min([np.square(session.run(None, {"x": t})[0]) for t in tensors], axis=0)
    proto.graph.initializer.append(graphs.tensor("far", 0.999 * least))
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    settings = {"finetune": False, "images": photos, "profile": "yolov4", "rest": "float32", "inputs": "real"}
    result = onnxbin.compress(path, **settings, max_drop=1)
    assert all(record.bases == 2 for record in result.steps)
    untamed = onnxbin.compress(path, **settings)
    assert json.loads(untamed.to_json())["agreement"] is None


def test_a_failure_later_on_keeps_what_was_reached(model, photos):
    class Fragile(Listener):
        def step_started(self, step):
            if step.number == 2:
                raise RuntimeError("no more memory\nat all")

    settings = {"finetune": False, "images": photos, "profile": "yolov4", "priority": "depth"}
    result = onnxbin.compress(model, **settings, listener=Fragile())
    assert result.reason == "stopped at c2: RuntimeError: no more memory"
    assert not result.reached
    assert binary_nodes(result.path) == ["c3"]


def test_cancelling_sums_raise_no_false_alarm(tmp_path):
    """A flat image and as many plus as minus signs: outputs are rounding noise, in every way of computing."""
    proto = graphs.chain([64, 64, 6], kernel=1, shape=(1, 3, 32, 32))
    signs = np.where(np.arange(64) % 2, 1.0, -1.0) * np.random.default_rng(0).uniform(0.9, 1.1, (64, 64))
    proto.graph.initializer[0].CopyFrom(graphs.tensor("w0", np.ones((64, 3, 1, 1))))
    proto.graph.initializer[1].CopyFrom(graphs.tensor("b0", np.full(64, 0.1)))
    proto.graph.initializer[2].CopyFrom(graphs.tensor("w1", signs[..., None, None]))
    proto.graph.initializer[3].CopyFrom(graphs.tensor("b1", np.zeros(64)))
    path, image = tmp_path / "model.onnx", tmp_path / "white.png"
    path.write_bytes(proto.SerializeToString())
    Image.new("RGB", (32, 32), "white").save(image)
    result = onnxbin.compress(path, finetune=False, images=image, profile="yolov4")
    assert binary_nodes(result.path) == ["c1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda g: g.input.append(helper.make_tensor_value_info("size", 1, [1, 2])),
            "wants more than an image",
        ),
        (lambda g: setattr(g.input[0].type.tensor_type.shape.dim[0], "dim_value", 2), "ONNX Runtime|fails"),
        (lambda g: setattr(g.output[0].type.tensor_type.shape.dim[2], "dim_value", 99), "ONNX checker"),
        (lambda g: setattr(g.node[0], "op_type", "Konv"), "not a valid ONNX model"),
    ],
)
def test_models_that_cannot_be_fed_are_refused_before_the_work(model, photos, change, message):
    proto = onnx.load(model)
    change(proto.graph)
    model.write_bytes(proto.SerializeToString())
    with pytest.raises(OnnxbinError, match=message):
        onnxbin.compress(model, finetune=False, images=photos, profile="yolov4")
    assert not model.with_suffix(".binary.onnx").exists()


def test_stale_notes_on_shapes_do_no_harm(model, photos):
    proto = onnx.load(model)
    proto.graph.value_info.append(helper.make_tensor_value_info("t0", 1, [4, 9, 9, 9]))
    model.write_bytes(proto.SerializeToString())
    result = onnxbin.compress(model, finetune=False, images=photos, profile="yolov4")
    assert len(binary_nodes(result.path)) == 3
