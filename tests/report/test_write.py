"""The whole report of a real run: what is written, what it says, and what becomes of what is missing."""

import base64
import io
import json
import math
from html.parser import HTMLParser

import graphs
import pytest
from PIL import Image

import onnxbin
from onnxbin.errors import OnnxbinError
from onnxbin.report import write_report

MOST_BYTES = 5_000_000


class Page(HTMLParser):
    """tags: how often each opens. links: what is referred to. text: all that is to be read."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.links += [values[name] for name in ("src", "srcset", "href") if name in values]
        assert not any(name.startswith("on") for name in values), "no handlers of events"

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory):
    return write_report(finished.folder, tmp_path_factory.mktemp("report"), data=finished.labels)


@pytest.fixture(scope="module")
def page(report):
    return Page(report.page.read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else(report, page):
    assert report.page.stat().st_size < MOST_BYTES
    assert page.links
    assert all(link.startswith("data:") for link in page.links)
    style = report.page.read_text(encoding="utf-8").partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_names_are_text(page, finished):
    assert "script" not in page.tags
    assert finished.model.name in page.text
    assert all(step.title in page.text for step in finished.result.steps)


def test_sections(page):
    """One plot of quality, one of latency, and pairs of pictures: all of what a report may hold."""
    headings = ("The trade-off", "Before and after", "Layer by layer", "What was used", "Reproduce", "Deploy")
    assert all(heading in page.text for heading in headings)
    kinds = [link.partition(";")[0] for link in page.links]
    assert kinds.count("data:image/svg+xml") == 2 * 2
    assert kinds.count("data:image/jpeg") == 2 * 1


def test_pictures_are_images(page):
    pictures = [link for link in page.links if link.startswith("data:image/jpeg")]
    sizes = {Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2]))).size for link in pictures}
    assert sizes == {(640, 640)}


def test_what_was_used_is_named(page, finished):
    described = json.loads((finished.folder / "run.json").read_text())
    assert described["model"]["sha256"] in page.text
    assert described["versions"]["onnxruntime"] in page.text
    assert str(finished.labels) in page.text
    assert "RGB, letterbox, mean 0, std 255" in page.text


def test_figures_are_those_of_the_run(report, finished):
    content = json.loads((report.page.parent / "figures.json").read_text(), parse_constant=pytest.fail)
    assert content["quality"] == "average_precision"
    for step, record in zip(content["steps"], finished.result.steps, strict=True):
        assert (step["layer"], step["shape"]) == (record.title, list(record.shape))
        assert math.isclose(content["original"]["bytes"] / step["bytes"], record.ratio)
    assert content["steps"][-1]["bytes"] == finished.result.path.stat().st_size


def test_measures_what_the_run_did_not(report, finished):
    """Without fine-tuning a run measures the last model only: the report's figures of it are the same."""
    last = report.figures.steps[-1]
    assert last.agreement == pytest.approx(finished.result.agreement)
    assert last.boxes == finished.result.boxes
    assert report.figures.original.average_precision == 1.0, "the labels are what the detector finds"
    assert last.latency > 0
    assert last.quartiles[0] <= last.latency <= last.quartiles[1]


def test_plots_beside_the_page(report):
    for name in ("quality.png", "latency.png"):
        with Image.open(report.page.parent / name) as image:
            assert image.format == "PNG"
            assert image.width > 800


def test_nothing_else_is_written(report):
    names = {path.name for path in report.page.parent.iterdir()}
    assert names == {"index.html", "figures.json", "quality.png", "latency.png"}


def test_a_run_that_goes_on(run_folder, tmp_path):
    """A report shows how far it is."""
    change_json(run_folder / "curve.json", result=None)
    text = Page(write_report(run_folder, tmp_path / "report").page.read_text(encoding="utf-8")).text
    assert "has not ended" in text


def test_an_original_that_is_gone(run_folder, tmp_path):
    """What is left is shown, and a note says what is not."""
    about = json.loads((run_folder / "run.json").read_text())
    about["model"]["path"] = str(tmp_path / "gone.onnx")
    (run_folder / "run.json").write_text(json.dumps(about))
    report = write_report(run_folder, tmp_path / "report")
    assert report.figures.original.latency is None
    assert report.figures.steps[-1].latency > 0
    assert any("gone.onnx" in note for note in report.notes)
    assert "gone.onnx" in report.page.read_text(encoding="utf-8")


def test_an_original_that_has_changed(run_folder, tmp_path):
    about = json.loads((run_folder / "run.json").read_text())
    about["model"]["sha256"] = "0" * 64
    (run_folder / "run.json").write_text(json.dumps(about))
    report = write_report(run_folder, tmp_path / "report")
    assert report.figures.original.latency is None
    assert any("has changed since the run" in note for note in report.notes)


def test_images_that_are_gone(run_folder, finished, tmp_path):
    """No pictures, unless others are given."""
    about = json.loads((run_folder / "run.json").read_text())
    about["settings"]["images"] = str(tmp_path / "gone")
    (run_folder / "run.json").write_text(json.dumps(about))
    report = write_report(run_folder, tmp_path / "report")
    assert any("gone" in note for note in report.notes)
    assert "Before and after" not in report.page.read_text(encoding="utf-8")
    write_report(run_folder, tmp_path / "report", images=finished.images)
    assert "Before and after" in report.page.read_text(encoding="utf-8")


def test_a_model_that_is_no_detector(finished, tmp_path):
    """All but the boxes remains, and the outputs are what is judged by."""
    model = tmp_path / "chain.onnx"
    model.write_bytes(graphs.chain([8, 64, 64, 8]).SerializeToString())
    result = onnxbin.compress(model, images=finished.images, finetune=False)
    report = write_report(result.run)
    assert report.page == result.run / "report" / "index.html"
    assert report.figures.quality.name == "agreement"
    assert any("no known family of detectors" in note for note in report.notes)
    text = Page(report.page.read_text(encoding="utf-8")).text
    assert "Layer by layer" in text
    assert "Before and after" not in text


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "run.json").unlink(), "is not a run folder"),
        (lambda folder: (folder / "curve.json").write_text("{"), "curve.json"),
        (lambda folder: change_json(folder / "curve.json", steps=[]), "no step of this run is finished yet"),
        (
            lambda folder: change_json(folder / "run.json", model={}),
            "run.json .* missing or malformed 'path'",
        ),
        (lambda folder: change_json(folder / "run.json", settings={"x": 1}), "run.json .* argument 'x'"),
        (lambda folder: (folder / "steps" / "02.onnx").unlink(), "02.onnx is missing"),
        (lambda folder: (folder / "steps" / "03.onnx").write_bytes(b"x"), "03.onnx"),
    ],
)
def test_damaged_runs_are_refused_in_a_line(run_folder, tmp_path, damage, message):
    damage(run_folder)
    with pytest.raises(OnnxbinError, match=message) as error:
        write_report(run_folder, tmp_path / "report")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_made(finished, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OnnxbinError, match="file"):
        write_report(finished.folder, tmp_path / "file" / "report")


def change_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
