"""Labelled images, read from the three formats that people have: COCO json, VOC xml, YOLO txt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from onnxbin.detection.matching import Truth
from onnxbin.errors import OnnxbinError
from onnxbin.images import find_images
from onnxbin.images.source import SUFFIXES, image_size, read_coco, read_text

_FARTHEST = 1e9
"""Pixels: a box that reaches further is a mistake; its area would not fit float32."""

_MOST_CLASSES = 1 << 16


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image file and what is in it. size: the (height, width) that its labels are for, where they say."""

    path: Path
    truth: Truth
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Images with labels.

    names: of the classes that the labels count; a label of class k is a names[k]. numbered: the classes have
    no names but are numbered as a model numbers them, as in YOLO files alone; the names are the numbers.
    """

    images: list[LabelledImage]
    names: list[str]
    numbered: bool = False


@dataclass(frozen=True)
class _Label:
    box: tuple[float, float, float, float]
    class_index: int
    ignored: bool = False

    def __post_init__(self) -> None:
        if not all(abs(edge) <= _FARTHEST for edge in self.box):  # NaN is not either
            raise ValueError(f"box {self.box} is not finite, or too far out to be in an image")
        if not 0 <= self.class_index < _MOST_CLASSES:
            raise ValueError(f"class {self.class_index}, expected 0 to {_MOST_CLASSES - 1}")


def read_labels(path: Path) -> LabelledSet:
    """Read a labelled set.

    A `.json`: COCO, image paths relative to its folder. A folder with `.xml` files: PASCAL VOC, images beside
    them or in the neighbouring folder `JPEGImages`. A folder of images with `.txt` files: YOLO, each beside
    its image or in `labels` where that is in `images`; names come from `classes.txt` or `obj.names` in the
    folder, else a class is called by its number.
    Raises OnnxbinError naming the file in which something is missing or malformed.
    """
    if path.is_file() and path.suffix.lower() == ".json":
        return _read_coco_labels(path)
    if path.is_dir():
        annotations = sorted(file for file in path.rglob("*.xml") if file.is_file())
        if annotations:
            return _read_voc(annotations)
        if next(path.rglob("*.txt"), None):
            return _read_yolo(path)
    raise OnnxbinError(
        f"{path}: no labels here; expected a COCO .json, or a folder with VOC .xml or YOLO .txt files"
    )


def _read_coco_labels(path: Path) -> LabelledSet:
    content = read_coco(path)
    paths = find_images(path)
    try:
        categories = [(category["id"], str(category["name"])) for category in content["categories"]]
        labels: dict[Any, list[_Label]] = {image["id"]: [] for image in content["images"]}
        position = {identity: index for index, (identity, _) in enumerate(categories)}
        annotations = list(content["annotations"])
    except (KeyError, TypeError) as error:
        raise OnnxbinError(f"{path}: not a labelled COCO file: missing or malformed {error}") from None
    for number, annotation in enumerate(annotations):
        try:
            x, y, width, height = (float(value) for value in annotation["bbox"])
            # A crowd is a region; "ignore" is what pedestrian sets call theirs.
            ignored = bool(annotation.get("iscrowd") or annotation.get("ignore"))
            label = _Label((x, y, x + width, y + height), position[annotation["category_id"]], ignored)
            labels[annotation["image_id"]].append(label)
        except KeyError as error:
            raise OnnxbinError(f"{path}: annotation {number}: no field, image or category {error}") from None
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise OnnxbinError(f"{path}: annotation {number}: {error}") from None
    images = [
        LabelledImage(
            file,
            _truth(labels[image["id"]]),
            (image["height"], image["width"]) if "height" in image and "width" in image else None,
        )
        for file, image in zip(paths, content["images"], strict=True)
    ]
    return LabelledSet(images, [name for _, name in categories])


def _read_voc(annotations: list[Path]) -> LabelledSet:
    numbers: dict[str, int] = {}
    images = []
    for path in annotations:
        try:
            labels = []
            for item in ElementTree.parse(path).getroot().iter("object"):
                x1, y1, x2, y2 = (
                    float(_text(item, f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")
                )
                number = numbers.setdefault(_text(item, "name"), len(numbers))
                # VOC counts pixels from 1 and its boxes include the last one.
                labels.append(
                    _Label((x1 - 1, y1 - 1, x2, y2), number, item.findtext("difficult", "0") == "1")
                )
        except (ElementTree.ParseError, OSError, ValueError) as error:
            raise OnnxbinError(f"{path}: not a VOC annotation: {error}") from None
        folders = (path.parent, path.parent.parent / "JPEGImages")
        image = _first_file(folder / (path.stem + suffix) for folder in folders for suffix in SUFFIXES)
        if image is None:
            raise OnnxbinError(f"{path}: its image {path.stem} is neither beside it nor in {folders[1]}")
        images.append(LabelledImage(image, _truth(labels)))
    return LabelledSet(images, list(numbers))


def _read_yolo(folder: Path) -> LabelledSet:
    names_file = _first_file(folder / name for name in ("classes.txt", "obj.names"))
    names = read_text(names_file).splitlines() if names_file else []
    names = [name.strip() for name in names if name.strip()]
    images = []
    highest = -1
    for image in find_images(folder):
        # images/train/1.jpg has its labels in labels/train/1.txt, or beside it; without, it shows nothing.
        parts = ["labels" if part == "images" else part for part in image.relative_to(folder).parts]
        text = _first_file([folder.joinpath(*parts).with_suffix(".txt"), image.with_suffix(".txt")])
        labels = _yolo_labels(text, image) if text else []
        highest = max([highest, *(label.class_index for label in labels)])
        images.append(LabelledImage(image, _truth(labels)))
    if highest < 0:
        raise OnnxbinError(f"{folder}: none of its {len(images)} images has a YOLO .txt with a label")
    if names_file and highest >= len(names):
        raise OnnxbinError(
            f"{names_file}: names {len(names)} classes, but there are labels of class {highest}"
        )
    if names_file:
        return LabelledSet(images, names)
    return LabelledSet(images, [str(number) for number in range(highest + 1)], numbered=True)


def _yolo_labels(path: Path, image: Path) -> list[_Label]:
    """Lines of `class cx cy w h`, as shares of the image's sides."""
    height, width = image_size(image)
    labels = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            kind, *shares = line.split()
            cx, cy, w, h = (float(share) for share in shares)
            if max(cx, cy, w, h) > 1.01:
                raise ValueError("coordinates in pixels")
            box = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
            labels.append(_Label(box, int(kind)))
        except ValueError as error:
            raise OnnxbinError(
                f"{path}, line {number}: expected 'class cx cy w h' in 0..1: {error}"
            ) from None
    return labels


def _truth(labels: list[_Label]) -> Truth:
    return Truth(
        np.array([label.box for label in labels], np.float32).reshape(-1, 4),
        np.array([label.class_index for label in labels], np.int64),
        np.array([label.ignored for label in labels], np.bool_),
    )


def _text(item: ElementTree.Element, path: str) -> str:
    text = item.findtext(path)
    if text is None or not text.strip():
        raise ValueError(f"an object has no {path}")
    return text.strip()


def _first_file(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
