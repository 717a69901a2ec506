"""One run's last phase in several ways: what is counted, what is kept, what is not done twice."""

import json
import shutil
import sys

import compare_widths
import pytest
from bright_cells import FILE, detector, write_images

import onnxbin
from onnxbin.run_folder import RunFolder

WAYS = [
    {"name": "4 bits", "inputs": "4"},
    {"name": "1 bit", "inputs": "1"},
    {"name": "hybrid", "inputs": "hybrid", "gamma": 1},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A finished run with one of two layers binary, for its ratio wants no more; labels."""
    folder = tmp_path_factory.mktemp("base")
    model = folder / FILE
    model.write_bytes(detector().SerializeToString())
    labels = write_images(folder / "images")
    settings = {"images": folder / "images", "finetune": False, "rest": "float32", "inputs": "real"}
    result = onnxbin.compress(model, folder / "small.onnx", until_ratio=1.3, **settings)
    assert len(result.steps) == 1
    return result.run, labels


@pytest.fixture
def command(base, tmp_path, monkeypatch, capsys):
    """Runs the script; returns its table, and the results by name."""
    run, labels = base
    ways = tmp_path / "ways.json"
    ways.write_text(json.dumps(WAYS))

    def call():
        arguments = [run, "--data", labels, "-o", tmp_path / "out", "--ways", ways, "--steps", 0]
        monkeypatch.setattr(sys, "argv", ["compare_widths.py", *map(str, arguments)])
        compare_widths.main()
        results = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")]
        return capsys.readouterr().out, {result["way"]["name"]: result for result in results}

    return call


def test_each_way_has_the_same_layers_and_its_own_inputs(command, base, tmp_path):
    said, results = command()
    (layer,) = (record.layer for record in RunFolder.open(base[0]).records())
    assert {name: result["inputs"] for name, result in results.items()} == {
        "4 bits": {layer: 4},
        "1 bit": {layer: 1},
        "hybrid": {layer: 1},
    }
    # 64x64 images in cells of 8x8: a 3x3 layer of 64 channels has 9 * 64 * 64 * 8 * 8 of them.
    macs = 9 * 64 * 64 * 64
    for name, bits in (("4 bits", 4), ("1 bit", 1)):
        saved = results[name]["macs"] - results[name]["equivalent_macs"]
        assert saved == pytest.approx(macs * (1 - bits / 64))
    for result in results.values():
        assert result["latency"] > 0
        assert set(result["data"]) == {"images"}
        assert f"| {result['way']['name']} | {result['data']['images']:.3f} |" in said
    assert (tmp_path / "out" / "plot.png").stat().st_size > 0


def test_nothing_is_done_twice(command, base, monkeypatch):
    before, results = command()

    def refuse(*_, **__):
        raise AssertionError("is there already")

    monkeypatch.setattr(onnxbin, "resume", refuse)
    monkeypatch.setattr(compare_widths, "evaluate", refuse)
    monkeypatch.setattr(compare_widths, "alternate", refuse)
    said, again = command()
    assert again == results
    assert before.endswith(said)
    assert RunFolder.open(base[0]).description["settings"]["inputs"] == "real"


def test_the_original_run_must_be_there(base, tmp_path, monkeypatch):
    shutil.copytree(base[0], tmp_path / "copy.run")
    (tmp_path / "copy.run" / "run.json").unlink()
    monkeypatch.setattr(
        sys, "argv", ["x", str(tmp_path / "copy.run"), "--data", str(base[1]), "-o", str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit) as stopped:
        compare_widths.main()
    assert stopped.value.code == 2
