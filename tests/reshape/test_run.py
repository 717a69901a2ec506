"""Reshapings that stop and go on: the same bits as if they had not, or a word on what is wrong."""

import backbones
import pytest
from photos import noise

from onnxbin import OnnxbinError
from onnxbin.reshape import Listener, reshape, run


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(backbones.resnet((8, 16), size=32).SerializeToString())
    return path


@pytest.fixture
def photos(tmp_path):
    return noise(tmp_path / "photos", 6, 32)


class Stopping(Listener):
    """Raises Ctrl-C after so many steps, of all phases together."""

    def __init__(self, steps):
        self._left = steps

    def trained(self, done, total, loss):  # noqa: ARG002
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


def reshaped(model, photos, output, **options):
    return reshape(model, output, images=photos, profile="yolov4", steps=4, batch_size=2, **options)


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(model, photos, tmp_path, monkeypatch, stop):
    monkeypatch.setattr(run, "SAVED_EVERY", 0.0)
    whole = reshaped(model, photos, tmp_path / "whole.onnx", prune=0.3)
    stopped = reshaped(model, photos, tmp_path / "part.onnx", prune=0.3, listener=Stopping(stop + 1))
    assert stopped.stopped
    assert stopped.resumable
    assert stopped.path.read_bytes() != whole.path.read_bytes()
    with pytest.raises(OnnxbinError, match="was stopped: go on with it by --resume"):
        reshaped(model, photos, tmp_path / "part.onnx", prune=0.3)
    resumed = reshaped(model, photos, tmp_path / "part.onnx", prune=0.3, resume=True)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert resumed.phases == whole.phases
    assert resumed.dropped == whole.dropped
    assert resumed.left_alone == whole.left_alone
    assert not resumed.stopped
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "part.onnx", "photos", "whole.onnx"]


def test_stopped_before_anything_was_saved(model, photos, tmp_path):
    stopped = reshaped(model, photos, tmp_path / "part.onnx", listener=Stopping(2))
    assert (stopped.stopped, stopped.resumable) == (True, False)
    assert [name for name, _ in stopped.phases] == ["reshaped", "trained"]
    with pytest.raises(OnnxbinError, match="nothing was stopped that --resume could go on with"):
        reshaped(model, photos, tmp_path / "part.onnx", resume=True)


def test_what_it_goes_on_with_is_what_it_was_begun_with(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SAVED_EVERY", 0.0)
    reshaped(model, photos, tmp_path / "part.onnx", listener=Stopping(3))
    for change, name in ({"factor": 1.5}, "--factor"), ({"seed": 1}, "--seed"), ({"std": (1, 1, 1)}, "pre"):
        with pytest.raises(OnnxbinError, match=f"was begun with another {name}"):
            reshaped(model, photos, tmp_path / "part.onnx", resume=True, **change)
    (photos / "0.png").rename(photos / "a.png")
    with pytest.raises(OnnxbinError, match="was begun with another set of images"):
        reshaped(model, photos, tmp_path / "part.onnx", resume=True)
    with pytest.raises(OnnxbinError, match="there is to be none"):
        reshaped(model, photos, tmp_path / "part.onnx", resume=True, finetune=False)
    checkpoint = tmp_path / "part.reshape.npz"
    content = checkpoint.read_bytes()
    for damage in (content[: len(content) // 2], content.replace(b'"phases"', b'"phrases"'), b""):
        checkpoint.write_bytes(damage)
        with pytest.raises(OnnxbinError, match=r"part.reshape.npz: is damaged.*; delete it"):
            reshaped(model, photos, tmp_path / "part.onnx", resume=True)
