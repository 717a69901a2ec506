"""The last phase of a run: its training, the widths of inputs, what undoes it, going on from before it."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from photos import blobs
from PIL import Image
from short_runs import compress

import onnxbin
from onnxbin import OnnxbinError, loop
from onnxbin.model import load
from onnxbin.operator import QuantInput, SignInput
from onnxbin.plan import plan
from onnxbin.run_folder import RunFolder
from onnxbin.settings import Settings
from onnxbin.surgery import binary_layers

WIDTHS = ["8", "4", "2", "1"]


@pytest.fixture
def photos(tmp_path):
    return blobs(tmp_path / "photos", 12)


def bits_of(path):
    """The width of each binary layer's input, as the file has it."""
    quantizers = {name: layer.quantizer for name, layer in binary_layers(load(path).proto).items()}
    return {
        name: None if q is None else 1 if isinstance(q, SignInput) else q.bits
        for name, q in quantizers.items()
    }


def outputs(path, x):
    """In the stock runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


class Stopping(onnxbin.Listener):
    """Ctrl-C after a training step of the last phase."""

    def __init__(self, done):
        self._done = done

    def trained(self, step, done, loss):  # noqa: ARG002
        if step.layer is None and done == self._done:
            raise KeyboardInterrupt


def test_the_last_phase_is_a_step_that_binarizes_nothing(model, photos, tmp_path):
    result = compress(model, photos, tmp_path / "small.onnx", last_steps=6)
    *layers, last = result.steps
    assert [record.layer for record in layers] == ["c2", "c1"]
    assert (last.layer, last.shape, last.bases, last.training_steps) == (None, (), 0, 6)
    assert last.share == layers[-1].share
    assert last.inputs == {"c1": None, "c2": None}
    folder = RunFolder.open(result.run)
    assert folder.records() == list(result.steps)
    assert folder.model_path(3).read_bytes() == result.path.read_bytes()
    assert folder.model_path(2).read_bytes() != result.path.read_bytes()


@pytest.mark.parametrize("inputs", WIDTHS)
@pytest.mark.parametrize("finetune", [False, True])
def test_every_binary_layer_gets_the_width(model, photos, tmp_path, inputs, finetune):
    settings = {"inputs": inputs, "finetune": finetune, "last_steps": 5 * finetune, "rest": "float32"}
    result = compress(model, photos, tmp_path / "small.onnx", **settings)
    assert bits_of(result.path) == {"c1": int(inputs), "c2": int(inputs)} == result.steps[-1].inputs
    assert bits_of(RunFolder.open(result.run).model_path(2)) == {"c1": None, "c2": None}
    assert result.steps[-1].difference <= 1e-5
    onnx.checker.check_model(onnx.load(result.path), full_check=True)
    planned = plan(load(model), Settings(**settings, images=photos, profile="yolov4"))
    assert planned.largest_ratio == pytest.approx(result.ratio, rel=2e-3)


def test_calibrated_inputs_cost_the_less_the_wider_they_are(model, photos, tmp_path):
    x = (np.asarray(Image.open(photos / "0.png"), np.float32) / 255).transpose(2, 0, 1)[None]
    real, *others = (
        outputs(compress(model, photos, tmp_path / "x.onnx", inputs=inputs, finetune=False).path, x)
        for inputs in ("real", *WIDTHS)
    )
    changes = [np.linalg.norm(other - real) for other in others]
    assert changes == sorted(changes)
    assert changes[0] < 0.1 * changes[-1]


@pytest.mark.parametrize("inputs", ["real", "4", "1"])
@pytest.mark.parametrize("saved_every", [0.0, 1e9])
def test_it_goes_on_to_the_same_bits(model, photos, tmp_path, monkeypatch, inputs, saved_every):
    monkeypatch.setattr(loop, "SAVED_EVERY", saved_every)
    rules = {"inputs": inputs, "last_steps": 5}
    whole = compress(model, photos, tmp_path / "whole.onnx", **rules)
    stopped = compress(model, photos, tmp_path / "part.onnx", listener=Stopping(3), **rules)
    assert stopped.reason == "stopped by Ctrl-C"
    assert len(stopped.steps) == 2
    resumed = onnxbin.resume(stopped.run)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert [record.after for record in resumed.steps] == [record.after for record in whole.steps]
    # Once over, it is not done again.
    seconds = onnxbin.resume(stopped.run, listener=Stopping(1))
    assert seconds.reached
    assert seconds.path.read_bytes() == whole.path.read_bytes()


def test_a_finished_run_takes_other_inputs(model, photos, tmp_path):
    """With the same result as if it had been begun with them; the layers' turns are not repeated."""
    whole = compress(model, photos, tmp_path / "whole.onnx", inputs="4", last_steps=5)
    other = compress(model, photos, tmp_path / "other.onnx", inputs="1", last_steps=2)
    again = onnxbin.resume(other.run, inputs="4", last_steps=5)
    assert again.path.read_bytes() == whole.path.read_bytes()
    assert [record.after for record in again.steps] == [record.after for record in whole.steps]
    content = json.loads((other.run / "run.json").read_text())
    assert (content["settings"]["inputs"], content["settings"]["last_steps"]) == ("4", 5)
    # And writes elsewhere, if asked to.
    elsewhere = onnxbin.resume(other.run, tmp_path / "elsewhere.onnx", inputs="8")
    assert elsewhere.path == tmp_path / "elsewhere.onnx"
    assert bits_of(elsewhere.path) == {"c1": 8, "c2": 8}
    assert again.path.read_bytes() == whole.path.read_bytes()
    # In the middle of another last phase, the one that is under way is given up.
    onnxbin.resume(other.run, inputs="2", listener=Stopping(2))
    assert onnxbin.resume(other.run, inputs="4").path.read_bytes() == whole.path.read_bytes()


