"""Pictures of what the original and the compressed model find in the same images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from onnxbin.detection import Comparison, Detections, Detector, Selection, compare
from onnxbin.detection.draw import draw
from onnxbin.images import ImageSet
from onnxbin.images.source import Pixels

SHOWN = 4
"""Pictures in a report."""

SHOWING = Selection(min_score=0.3)
"""Which boxes are drawn."""

_LOOKED_AT = 32
_LONG_SIDE = 640
_JPEG_QUALITY = 82


@dataclass(frozen=True)
class Pair:
    """One image, with the boxes of the original and of the compressed model drawn on it.

    name: of the image. original, compressed: JPEG files of `size` = (width, height). comparison: how far the
    two see the same.
    """

    name: str
    size: tuple[int, int]
    original: bytes
    compressed: bytes
    comparison: Comparison


def pairs(images: ImageSet, original: Detector, compressed: Detector) -> list[Pair]:
    """Pairs for some images in which the original sees anything, SHOWN at most; always the same."""
    found: list[Pair] = []
    # From all over the set: neighbours in a folder are often frames of one film.
    for index in np.random.default_rng(0).permutation(len(images))[:_LOOKED_AT].tolist():
        pixels = images.pixels(index)
        before = original(pixels)
        if len(before):
            name = images.paths[index].name if images.paths else f"rendered image {index}"
            found.append(_pair(name, pixels, before, compressed(pixels), original.names))
        if len(found) == SHOWN:
            break
    return found


def _pair(name: str, pixels: Pixels, before: Detections, after: Detections, names: Sequence[str]) -> Pair:
    small, scale = _scaled(pixels)
    original, compressed = (
        _jpeg(draw(small, replace(found, boxes=found.boxes * scale), names)) for found in (before, after)
    )
    height, width = small.shape[:2]
    return Pair(name, (width, height), original, compressed, compare([before], [after], SHOWING.min_score))


def _scaled(pixels: Pixels) -> tuple[Pixels, np.float32]:
    image = Image.fromarray(pixels)
    scale = _LONG_SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS)), np.float32(scale)


def _jpeg(pixels: Pixels) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return content.getvalue()
