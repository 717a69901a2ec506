"""Several processes that share a batch compute what one computes with the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from photos import noise

import onnxbin
from onnxbin import OnnxbinError
from onnxbin.bridge.engine import Engine


@pytest.fixture
def photos(tmp_path):
    return noise(tmp_path / "photos", 9, 24)


def weights(path):
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def test_two_processes_give_what_one_gives_with_the_same_batch(model, photos, tmp_path):
    """Through torchrun and the command line; float32 sums in another order may differ in their last bits."""
    options = ["--images", str(photos), "--profile", "yolov4", "--batch-size", "4", "--inputs", "real"]
    options += ["--steps-per-layer", "3", "--last-steps", "0", "--rest", "float32"]
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd()}:{Path.cwd()}/cli"}
    together = tmp_path / "together.onnx"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "onnxbin_cli", "compress", str(model), "-o", str(together), *options]
    done = subprocess.run(
        [*launcher, *command], check=False, capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("every candidate layer is binary") == 1  # one of the two speaks
    alone = onnxbin.compress(
        model,
        tmp_path / "alone.onnx",
        images=photos,
        profile="yolov4",
        inputs="real",
        rest="float32",
        last_steps=0,
        steps_per_layer=3,
        batch_size=4,
    )
    found, expected = weights(together), weights(alone.path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value.dtype == np.uint8:  # packed signs
            assert np.unpackbits(found[name] ^ value).mean() < 0.01
        else:
            np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-3 * np.abs(value).max())
    assert not np.array_equal(expected["w0"], weights(model)["w0"])


def test_a_device_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(OnnxbinError, match="--device cuda: PyTorch finds no CUDA device"):
        Engine("cuda")
    assert Engine("auto").device.type == "cpu"


def test_work_is_done_once_and_in_order():
    engine = Engine("cpu")
    assert engine.map(lambda n: n * n, range(5)) == [0, 1, 4, 9, 16]
    assert list(engine.share(range(3))) == [0, 1, 2]
    assert engine.agree("mine") == "mine"
