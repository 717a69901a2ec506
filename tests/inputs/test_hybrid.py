"""The choice of Hybrid Binary Networks: its parts against their formulas, and the whole in a run."""

import itertools
import json

import graphs
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from photos import noise

import onnxbin
from onnxbin.inputs.hybrid import binarization_error, high_group
from onnxbin.model import load
from onnxbin.operator import SignInput
from onnxbin.surgery import binary_layers
from onnxbin_cli.group import cli


def test_the_error_of_known_distributions():
    """Of values of mean 0 and variance 1: sqrt(2 - 2 mean|x|)."""
    rng = np.random.default_rng(0)
    normal = rng.normal(3, 5, (100_000, 2)).astype(np.float32)
    assert binarization_error(normal) == pytest.approx(np.sqrt(2 - 2 * np.sqrt(2 / np.pi)), abs=5e-3)
    uniform = rng.uniform(-7, 1, (100_000, 2)).astype(np.float32)
    assert binarization_error(uniform) == pytest.approx(np.sqrt(2 - np.sqrt(3)), abs=5e-3)
    two = np.where(rng.uniform(size=(1000, 3)) < 0.5, -2, 9).astype(np.float32)
    assert binarization_error(two) == pytest.approx(0, abs=0.1)


def test_channels_that_do_not_vary_cost_nothing():
    rng = np.random.default_rng(0)
    varying = rng.normal(size=(1000, 2)).astype(np.float32)
    constant = np.full((1000, 2), 0.3, np.float32)
    alone, both = binarization_error(varying), binarization_error(np.hstack([varying, constant]))
    assert both == pytest.approx(alone / np.sqrt(2), rel=1e-6)
    assert binarization_error(constant) == 0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8))
def test_the_groups_are_the_best_of_all_divisions(scores):
    found = high_group(scores)
    if len(set(scores)) == 1:
        assert not any(found)
        return

    def cost(groups):
        return sum(np.square(np.subtract(group, np.mean(group))).sum() for group in groups if group)

    def divided(mask):
        return [[s for s, m in zip(scores, mask, strict=True) if m == side] for side in (False, True)]

    masks = itertools.product([False, True], repeat=len(scores))
    best = min(cost(divided(mask)) for mask in masks if any(mask) and not all(mask))
    assert cost(divided(found)) == pytest.approx(best, abs=1e-9)
    low, high = divided(found)
    assert max(low) < min(high)


@pytest.fixture
def model(tmp_path):
    """c2 has a fourth of the work of the others; c5, the last one, can be binary if asked for."""
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([16, 16, 4, 16, 16, 6], shape=(1, 3, 32, 32)).SerializeToString())
    return path


@pytest.fixture
def photos(tmp_path):
    return noise(tmp_path / "photos", 6, 32)


def kinds(path):
    return {name: type(layer.quantizer) for name, layer in binary_layers(load(path).proto).items()}


def test_little_work_and_the_last_layer_keep_real_inputs(model, photos, tmp_path):
    """With a large gamma work alone decides: c2, c3 (4 channels on one side) and c5 (6) are the group."""
    rules = {"images": photos, "profile": "yolov4", "finetune": False, "include": ["c5"]}
    result = onnxbin.compress(model, tmp_path / "a.onnx", inputs="hybrid", gamma=1000, **rules)
    real, sign = type(None), SignInput
    assert kinds(result.path) == {"c1": sign, "c2": real, "c3": real, "c4": sign, "c5": real}
    # By its error alone, the last one would not.
    errors = onnxbin.compress(model, tmp_path / "b.onnx", inputs="hybrid", gamma=0, **rules)
    assert kinds(errors.path)["c5"] is real
    assert set(kinds(errors.path).values()) == {real, sign}


def inspect(*arguments):
    result = CliRunner().invoke(cli, ["inspect", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_inspect_shows_what_a_run_decides(model, photos, tmp_path):
    rules = {"images": photos, "profile": "yolov4", "finetune": False}
    result = onnxbin.compress(model, tmp_path / "small.onnx", inputs="hybrid", gamma=2, **rules)
    real = onnxbin.compress(model, tmp_path / "real.onnx", **rules)
    arguments = ("--inputs", "--images", photos, "--gamma", 2, "--profile", "yolov4", "--json")
    compressed = json.loads(inspect(real.path, *arguments))["layers"]
    assert {entry["layer"]: entry["bits"] for entry in compressed} == result.steps[-1].inputs
    # 9 weights for each pair of channels, at each of 32 x 32 places.
    pairs = {"c1": 16 * 16, "c2": 16 * 4, "c3": 4 * 16, "c4": 16 * 16}
    assert {entry["layer"]: entry["macs"] for entry in compressed} == {n: 9216 * p for n, p in pairs.items()}
    for entry in compressed:
        assert entry["score"] == pytest.approx(entry["error"] + 2 / (entry["macs"] / 1e6))
    original = json.loads(inspect(model, *arguments))["layers"]
    # The first reads a real layer in both; what the others read depends on the scales of those before them.
    assert original[0]["error"] == pytest.approx(compressed[0]["error"], abs=0.02), "the rest in int8 aside"
    assert [entry["layer"] for entry in original] == [entry["layer"] for entry in compressed]
    assert "high" in inspect(model, *arguments[:-1])
