"""Widths by damage and time: the choice beside all there are; in runs, from the settings to the file."""

import itertools
import json

import numpy as np
import pytest
from photos import blobs

import onnxbin
from onnxbin import OnnxbinError
from onnxbin.benchmark.costs import WIDTHS, Costs, LayerCost, read_costs, width_name
from onnxbin.benchmark.machine import Machine
from onnxbin.inputs.auto import choose
from onnxbin.model import load
from onnxbin.operator import SignInput
from onnxbin.settings import Settings
from onnxbin.surgery import binary_layers

SPEEDS = {"c1": [4.0, 1.5, 1.2, 0.7, 0.5], "c2": [2.0, 1.0, 0.9, 0.4, 0.1]}
"""Milliseconds by width."""


def costs(model="0" * 64):
    names = [width_name(width) for width in WIDTHS]
    layers = tuple(
        LayerCost(name, 4.0, dict(zip(names, times, strict=True))) for name, times in SPEEDS.items()
    )
    machine = Machine("Some CPU", 4, "Linux x86_64", None, "1.31.1", "0.1.0")
    return Costs(model, machine, 2, "noise", 10.0, 1.0, layers, dict.fromkeys(names, 5.0))


def made_up_damages(seed):
    rng = np.random.default_rng(seed)
    return {name: dict(zip(WIDTHS, [0.0, *rng.uniform(0, 1, 4)], strict=True)) for name in SPEEDS}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("speedup", [1.2, 2, 3, 5])
def test_no_other_widths_in_the_time_do_less_damage(seed, speedup):
    damages = made_up_damages(seed)
    choice = choose(costs(), damages, speedup=speedup)
    assert choice.predicted == pytest.approx(costs().latency(choice.widths))
    ways = [dict(zip(SPEEDS, widths, strict=True)) for widths in itertools.product(WIDTHS, repeat=2)]
    fitting = [way for way in ways if costs().latency(way) <= 10 / speedup + 1e-9]
    least = min(sum(damages[name][width] for name, width in way.items()) for way in fitting)
    assert choice.reached
    assert sum(layer.damage for layer in choice.layers) == pytest.approx(least)


def test_out_of_reach_it_is_the_fastest_there_is():
    choice = choose(costs(), made_up_damages(0), speedup=8)
    assert not choice.reached
    assert choice.widths == {"c1": 1, "c2": 1}
    assert choice.predicted == choice.fastest == pytest.approx(1.6)


def test_layers_that_stay_real_count_with_their_own_time():
    damages = {"c2": made_up_damages(0)["c2"]}
    choice = choose(costs(), damages, speedup=1.9)
    assert choice.predicted == pytest.approx(costs().latency(choice.widths))
    assert choice.predicted <= 10 / 1.9
    assert choice.fastest == pytest.approx(1 + 4 + 0.1)


def test_without_a_speed_it_is_the_fastest_that_fits():
    damages = {name: dict(zip(WIDTHS, [0.0, 0.1, 0.2, 0.3, 0.4], strict=True)) for name in SPEEDS}
    least = 0.45

    def fits(widths):
        return sum(damages[name][width] for name, width in widths.items()) <= least

    choice = choose(costs(), damages, fits=fits)
    ways = [dict(zip(SPEEDS, widths, strict=True)) for widths in itertools.product(WIDTHS, repeat=2)]
    assert choice.predicted == pytest.approx(min(costs().latency(way) for way in ways if fits(way)))
    assert choose(costs(), damages, fits=lambda _: False).widths == {"c1": None, "c2": None}


# In a run


@pytest.fixture
def photos(tmp_path):
    return blobs(tmp_path / "photos", 6)


@pytest.fixture
def costs_file(tmp_path, model):
    path = tmp_path / "costs.json"
    costs(load(model).sha256).write(path)
    return path


def compress(model, photos, output, **settings):
    return onnxbin.compress(
        model,
        output,
        **{"images": photos, "profile": "yolov4", "finetune": False, "inputs": "auto", **settings},
    )


def bits_of(path):
    """The width of each binary layer's input, as the file has it."""
    quantizers = {name: layer.quantizer for name, layer in binary_layers(load(path).proto).items()}
    return {
        name: None if q is None else 1 if isinstance(q, SignInput) else q.bits
        for name, q in quantizers.items()
    }


