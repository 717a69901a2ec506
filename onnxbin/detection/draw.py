"""Boxes drawn on images, and two models' boxes side by side."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from onnxbin.detection.detections import Detections
from onnxbin.images.source import Pixels

_BAR = (24, 24, 27)
_WHITE = (255, 255, 255)


def draw(pixels: Pixels, detections: Detections, names: Sequence[str]) -> Pixels:
    """A copy of an image, uint8 [height, width, 3], with boxes, classes and scores; the best on top."""
    image = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(image)
    line, text_size = max(2, round(max(image.size) / 300)), _text_size(image.size)
    for i in reversed(range(len(detections))):
        x1, y1, x2, y2 = detections.boxes[i].tolist()
        kind = int(detections.classes[i])
        colour = _colour(kind)
        # A network that has lost its way may turn boxes inside out.
        canvas.rectangle((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), outline=colour, width=line)
        name = names[kind] if kind < len(names) else str(kind)
        _label(image, (x1, y1), f"{name} {detections.scores[i]:.2f}", colour, text_size)
    return np.asarray(image)


def side_by_side(images: Sequence[Pixels], titles: Sequence[str]) -> Pixels:
    """Images of one height next to each other, each under its title."""
    text_size = _text_size(images[0].shape[:2])
    bar = 2 * text_size
    gap = max(2, images[0].shape[1] // 100)
    height = bar + images[0].shape[0]
    width = sum(image.shape[1] for image in images) + gap * (len(images) - 1)
    sheet = Image.new("RGB", (width, height), _BAR)
    canvas = ImageDraw.Draw(sheet)
    left = 0
    for image, title in zip(images, titles, strict=True):
        canvas.text(
            (left + bar // 4, bar // 2),
            title,
            fill=_WHITE,
            font=ImageFont.load_default(text_size),
            anchor="lm",
        )
        sheet.paste(Image.fromarray(image), (left, bar))
        left += image.shape[1] + gap
    return np.asarray(sheet)


def _label(
    image: Image.Image,
    corner: tuple[float, float],
    text: str,
    colour: tuple[int, int, int],
    text_size: int,
) -> None:
    """Text on a plate above a box, or inside it at the image's upper edge."""
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(text_size)
    x1, y1, x2, y2 = canvas.textbbox((0, 0), text, font=font)
    pad = max(1, text_size // 6)
    width, height = x2 - x1 + 2 * pad, y2 - y1 + 2 * pad
    left = max(0.0, min(corner[0], image.width - width))
    top = corner[1] - height if corner[1] >= height else max(0.0, corner[1])
    canvas.rectangle((left, top, left + width, top + height), fill=colour)
    # Black on light colours, white on dark ones: the eye's weights of red, green and blue.
    light = np.dot(colour, (0.299, 0.587, 0.114)) > 140
    canvas.text((left + pad - x1, top + pad - y1), text, fill=_BAR if light else _WHITE, font=font)


def _colour(kind: int) -> tuple[int, int, int]:
    """A colour a class: hues a golden ratio apart, so that neighbours differ."""
    red, green, blue = colorsys.hsv_to_rgb((0.42 + kind * 0.618034) % 1, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _text_size(size: tuple[int, ...]) -> int:
    return max(11, round(max(size) / 45))
