import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxbin.detection.labels import read_labels
from onnxbin.errors import OnnxbinError


def write_image(path: Path, width: int = 200, height: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


COCO = {
    "images": [
        {"id": 7, "file_name": "images/b.jpg", "height": 100, "width": 200},
        {"id": 3, "file_name": "images/a.jpg"},
    ],
    "categories": [{"id": 5, "name": "dog"}, {"id": 1, "name": "person"}],
    "annotations": [
        {"image_id": 3, "category_id": 1, "bbox": [10, 20, 30, 40]},
        {"image_id": 3, "category_id": 5, "bbox": [0.5, 0, 1, 2], "iscrowd": 1},
        {"image_id": 3, "category_id": 5, "bbox": [0, 0, 1, 2], "ignore": 1},
    ],
}


def coco_file(folder: Path, content: object) -> Path:
    for name in ("a", "b"):
        write_image(folder / "images" / f"{name}.jpg")
    return write_text(folder / "labels.json", json.dumps(content))


def test_coco(tmp_path: Path) -> None:
    labels = read_labels(coco_file(tmp_path, COCO))
    assert labels.names == ["dog", "person"]
    empty, full = labels.images
    assert (empty.path.name, empty.size, len(empty.truth)) == ("b.jpg", (100, 200), 0)
    assert empty.truth.boxes.shape == (0, 4)
    assert (full.path.name, full.size) == ("a.jpg", None)
    assert full.truth.boxes.tolist() == [[10, 20, 40, 60], [0.5, 0, 1.5, 2], [0, 0, 1, 2]]
    assert full.truth.classes.tolist() == [1, 0, 0]
    assert full.truth.ignored.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("part", "value", "complaint"),
    [
        ("annotations", [{"image_id": 3, "category_id": 9, "bbox": [0, 0, 1, 1]}], "annotation 0: .*9"),
        ("annotations", [{"image_id": 8, "category_id": 1, "bbox": [0, 0, 1, 1]}], "annotation 0: .*8"),
        ("annotations", [{"image_id": 3, "category_id": 1}], "annotation 0: .*bbox"),
        ("annotations", [{"image_id": 3, "category_id": 1, "bbox": [0, 0, 1]}], "annotation 0: .*4"),
        ("annotations", [{"image_id": 3, "category_id": 1, "bbox": [0, 0, 1, "w"]}], "annotation 0: .*w"),
        ("annotations", [{"image_id": 3, "category_id": 1, "bbox": [0, 0, 1, float("nan")]}], "not finite"),
        ("annotations", ["junk"], "annotation 0"),
        ("annotations", 3, "not a labelled COCO file"),
        ("annotations", None, "not a labelled COCO file.*annotations"),
        ("categories", [{"id": 1}], "not a labelled COCO file.*name"),
        ("images", [{"file_name": "images/a.jpg"}], "not a labelled COCO file.*id"),
        ("images", [{"file_name": "images/gone.jpg", "id": 1}], "1 of its 1 images are missing"),
    ],
)
def test_malformed_coco_is_named(tmp_path: Path, part: str, value: object, complaint: str) -> None:
    content = {**COCO, part: value}
    if value is None:
        del content[part]
    with pytest.raises(OnnxbinError, match=complaint) as error:
        read_labels(coco_file(tmp_path, content))
    assert "labels.json" in str(error.value)
    assert "\n" not in str(error.value)


VOC = """<annotation><filename>1.jpg</filename>
<object><name>person</name><difficult>0</difficult>
  <bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>60</ymax></bndbox></object>
<object><name>dog</name><difficult>1</difficult>
  <bndbox><ymax>9.5</ymax><ymin>1</ymin><xmax>5</xmax><xmin>1</xmin></bndbox></object></annotation>"""


@pytest.mark.parametrize("folder", ["JPEGImages", "Annotations"])
def test_voc(tmp_path: Path, folder: str) -> None:
    write_text(tmp_path / "Annotations" / "1.xml", VOC)
    image = write_image(tmp_path / folder / "1.jpg")
    labels = read_labels(tmp_path)
    assert labels.names == ["person", "dog"]
    assert labels.images[0].path == image
    # From 1, the last pixel included: x 11..40 is 30 pixels, from 10 to 40.
    assert labels.images[0].truth.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 5, 9.5]]
    assert labels.images[0].truth.ignored.tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<annotation>", "not a VOC annotation"),
        (VOC.replace("<xmin>11</xmin>", ""), "bndbox/xmin"),
        (VOC.replace("<name>dog</name>", "<name> </name>"), "no name"),
        (VOC.replace("11", "eleven"), "eleven"),
    ],
)
def test_malformed_voc_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    write_text(tmp_path / "1.xml", text)
    write_image(tmp_path / "1.jpg")
    with pytest.raises(OnnxbinError, match=complaint) as error:
        read_labels(tmp_path)
    assert "1.xml" in str(error.value)


def test_voc_without_its_image_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "Annotations" / "1.xml", VOC)
    with pytest.raises(OnnxbinError, match=r"1\.xml: its image 1 is neither"):
        read_labels(tmp_path)


@pytest.mark.parametrize("image", ["images/val/1.jpg", "val/1.jpg"])
def test_yolo(tmp_path: Path, image: str) -> None:
    write_image(tmp_path / image)
    write_image((tmp_path / image).with_name("negative.jpg"))
    text = image.replace("images", "labels").replace("jpg", "txt")
    write_text(tmp_path / text, "1 0.5 0.5 0.2 0.4\n\n0 0.05 0.1 0.1 0.2\n")
    labels = read_labels(tmp_path)
    assert (labels.names, labels.numbered) == (["0", "1"], True)
    first, negative = labels.images
    np.testing.assert_allclose(first.truth.boxes, [[80, 30, 120, 70], [0, 0, 20, 20]], atol=1e-4)
    assert first.truth.classes.tolist() == [1, 0]
    assert len(negative.truth) == 0
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    named = read_labels(tmp_path)
    assert (named.names, named.numbered) == (["cat", "dog"], False)
    write_text(tmp_path / "classes.txt", "cat\n")
    with pytest.raises(OnnxbinError, match=r"classes\.txt: names 1 classes.*class 1"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    "line", ["0 0.5 0.5 0.2", "0 0.5 0.5 0.2 x", "0 80 30 40 40", "-1 0.5 0.5 0.2 0.2", "0 nan 0 1 1"]
)
def test_malformed_yolo_is_named(tmp_path: Path, line: str) -> None:
    write_image(tmp_path / "1.jpg")
    write_text(tmp_path / "1.txt", f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(OnnxbinError, match=r"1\.txt, line 2: expected 'class cx cy w h'"):
        read_labels(tmp_path)


def test_no_labels_at_all(tmp_path: Path) -> None:
    with pytest.raises(OnnxbinError, match="no labels here"):
        read_labels(tmp_path)
    with pytest.raises(OnnxbinError, match="no labels here"):
        read_labels(tmp_path / "gone.json")
    write_image(tmp_path / "1.jpg")
    write_text(tmp_path / "notes.txt", "hello")
    with pytest.raises(OnnxbinError, match="none of its 1 images has a YOLO"):
        read_labels(tmp_path)
