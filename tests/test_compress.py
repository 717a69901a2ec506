"""The loop: sizes, stop rules and written files, against onnx, ONNX Runtime and the formula of the ratio."""

import json

import graphs
import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import onnxbin
from onnxbin import Listener, OnnxbinError
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
    whole = onnxbin.compress(model, finetune=False, images=photos, profile="yolov4")
    assert [record.layer for record in whole.steps] == ["c3", "c2", "c1"]
    assert whole.path == model.with_suffix(".binary.onnx")
    assert whole.ratio == model.stat().st_size / whole.path.stat().st_size == whole.steps[-1].ratio
    assert whole.reached
    settings = Settings(profile="yolov4")
    assert plan(load(model), settings).largest_ratio == pytest.approx(whole.ratio, rel=1e-6)

    part = onnxbin.compress(model, until_ratio=2, finetune=False, images=photos, profile="yolov4")
    assert part.reached
    assert binary_nodes(part.path) == ["c2", "c3"]
    assert part.steps[0].ratio < 2 <= part.ratio


def test_the_file_is_valid_and_runs_alike_with_and_without_the_library(model, photos):
    result = onnxbin.compress(model, finetune=False, images=photos, profile="yolov4", bases=2)
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


def test_max_drop_keeps_what_satisfied_it(model, photos):
    settings = {"finetune": False, "images": photos, "profile": "yolov4"}
    one = onnxbin.compress(model, **settings, exclude=["c1", "c2"])
    two = onnxbin.compress(model, **settings, exclude=["c1"])
    between = 1 - (one.agreement + two.agreement) / 2
    result = onnxbin.compress(model, **settings, max_drop=between)
    assert binary_nodes(result.path) == ["c3"]
    assert result.agreement == pytest.approx(one.agreement, abs=1e-6)
    assert result.reached
    both = onnxbin.compress(model, **settings, max_drop=between, until_ratio=2)
    assert not both.reached
    assert "--max-drop" in both.reason
    assert binary_nodes(both.path) == ["c3"]


def test_a_goal_out_of_reach_is_said_first_and_the_best_is_written(model, photos):
    said = []

    class Heard(Listener):
        def warned(self, text):
            said.append(text)

    result = onnxbin.compress(
        model, until_ratio=50, finetune=False, images=photos, profile="yolov4", listener=Heard()
    )
    assert not result.reached
    assert "--until-ratio 50 is out of reach" in said[0]
    assert result.warnings == tuple(said)
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
        def layer_started(self, step):
            if step.number == 3:
                raise KeyboardInterrupt

    result = onnxbin.compress(
        model, until_ratio=7.5, finetune=False, images=photos, profile="yolov4", listener=Impatient()
    )
    assert not result.reached
    assert result.reason == "stopped by Ctrl-C"
    assert binary_nodes(result.path) == ["c2", "c3"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"until_ratio": 0.5}, "--until-ratio 0.5: expected more than 1"),
        ({"max_drop": 0}, "--max-drop 0: expected more than 0"),
        ({"bases": 9}, "--bases 9: expected 1 to 4"),
        ({"steps_per_layer": 0}, "--steps-per-layer 0: expected at least 1"),
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
        ("ssd_mobilenet_v1_075_coco", False),
        ("yolov4_tiny_voc", True),
        ("yolov8n_coco", True),
        ("yolox_nano_coco", True),
    ],
)
def test_real_detectors_reach_eight_or_say_what_stopped_them(shared, tmp_path, name, reachable):
    path = shared / "models" / f"{name}.onnx"
    result = onnxbin.compress(path, tmp_path / "small.onnx", until_ratio=8, finetune=False)
    assert result.reached is reachable
    assert (result.ratio >= 8) is reachable
    assert bool(result.warnings) is not reachable