def test_another_ratio_goes_on_from_before_it(model, photos, tmp_path):
    rules = {"rest": "float32", "inputs": "8", "last_steps": 2}
    whole = compress(model, photos, tmp_path / "whole.onnx", until_ratio=2, **rules)
    part = compress(model, photos, tmp_path / "part.onnx", until_ratio=1.3, **rules)
    assert [record.layer for record in part.steps] == ["c2", None]
    further = onnxbin.resume(part.run, until_ratio=2)
    assert [record.layer for record in further.steps] == ["c2", "c1", None]
    assert further.path.read_bytes() == whole.path.read_bytes()
    with pytest.raises(OnnxbinError, match="the run has already reached"):
        onnxbin.resume(part.run, until_ratio=1.3)


class Heard(onnxbin.Listener):
    def __init__(self):
        self.undone = []

    def step_undone(self, step, record):
        self.undone.append((step.layer, record.drop))


def test_it_is_undone_where_it_loses_too_much(model, photos, tmp_path):
    rules = {"finetune": False, "include": ["c3"], "order": ["c3"]}
    real = compress(model, photos, tmp_path / "real.onnx", **rules)
    binary = compress(model, photos, tmp_path / "binary.onnx", inputs="1", **rules)
    most = 1 - (real.agreement + binary.agreement) / 2
    heard = Heard()
    result = compress(model, photos, tmp_path / "x.onnx", inputs="1", max_drop=most, listener=heard, **rules)
    ((layer, drop),) = heard.undone
    assert layer is None
    assert drop > most
    assert not result.reached
    assert "inputs stay real: --inputs 1 would lose more than --max-drop" in result.reason
    assert result.path.read_bytes() == real.path.read_bytes()
    assert onnxbin.resume(result.run).reason == result.reason
    looser = onnxbin.resume(result.run, max_drop=1.0)
    assert looser.reached
    assert looser.path.read_bytes() == binary.path.read_bytes()


def test_a_run_that_nothing_is_left_for_gets_it_too(model, photos, tmp_path):
    rules = {"images": photos, "profile": "yolov4", "finetune": False}
    first = onnxbin.compress(model, tmp_path / "a.onnx", **rules, order=["c2"])
    most = (2 - first.agreement - onnxbin.compress(model, tmp_path / "b.onnx", **rules).agreement) / 2
    result = onnxbin.compress(model, tmp_path / "c.onnx", **rules, max_drop=most, inputs="8", bases=4)
    assert result.steps[-1].layer is None
    assert set(result.steps[-1].inputs) == {record.layer for record in result.steps[:-1]}


def test_a_budget_leaves_room_for_it(model, photos, tmp_path):
    result = onnxbin.compress(
        model, tmp_path / "a.onnx", images=photos, profile="yolov4", budget=6, inputs="8"
    )
    assert [record.layer for record in result.steps] == ["c2", "c1", None]
    assert result.steps[-1].training_steps > 0
    assert bits_of(result.path) == {"c1": 8, "c2": 8}


def test_the_same_network_is_seen_with_the_library(model, photos, tmp_path):
    result = compress(model, photos, tmp_path / "small.onnx", inputs="8", last_steps=3)
    assert all(isinstance(x.quantizer, QuantInput) for x in binary_layers(load(result.path).proto).values())
    x = np.random.default_rng(1).uniform(0, 1, (1, 3, 24, 24)).astype(np.float32)
    fast, plain = onnxbin.session(result.path).run(None, {"x": x})[0], outputs(result.path, x)
    # A q may flip where sums of the layer before differ in the last bit.
    assert np.linalg.norm(fast - plain) < 1e-2 * np.linalg.norm(plain)
