"""Images as a model's input tensors: what calibration, distillation and comparison draw from."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from onnxbin.errors import OnnxbinError
from onnxbin.images.augment import augment
from onnxbin.images.model_input import ImageInput
from onnxbin.images.preprocess import Geometry, Preprocessing
from onnxbin.images.rendered import RenderedImages
from onnxbin.images.source import ImageFiles, ImageSource, Pixels, find_images

CACHE_BYTES = 1 << 30
"""The default bound on the decoded images that one source keeps in memory: 1 GiB, about 1,100 of 640x480."""


class ImageSet:
    """A fixed sequence of images and how they become tensors. Safe to use from several threads.

    source: the images. target: the model's input. preprocessing: what the model wants done to an image.
    cache_bytes: decoded images are kept until they fill this; the rest are decoded anew each time. Nothing is
    thrown out of the cache: under the random order of training that serves as many reads as any other policy.
    """

    def __init__(
        self,
        source: ImageSource,
        target: ImageInput,
        preprocessing: Preprocessing,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.target = target
        self.preprocessing = preprocessing
        self._source = source
        self._indices: Sequence[int] = range(len(source))
        self._cache = _Cache(cache_bytes)

    @classmethod
    def open(
        cls, path: Path, target: ImageInput, preprocessing: Preprocessing, cache_bytes: int = CACHE_BYTES
    ) -> ImageSet:
        """The images of a folder, a COCO json, a list or one file, as `source.find_images` has it."""
        # Twice the input's size is more than a crop at the largest zoom of the augmentation needs.
        files = ImageFiles(find_images(path), enough=2 * max(target.height, target.width))
        return cls(files, target, preprocessing, cache_bytes)

    @classmethod
    def rendered(
        cls, count: int, target: ImageInput, preprocessing: Preprocessing, seed: int = 0
    ) -> ImageSet:
        """Images drawn by onnxbin, for when there are no photographs: see `rendered`."""
        return cls(RenderedImages(count, target.height, target.width, seed), target, preprocessing)

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def paths(self) -> list[Path]:
        """The file of each image; empty where the images are rendered."""
        return [self._source.paths[i] for i in self._indices] if self._source.paths else []

    def pixels(self, index: int) -> Pixels:
        """The decoded image, uint8 [height, width, 3]; a large JPEG may come at a fraction of its size."""
        return self._cache.get(self._source, self._indices[index])

    def tensor(self, index: int, rng: np.random.Generator | None = None) -> npt.NDArray[np.float32]:
        """The image as float32 of `target.shape`, ready for the model.

        rng: changes the image at random first (`augment`). A model of another type takes `target.feed`.
        """
        pixels = self.pixels(index)
        if rng is not None:
            pixels = augment(pixels, rng)
        return self.preprocessing.apply(pixels, self.target)[0]

    def placed(self, index: int) -> tuple[npt.NDArray[np.float32], Geometry]:
        """The image as `tensor` gives it, and where it landed in the model's input."""
        return self.preprocessing.apply(self.pixels(index), self.target)

    def split(self, held_back_fraction: float, seed: int = 0) -> tuple[ImageSet, ImageSet]:
        """A random division into (training, held back), each with at least one image, that the seed decides.

        Raises OnnxbinError where there are fewer than two images or the fraction is not between 0 and 1.
        """
        if not 0 < held_back_fraction < 1:
            raise OnnxbinError(f"held-back fraction {held_back_fraction} is not between 0 and 1")
        if len(self) < 2:
            raise OnnxbinError(
                f"{len(self)} image cannot be divided into training and held-back images; give more"
            )
        held_back = min(max(1, round(len(self) * held_back_fraction)), len(self) - 1)
        order = np.random.default_rng(seed).permutation(len(self))
        return self._subset(order[held_back:]), self._subset(order[:held_back])

    def first(self, count: int) -> ImageSet:
        """The first `count` of them, or all where there are fewer."""
        return self._subset(np.arange(min(count, len(self))))

    def _subset(self, positions: npt.NDArray[np.int64]) -> ImageSet:
        part = ImageSet(self._source, self.target, self.preprocessing)
        part._indices = [self._indices[i] for i in sorted(positions.tolist())]
        part._cache = self._cache
        return part


class _Cache:
    """Decoded images by their position in the source, up to a number of bytes."""

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._images: dict[int, Pixels] = {}
        self._lock = threading.Lock()

    def get(self, source: ImageSource, index: int) -> Pixels:
        cached = self._images.get(index)
        if cached is not None:
            return cached
        pixels = source[index]
        with self._lock:
            if index not in self._images and pixels.nbytes <= self._free:
                self._free -= pixels.nbytes
                self._images[index] = pixels
        return pixels
