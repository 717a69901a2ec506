"""Photographs on disk: finding them, checking them before the work starts, decoding them.

A run takes hours, so a broken file must be named when the folder is opened, not when training reaches it.
Every header is read at once; only a file without its format's end marker, which may be cut short, is decoded
for the check.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from onnxbin.errors import OnnxbinError, first_line

Pixels = npt.NDArray[np.uint8]
"""A decoded image: uint8 [height, width, 3], red first."""

SUFFIXES = (".jpg", ".jpeg", ".png")

_FORMATS = ("JPEG", "PNG")
_ORIENTATION = 0x0112  # the EXIF tag
# Some cameras append data after the image; this much is looked through for the end marker.
_TAIL_BYTES = 4096

MOST_PIXELS = 100_000_000
"""Of an image: a small file may claim to be so large that decoding it fills the memory."""


class ImageSource(Protocol):
    """A fixed number of images, each decoded (or drawn) on demand."""

    @property
    def paths(self) -> Sequence[Path]:
        """The file of each image; empty where there are no files."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pixels: ...


class ImageFiles:
    """Image files, checked when this object is made.

    paths: JPEG or PNG files. enough: JPEGs may be decoded at 1/2, 1/4 or 1/8 of their size (which the format
    offers and which is much faster) as long as both sides keep this many pixels; None for full size always.
    Raises OnnxbinError naming the first file that is missing, unreadable, cut short, or not 8 bits a channel.
    """

    def __init__(self, paths: Sequence[Path], enough: int | None = None) -> None:
        for path in paths:
            _check(path)
        self.paths = tuple(paths)
        self._enough = enough

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:
        return read_image(self.paths[index], self._enough)


def find_images(path: Path) -> list[Path]:
    """The images that `path` stands for.

    A folder: its JPEG and PNG files and those of its sub-folders, sorted. A `.json`: the images of a COCO
    file, relative to its folder. An image: itself. A `.txt`: one path a line, relative to its folder.
    Raises OnnxbinError where there are none, where one is missing, or where `path` is none of these.
    """
    if path.is_dir():
        # Names with a leading dot are resource forks and thumbnails that file managers leave behind.
        found = sorted(
            p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.name[0] != "." and p.is_file()
        )
        if not found:
            raise OnnxbinError(f"{path}: no JPEG or PNG image in this folder or below it")
        return found
    if not path.is_file():
        raise OnnxbinError(f"{path}: no such file or folder; expected images")
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return [path]
    if suffix == ".json":
        names = [str(image["file_name"]) for image in read_coco(path)["images"]]
    elif suffix == ".txt":
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    else:
        raise OnnxbinError(
            f"{path}: expected a folder of images, a COCO .json, a .txt list of paths, or a JPEG or PNG"
        )
    if not names:
        raise OnnxbinError(f"{path}: lists no images")
    paths = [path.parent / name for name in names]
    missing = [p for p in paths if not p.is_file()]
    if missing:
        raise OnnxbinError(
            f"{path}: {len(missing)} of its {len(paths)} images are missing, first {missing[0]} "
            "(paths are relative to the folder of the list)"
        )
    return paths


def read_coco(path: Path) -> dict[str, Any]:
    """The content of a COCO json, with its list `images` of objects with `file_name` checked.

    Raises OnnxbinError where the file is not that.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise OnnxbinError(f"{path}: not a JSON file: {error}") from None
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not all(
        isinstance(image, dict) and isinstance(image.get("file_name"), str) for image in images
    ):
        raise OnnxbinError(f"{path}: not a COCO file: expected a list 'images' of objects with a 'file_name'")
    checked: dict[str, Any] = content
    return checked


def read_image(path: Path, enough: int | None = None) -> Pixels:
    """Decode a JPEG or PNG, turned upright as its EXIF data says; grey becomes RGB, transparency is dropped.

    enough: see ImageFiles. Raises OnnxbinError naming the file.
    """
    with _opened(path) as image:
        if enough is not None:
            image.draft("RGB", (enough, enough))
        # Asks before decoding: ImageOps would otherwise copy every upright image.
        upright = ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image
        return np.asarray(upright.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """The (height, width) that `read_image` would give, by the header; raises OnnxbinError as it does."""
    with _opened(path) as image:
        # Orientations 5 to 8 lie on their side.
        return image.size if image.getexif().get(_ORIENTATION, 1) >= 5 else image.size[::-1]


def read_text(path: Path) -> str:
    """The content of a text file in UTF-8; raises OnnxbinError naming the file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise OnnxbinError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise OnnxbinError(f"{path}: {error.strerror}") from None


def _check(path: Path) -> None:
    with _opened(path) as image:
        marker = b"IEND" if image.format == "PNG" else b"\xff\xd9"
        if image.mode[0] in "IF":
            raise OnnxbinError(
                f"{path}: more than 8 bits a channel (mode {image.mode}); convert it to 8 bits"
            )
        with path.open("rb") as file:
            file.seek(-min(_TAIL_BYTES, path.stat().st_size), os.SEEK_END)
            complete = marker in file.read()
    if not complete:
        read_image(path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image, its header read; what goes wrong with it, then or later, is an OnnxbinError."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                size = f"{image.width} x {image.height}"
                raise OnnxbinError(
                    f"{path}: has {size} pixels, at most {MOST_PIXELS // 10**6} million are read"
                )
            yield image
    except OnnxbinError:
        raise
    except Exception as error:  # what Pillow raises on damaged data depends on where the damage is
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> OnnxbinError:
    if isinstance(error, FileNotFoundError):
        return OnnxbinError(f"{path}: no such image")
    if isinstance(error, PermissionError):
        return OnnxbinError(f"{path}: may not be read: permission denied")
    if isinstance(error, UnidentifiedImageError):
        return OnnxbinError(f"{path}: not a JPEG or PNG image, whatever its name says; remove or replace it")
    return OnnxbinError(f"{path}: damaged image ({first_line(error)}); remove or replace it")