def test_the_file_has_what_was_chosen(model, photos, costs_file, tmp_path):
    result = compress(model, photos, tmp_path / "a.onnx", speedup=2.5, costs=costs_file)
    chosen = json.loads((result.run / "widths.json").read_text())
    assert result.reached
    assert chosen["goal"] == 4.0
    assert chosen["predicted"] <= 4.0
    assert bits_of(result.path) == {layer["name"]: layer["bits"] for layer in chosen["layers"]}
    assert bits_of(result.path) == dict(result.steps[-1].inputs)
    assert set(bits_of(result.path).values()) != {None}
    again = compress(model, photos, tmp_path / "b.onnx", speedup=2.5, costs=costs_file)
    assert again.path.read_bytes() == result.path.read_bytes()


def test_times_are_measured_and_kept_for_resuming(model, photos, costs_file, tmp_path):
    result = compress(model, photos, tmp_path / "a.onnx", speedup=0.01)
    kept = (result.run / "costs.json").read_bytes()
    assert [layer.name for layer in read_costs(result.run / "costs.json").layers] == ["c1", "c2"]
    assert set(bits_of(result.path).values()) == {None}  # slow is easy
    onnxbin.resume(result.run, speedup=2)
    assert (result.run / "costs.json").read_bytes() == kept
    faster = onnxbin.resume(result.run, speedup=8, costs=costs_file)
    assert not faster.reached
    assert f"--speedup 8 is out of reach: {10 / 1.6:.2f} times is the most" in faster.reason
    assert set(bits_of(faster.path).values()) == {1}
    real = onnxbin.resume(result.run, inputs="real")
    assert real.reached
    assert not (result.run / "widths.json").exists()


def test_a_stopped_run_goes_on_to_the_same_bits(model, photos, costs_file, tmp_path, monkeypatch):
    class Stopping(onnxbin.Listener):
        def trained(self, step, done, loss):  # noqa: ARG002
            if step.layer is None and done == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr("onnxbin.loop.SAVED_EVERY", 0.0)
    rules = {"finetune": True, "steps_per_layer": 1, "last_steps": 4, "speedup": 3, "costs": costs_file}
    whole = compress(model, photos, tmp_path / "whole.onnx", **rules)
    stopped = compress(model, photos, tmp_path / "part.onnx", listener=Stopping(), **rules)
    costs_file.unlink()  # the run folder has what it needs
    resumed = onnxbin.resume(stopped.run)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert resumed.steps[-1].difference <= 1e-5


def test_as_fast_as_the_drop_lets(model, photos, costs_file, tmp_path):
    real = compress(model, photos, tmp_path / "r.onnx", inputs="real")
    most = 1 - real.agreement + 0.05
    result = compress(model, photos, tmp_path / "a.onnx", max_drop=most, costs=costs_file)
    assert result.steps[-1].layer is None
    assert 1 - result.agreement <= most
    widths = dict(result.steps[-1].inputs)
    assert set(widths.values()) != {None}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"inputs": "auto"}, "--inputs auto: give a goal"),
        ({"inputs": "auto", "speedup": 0.0}, "--speedup 0"),
        ({"inputs": "8", "speedup": 2.0}, "--speedup: is for --inputs auto"),
        ({"costs": "costs.json"}, "--costs: is for --inputs auto"),
    ],
)
def test_settings_that_make_no_sense(settings, said):
    with pytest.raises(OnnxbinError, match=said):
        Settings(**settings)


def test_costs_of_something_else_are_refused_before_anything_is_done(model, photos, tmp_path):
    costs().write(tmp_path / "other.json")
    with pytest.raises(OnnxbinError, match="another model"):
        compress(model, photos, tmp_path / "a.onnx", speedup=2, costs=tmp_path / "other.json")
    costs(load(model).sha256).write(tmp_path / "few.json")
    with pytest.raises(OnnxbinError, match="layer 'c3'"):
        compress(model, photos, tmp_path / "a.onnx", speedup=2, costs=tmp_path / "few.json", include=["c3"])
    assert not (tmp_path / "a.run").exists()
