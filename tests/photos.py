"""Folders of small images to compress with, the same each time."""

from pathlib import Path

import numpy as np
from PIL import Image


def noise(folder: Path, count: int, size: int) -> Path:
    """So many images of size x size, each pixel by chance."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (size, size, 3)).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def blobs(folder: Path, count: int) -> Path:
    """So many images of 24x24, 6x6 colours by chance, enlarged smoothly."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        blocks = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        Image.fromarray(blocks).resize((24, 24), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder
