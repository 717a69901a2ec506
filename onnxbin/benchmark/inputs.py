"""What a model is fed while it is timed: images, in the way it wants them; noise for inputs of another kind.

Convolutions take as long whatever they see, but what follows them may not: non-maximum suppression takes
longer the more boxes there are. So photographs are better than none.
"""

from __future__ import annotations

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

FEEDS = 8
"""At most so many images are prepared and fed in turns."""

RENDERED = 32
"""Images that are rendered where none are given; int8 is calibrated on all of them."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """feeds: one or more. description: where they come from. images: what image inputs are made of."""

    feeds: list[Feed]
    description: str
    images: ImageSet | None


def inputs(proto: ModelProto, choice: Choice, images: Path | None, size: tuple[int, int] | None) -> Inputs:
    """Inputs for a model.

    choice: how images are fed. images: as `onnxbin.images.find_images` has it; None: onnxbin renders some.
    size: (height, width) of the image input, where the model leaves it open.
    Raises OnnxbinError where the model takes no image but images or a size are given, and where the size of
    an input is open.
    """
    initializers = {tensor.name for tensor in proto.graph.initializer}
    values = [value for value in proto.graph.input if value.name not in initializers]
    try:
        target = ImageInput.of(proto, size)
    except OnnxbinError:
        if images is not None or size is not None:
            raise
        return Inputs([_noise(values)], "seeded noise", None)
    others = _noise([value for value in values if value.name != target.name])
    if images is None:
        photos = ImageSet.rendered(RENDERED, target, choice.preprocessing)
        description = "images that onnxbin renders"
    else:
        photos = ImageSet.open(images, target, choice.preprocessing)
        description = f"images of {images}"
    count = min(FEEDS, len(photos))
    feeds: list[Feed] = [{**others, **target.feed([photos.tensor(index)])} for index in range(count)]
    description = f"{count} {description}" + (", noise for other inputs" if others else "")
    return Inputs(feeds, description, photos)


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
            f"input '{value.name}' [{text}] leaves its size open: give that of an image, as in "
            "--input-size 640x640; other inputs need a model of fixed sizes"
        )
    return sizes
