"""`evaluate` and `detect` on a detector whose boxes are known: it finds bright squares."""

import json

import graphs
import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

SIZE, CELL = 64, 8


@pytest.fixture
def detector(tmp_path):
    """YOLOv8 layout, one class: a 16x16 box around each cell, its score the mean brightness of the cell."""
    cells = SIZE // CELL
    centres = (np.arange(cells) + 0.5) * CELL
    grid = np.stack([np.tile(centres, cells), np.repeat(centres, cells), *np.full((2, cells**2), 16.0)])
    constants = [
        graphs.tensor("mean", np.full((1, 3, CELL, CELL), 1 / (3 * CELL**2))),
        graphs.tensor("boxes", grid[None]),
        onnx.numpy_helper.from_array(np.array([1, 1, -1], np.int64), "flat"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "mean"], ["m"], strides=[CELL, CELL]),
        helper.make_node("Reshape", ["m", "flat"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["y"], axis=1),
    ]
    proto = graphs.model(nodes, constants, shape=(1, 3, SIZE, SIZE))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, [1, 5, cells**2]))
    path = tmp_path / "detector.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture
def labelled(tmp_path):
    """Two images with one bright cell each; the second is dimmer, and its label somewhere else."""
    images, annotations = [], []
    for i, (x, y) in enumerate([(16, 24), (40, 8)]):
        pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
        pixels[y : y + CELL, x : x + CELL] = (255, 200)[i]
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": SIZE, "height": SIZE})
        corner = [x - 4, y - 4] if i == 0 else [0, 40]
        annotations.append({"id": i, "image_id": i, "category_id": 1, "bbox": [*corner, 16, 16], "area": 256})
    path = tmp_path / "labels.json"
    category = {"id": 1, "name": "person"}
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return path


OPTIONS = ["--family", "yolov8", "--resize", "stretch", "--std", "255", "--mean", "0"]


def test_figures_of_a_detector_known_by_heart(onnxbin, detector, labelled):
    """The best box is right and finds one of two labels; the other is wrong: AP = 1/2."""
    result = onnxbin("evaluate", detector, "--data", labelled, *OPTIONS, "--json")
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)[str(detector)]["classes"]["person"]
    assert figures["average_precision"] == pytest.approx(0.5)
    table = onnxbin("evaluate", detector, "--data", labelled, "--against", detector, *OPTIONS).stdout
    assert table.count("person") == 2


def test_a_model_agrees_with_itself(onnxbin, detector, labelled):
    result = onnxbin("evaluate", detector, "--images", labelled, "--against", detector, *OPTIONS, "--json")
    comparison = json.loads(result.stdout)
    assert (comparison["reference_boxes"], comparison["matched"], comparison["mean_iou"]) == (2, 2, 1.0)


def test_pictures_are_drawn_where_the_boxes_are(onnxbin, detector, labelled, tmp_path):
    result = onnxbin("detect", detector, labelled, "-o", tmp_path / "found", *OPTIONS)
    assert result.returncode == 0, result.stderr
    drawn = np.asarray(Image.open(tmp_path / "found" / "0.png"))
    before = np.asarray(Image.open(tmp_path / "0.png"))
    changed = np.argwhere((drawn != before).any(axis=2))
    assert len(changed)
    assert (drawn[20:36, 12] != before[20:36, 12]).any(), "the left edge of the box at x = 12"
    assert "1 0" in result.stdout or "1 person" in result.stdout


@pytest.mark.usefixtures("labelled")
def test_images_of_the_same_name_each_get_a_picture(onnxbin, detector, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "0.png").rename(other / "1.png")
    same = [other / "1.png", tmp_path / "1.png"]
    result = onnxbin("detect", detector, *same, "-o", tmp_path / "found", *OPTIONS)
    assert result.returncode == 0, result.stderr
    for image, name in zip(same, ["1.png", "1-2.png"], strict=True):
        drawn, before = (np.asarray(Image.open(path)) for path in (tmp_path / "found" / name, image))
        assert (drawn == before).all(axis=2).mean() > 0.5


@pytest.mark.usefixtures("labelled")
def test_a_picture_takes_no_images_place(onnxbin, detector, tmp_path):
    before = (tmp_path / "0.png").read_bytes()
    result = onnxbin("detect", detector, tmp_path / "0.png", "-o", tmp_path, *OPTIONS)
    assert result.returncode == 2
    assert (
        result.stderr == f"onnxbin: {tmp_path / '0.png'}: is one of the images; give another folder with -o\n"
    )
    assert (tmp_path / "0.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --data"),
        (["--images", "photos"], "name the model to compare with"),
        (["--data", "none.json"], "no labels here"),
    ],
)
def test_what_is_missing_is_said(onnxbin, detector, arguments, message):
    result = onnxbin("evaluate", detector, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_named(onnxbin, detector, labelled):
    folder = detector / "found"  # below a file
    result = onnxbin("detect", detector, labelled, *OPTIONS, "-o", folder)
    assert result.returncode == 2
    assert result.stderr == f"onnxbin: {folder}: cannot be written: Not a directory\n"
