"""What a model is fed while it is timed: images, in the way it wants them; noise for inputs of another kind.

Convolutions take as long whatever they see, but what follows them may not: non-maximum suppression takes
longer the more boxes there are. So photographs are better than none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, ValueInfoProto

from onnxbin.benchmark.contender import Feed
from onnxbin.errors import OnnxbinError
from onnxbin.images import Choice, ImageInput, ImageSet
from onnxbin.model import Model

FEEDS = 8
"""Images that are enough to time a model on, in turns."""

RENDERED = 32
"""Images that are rendered where none are given; int8 is calibrated on all of them."""

MOST_VALUES = 10**8
"""Of an input that is filled with noise, as many as an image may have pixels."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """images: what the image input is made of, None where there is none. others: the other inputs, noise."""

    images: ImageSet | None
    others: Feed
    description: str

    def feeds(self, most: int) -> Iterator[Feed]:
        """One for each image, but at most so many; a single one where there are no images."""
        if self.images is None:
            yield self.others
            return
        for index in range(min(most, len(self.images))):
            yield {**self.others, **self.images.target.feed([self.images.tensor(index)])}


def inputs(model: Model, choice: Choice, images: Path | None, size: tuple[int, int] | None) -> Inputs:
    """Inputs for a model.

    choice: how images are fed. images: as `onnxbin.images.find_images` has it; None: onnxbin renders some.
    size: (height, width) of the image input, where the model leaves it open.
    Raises OnnxbinError where the model takes no image but images or a size are given, and where the size of
    an input is open.
    """
    try:
        target, others = _split(model.proto, size, images is None and size is None)
    except OnnxbinError as error:
        raise OnnxbinError(f"{model.path}: {error}") from None
    if target is None:
        return Inputs(None, others, "seeded noise")
    if images is None:
        found = ImageSet.rendered(RENDERED, target, choice.preprocessing)
        description = "images that onnxbin renders"
    else:
        found = ImageSet.open(images, target, choice.preprocessing)
        description = f"images of {images}"
    return Inputs(found, others, description + (", noise for other inputs" if others else ""))


def _split(proto: ModelProto, size: tuple[int, int] | None, optional: bool) -> tuple[ImageInput | None, Feed]:
    """The image input, None where there is none and it is `optional`; noise for all others."""
    initializers = {tensor.name for tensor in proto.graph.initializer}
    values = [value for value in proto.graph.input if value.name not in initializers]
    try:
        target = ImageInput.of(proto, size)
    except OnnxbinError:
        if not optional:
            raise
        return None, _noise(values)
    return target, _noise([value for value in values if value.name != target.name])


def _noise(values: list[ValueInfoProto]) -> dict[str, npt.NDArray[Any]]:
    """Floats of a standard normal distribution, the same each time; ones for inputs of other types."""
    rng = np.random.default_rng(0)
    feed: dict[str, npt.NDArray[Any]] = {}
    for value in values:
        shape = _shape(value)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if dtype.kind == "O":
            raise OnnxbinError(f"input '{value.name}' takes strings, which cannot be made up")
        floats = dtype.kind == "f"
        feed[value.name] = (rng.standard_normal(shape) if floats else np.ones(shape)).astype(dtype)
    return feed


def _shape(value: ValueInfoProto) -> list[int]:
    dims = value.type.tensor_type.shape.dim
    # An open first axis is the batch. What other open ones are, only the model's author knows.
    sizes = [dim.dim_value or (1 if axis == 0 else 0) for axis, dim in enumerate(dims)]
    if 0 in sizes:
        text = ", ".join(str(dim.dim_value or dim.dim_param or "?") for dim in dims)
        raise OnnxbinError(
            f"input '{value.name}' [{text}] leaves its size open, and a model is timed at one size: give an "
            "image's, as in --input-size 640x640, or fix it in the model"
        )
    if min(sizes, default=1) < 0 or math.prod(sizes) > MOST_VALUES:
        raise OnnxbinError(
            f"input '{value.name}' {sizes}: expected sizes from 1 on, and at most {MOST_VALUES:,} values"
        )
    return sizes
