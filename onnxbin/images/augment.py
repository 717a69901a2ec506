"""Random changes of an image that a distilled network should answer as its teacher does.

Teacher and student see the same changed image, so no label has to follow and nothing but the pixels is
changed: the purpose is more images than there are files, not robustness, hence mild ranges.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from onnxbin.images.source import Pixels

ZOOM = (0.8, 1.6)
"""The magnification is drawn between these, evenly in its logarithm."""
_ASPECT = 0.1
_GAMMA = 0.15
_CONTRAST = 0.15
_TINT = 0.06
_GREY = 114


def augment(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A window of the image, mirrored half of the time, its colours a little changed."""
    window = _window(pixels, rng)
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return _recolour(window, rng)


def _window(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A random window, inside the image when zooming in, around it (on grey) when zooming out."""
    height, width = pixels.shape[:2]
    zoom = np.exp(rng.uniform(*np.log(ZOOM)))
    aspect = np.exp(rng.uniform(-_ASPECT, _ASPECT))
    rows, columns = max(1, round(height / zoom * aspect)), max(1, round(width / zoom / aspect))
    top, left = (
        int(rng.integers(min(0, free), max(0, free) + 1)) for free in (height - rows, width - columns)
    )
    window = np.full((rows, columns, 3), _GREY, np.uint8)
    part = pixels[max(top, 0) : top + rows, max(left, 0) : left + columns]
    y, x = max(-top, 0), max(-left, 0)
    window[y : y + part.shape[0], x : x + part.shape[1]] = part
    return window


def _recolour(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Gamma, contrast and a colour cast, as one table of 256 entries a channel."""
    level = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-_GAMMA, _GAMMA))
    level = 0.5 + (level - 0.5) * np.exp(rng.uniform(-_CONTRAST, _CONTRAST))
    tables = np.exp(rng.uniform(-_TINT, _TINT, (3, 1))) * level
    entries = np.rint(np.clip(tables * 255, 0, 255)).astype(int).ravel().tolist()
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).point(entries))
