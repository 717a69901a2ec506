"""Images drawn by onnxbin, for when the user has no photographs.

Dead leaves: opaque shapes of random outline, falling on each other, their sizes after a power law. With an
exponent of 3 the result shares the scale invariance, the 1/f spectrum and the occlusion edges of natural
images (Lee, Mumford, Huang: "Occlusion models for natural images", IJCV 41, 2001), and networks trained on
such images do well on real ones (Baradad et al.: "Learning to see by looking at noise", NeurIPS 2021). Each
leaf has a colour, a shading and a texture.

The shapes are drawn once, as a map of leaf numbers; everything else is one lookup a pixel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from onnxbin.images.source import Pixels

Float32 = npt.NDArray[np.float32]

_LEAVES = 500
_RADIUS = (0.01, 0.5)  # of the image's longer side
_VERTICES = 20
_TILE = 256  # pixels a side of a texture; a power of two, so that positions wrap around with a mask
_TEXTURES = 12


class RenderedImages:
    """`count` images of height x width pixels; an ImageSource. The same seed gives the same images.

    Image i depends on (seed, i) and the size only, so a larger count begins with the same images.
    """

    paths: tuple[Path, ...] = ()

    def __init__(self, count: int, height: int, width: int, seed: int = 0) -> None:
        self._count = count
        self._size = (height, width)
        self._seed = seed
        self._textures = _make_textures(np.random.default_rng(seed))
        y, x = np.mgrid[:height, :width].astype(np.int32)
        self._position = y * _TILE + x
        self._y = (y / height - 0.5).astype(np.float32)
        self._x = (x / width - 0.5).astype(np.float32)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Pixels:
        if not 0 <= index < self._count:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, index))
        leaf = _draw_leaves(*self._size, rng)
        count = _LEAVES + 1  # leaf 0 is the background
        tile = rng.integers(0, _TEXTURES, count, np.int32) * _TILE**2
        shift = rng.integers(0, _TILE**2, count, np.int32)
        roughness = (0.25 * rng.random(count) ** 2).astype(np.float32)
        slope = rng.normal(0, 0.5, (2, count)).astype(np.float32)

        place = (self._position + shift[leaf]) & (_TILE**2 - 1)
        shade = roughness[leaf] * self._textures[tile[leaf] + place]
        shade += slope[0][leaf] * self._y
        shade += slope[1][leaf] * self._x
        shade += np.float32(1)
        colour = _palette(count, rng)[leaf]
        colour *= shade[..., None]
        pixels = np.clip(colour, 0, 255, out=colour).astype(np.uint8)
        # A lens and a sensor: edges are never one pixel sharp.
        blurred = Image.fromarray(pixels).filter(ImageFilter.BoxBlur(rng.uniform(0.1, 0.4)))
        return np.asarray(blurred)


def _draw_leaves(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """The number of the leaf seen at each pixel, [height, width]; 0 where none fell."""
    side = max(height, width)
    smallest, largest = (side * fraction for fraction in _RADIUS)
    # Inverse transform sampling of a density proportional to radius^-3.
    u = rng.random(_LEAVES)
    radius = (smallest**-2 - u * (smallest**-2 - largest**-2)) ** -0.5

    angle = np.linspace(0, 2 * np.pi, _VERTICES, endpoint=False)
    # |cos|^p + |sin|^p = r^-p: a diamond at p = 1, an ellipse at 2, a rectangle above; waves make blobs.
    power = rng.choice([1.0, 2.0, 2.0, 8.0], (_LEAVES, 1))
    outline = (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)
    wave = rng.uniform(0, 0.35, (_LEAVES, 1)) * (rng.random((_LEAVES, 1)) < 0.5)
    lobes = rng.integers(2, 6, (_LEAVES, 1))
    outline *= 1 + wave * np.sin(lobes * angle + rng.uniform(0, 6, (_LEAVES, 1)))
    stretch = np.exp(rng.normal(0, 0.5, (_LEAVES, 1)))
    along, across = outline * np.cos(angle) * stretch, outline * np.sin(angle) / stretch
    turn = rng.uniform(0, np.pi, (_LEAVES, 1))
    centre_x, centre_y = rng.uniform(0, width, (_LEAVES, 1)), rng.uniform(0, height, (_LEAVES, 1))
    x = (along * np.cos(turn) - across * np.sin(turn)) * radius[:, None] + centre_x
    y = (along * np.sin(turn) + across * np.cos(turn)) * radius[:, None] + centre_y

    canvas = Image.new("I", (width, height))
    draw = ImageDraw.Draw(canvas)
    for number, corners in enumerate(np.stack([x, y], -1).reshape(_LEAVES, -1).tolist(), 1):
        draw.polygon(corners, fill=number)
    return np.asarray(canvas)


def _palette(count: int, rng: np.random.Generator) -> Float32:
    """Colours [count, 3] on the 0..255 scale: light varies much, hue a little around a common cast."""
    light = rng.beta(1.3, 1.6, (count, 1)) * 235 + 10
    cast = rng.normal(0, 0.12, 3)
    tint = rng.normal(0, 0.12, (count, 3)) * rng.gamma(2.0, 0.6, (count, 1))
    colours: Float32 = (light * np.exp(cast + tint - tint.mean(1, keepdims=True))).astype(np.float32)
    return colours


def _make_textures(rng: np.random.Generator) -> Float32:
    """Periodic textures of unit variance, one after the other: noise with a 1/f^a spectrum, oriented."""
    fy, fx = np.meshgrid(np.fft.fftfreq(_TILE), np.fft.rfftfreq(_TILE), indexing="ij")
    tiles = []
    for _ in range(_TEXTURES):
        turn, squeeze = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 2))
        along = (fx * np.cos(turn) + fy * np.sin(turn)) * squeeze
        across = -fx * np.sin(turn) + fy * np.cos(turn)
        frequency = np.hypot(along, across)
        frequency[0, 0] = np.inf
        spectrum = np.fft.rfft2(rng.standard_normal((_TILE, _TILE))) * frequency ** -rng.uniform(0.6, 2.0)
        tile = np.fft.irfft2(spectrum, (_TILE, _TILE))
        tiles.append(tile / tile.std())
    return np.concatenate([tile.ravel() for tile in tiles]).astype(np.float32)
