"""The loop with training: it helps, it repeats, it takes a user's own function."""

import gc

import graphs
import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from photos import blobs

import onnxbin
from onnxbin.bridge import GraphModule
from onnxbin.images import ImageSet
from onnxbin.model import load


@pytest.fixture
def photos(tmp_path):
    return blobs(tmp_path / "photos", 12)


def weights(path):
    return {t.name: onnx.numpy_helper.to_array(t) for t in load(path).proto.graph.initializer}


def test_fine_tuning_recovers_what_binarization_lost(model, photos):
    settings = {"images": photos, "profile": "yolov4"}
    untuned = onnxbin.compress(model, finetune=False, **settings)
    tuned = onnxbin.compress(model, steps_per_layer=10, last_steps=100, **settings)
    assert sorted(record.layer for record in tuned.steps[:-1]) == ["c1", "c2"]
    assert tuned.agreement > untuned.agreement + 0.05
    assert all(record.after > record.before for record in tuned.steps)
    assert tuned.bytes == pytest.approx(untuned.bytes, abs=16)


def test_the_same_seed_gives_the_same_file(model, photos, tmp_path):
    def run(name, seed):
        settings = {
            "images": photos,
            "profile": "yolov4",
            "last_steps": 0,
            "steps_per_layer": 3,
            "seed": seed,
        }
        return onnxbin.compress(model, tmp_path / name, **settings).path.read_bytes()

    first = run("a.onnx", 1)
    assert run("b.onnx", 1) == first
    assert run("c.onnx", 2) != first


def test_a_users_own_function_trains_what_is_written(model, photos):
    """It gets the module, the images and the step; what it does to a bias is in the file."""
    seen = []

    def function(module, images, step):
        x = torch.from_numpy(images.tensor(0)[None])
        assert module({"x": x})["y"].shape == (1, 6, 24, 24)
        seen.append((step.layer.name, step.training_steps, len(images)))
        module.load_initializers({"b3": np.full(6, 7.0, np.float32)})

    result = onnxbin.compress(model, images=photos, profile="yolov4", finetune=function, steps_per_layer=9)
    assert seen == [("c2", 9, 10), ("c1", 9, 10)]
    np.testing.assert_array_equal(weights(result.path)["b3"], np.full(6, 7.0))


def test_a_decoding_convolution_is_not_trained(tmp_path, photos):
    """As in YOLOv8: a 1x1 Conv of fixed weights 0, 1, 2, ... behind the heads."""
    proto = graphs.chain([8, 8, 4], shape=(1, 3, 24, 24), outputs=("z",))
    bins = np.arange(4).reshape(1, 4, 1, 1)
    proto.graph.initializer.append(graphs.tensor("bins", bins))
    proto.graph.node.append(helper.make_node("Conv", ["y", "bins"], ["z"], "decode"))
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    settings = {"images": photos, "profile": "yolov4", "inputs": "real"}
    result = onnxbin.compress(path, **settings, last_steps=0, steps_per_layer=3)
    np.testing.assert_array_equal(weights(result.path)["bins"], bins)
    assert not np.array_equal(weights(result.path)["w2"], weights(path)["w2"])
    assert [record.layer for record in result.steps] == ["c1"]


def test_ctrl_c_in_the_middle_of_training_keeps_the_last_whole_step(model, photos):
    class Impatient(onnxbin.Listener):
        def trained(self, step, done, _loss):
            if (step.number, done) == (2, 2):
                raise KeyboardInterrupt

    result = onnxbin.compress(
        model, images=photos, profile="yolov4", last_steps=0, steps_per_layer=4, listener=Impatient()
    )
    assert not result.reached
    assert [record.layer for record in result.steps] == ["c2"]
    assert [n.name for n in onnx.load(result.path).graph.node if n.domain == "onnxbin"] == ["c2"]


@pytest.mark.parametrize("priority", ["depth", "damage"])
def test_a_run_leaves_nothing_in_memory(model, photos, priority):
    """No cycle of references: images and networks go when the run is over, not when the collector comes."""
    gc.collect()
    gc.disable()
    try:
        before = sum(type(thing) in (ImageSet, GraphModule) for thing in gc.get_objects())
        settings = {"steps_per_layer": 1, "last_steps": 1, "priority": priority}
        onnxbin.compress(model, images=photos, profile="yolov4", **settings)
        assert sum(type(thing) in (ImageSet, GraphModule) for thing in gc.get_objects()) == before
    finally:
        gc.enable()
