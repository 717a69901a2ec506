"""`onnxbin report` as a user types it."""

import json

import graphs
import pytest
from PIL import Image

import onnxbin as library


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Two steps of a network that is no detector, on rendered images."""
    model = tmp_path_factory.mktemp("run") / "model.onnx"
    model.write_bytes(graphs.chain([8, 64, 64, 8]).SerializeToString())
    return library.compress(model, finetune=False).run


@pytest.fixture
def labels(tmp_path):
    """One image, and nothing to be found in it."""
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    path = tmp_path / "labels.json"
    content = {"images": [{"id": 1, "file_name": "1.png"}], "annotations": [], "categories": []}
    path.write_text(json.dumps(content))
    return path


def test_says_where_the_page_is_and_what_it_comes_down_to(onnxbin, run_folder, tmp_path):
    result = onnxbin("report", run_folder, "-o", tmp_path / "report")
    assert result.returncode == 0, result.stderr
    page, _, summary = result.stdout.strip().partition(": ")
    assert page == str(tmp_path / "report" / "index.html")
    assert "times smaller, output agreement" in summary
    assert "no known family of detectors" in result.stderr


def test_json_is_that_of_the_folder(onnxbin, run_folder, tmp_path):
    result = onnxbin("report", run_folder, "-o", tmp_path, "--json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "figures.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.run"], "nowhere.run"),
        (["RUN", "--data", "nowhere.json"], "nowhere.json"),
        (["RUN", "--images", "nowhere"], "nowhere: no such file or folder"),
        (["RUN", "--class", "person"], "--class 'person': expected NAME=N"),
        (["RUN", "--family", "nothing", "--data", "LABELS"], "nothing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(onnxbin, run_folder, labels, tmp_path, arguments, message):
    places = {"RUN": run_folder, "LABELS": labels}
    result = onnxbin("report", *[places.get(a, a) for a in arguments], "-o", tmp_path / "report")
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "report").glob("*"))


def test_a_missing_package_is_named_with_the_extra(onnxbin, run_folder, tmp_path, monkeypatch):
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    result = onnxbin("report", run_folder)
    assert result.returncode == 2
    assert "pip install 'onnxbin[report]'" in result.stderr
