"""From pixels to the tensor a model was trained on, and back from its coordinates to the image's.

tensor = (pixel - mean) / std        per channel, on the 0..255 scale, in the model's channel order
x_input = x_image * scale + offset   per axis
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from onnxbin.errors import OnnxbinError
from onnxbin.images.model_input import ImageInput
from onnxbin.images.source import Pixels

Float32 = npt.NDArray[np.float32]
Resize = Literal["stretch", "letterbox", "letterbox-top-left"]
Channels = Literal["rgb", "bgr"]

METADATA_KEY = "onnxbin.preprocessing"
"""Where a written model's metadata records its preprocessing, as JSON."""


@dataclass(frozen=True)
class Geometry:
    """Where an image landed in the model's input: position in input = position in image * scale + offset."""

    scale_x: float
    scale_y: float
    offset_x: float = 0.0
    offset_y: float = 0.0

    def to_input(self, boxes: npt.ArrayLike) -> Float32:
        """Map boxes [..., 4] = x1, y1, x2, y2 from pixels of the image to pixels of the input."""
        return (np.asarray(boxes, np.float64) * self._scale + self._offset).astype(np.float32)

    def to_image(self, boxes: npt.ArrayLike) -> Float32:
        """Map boxes [..., 4] = x1, y1, x2, y2 from pixels of the input to pixels of the image."""
        return ((np.asarray(boxes, np.float64) - self._offset) / self._scale).astype(np.float32)

    @property
    def _scale(self) -> npt.NDArray[np.float64]:
        return np.array([self.scale_x, self.scale_y] * 2)

    @property
    def _offset(self) -> npt.NDArray[np.float64]:
        return np.array([self.offset_x, self.offset_y] * 2)


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an image before a model sees it.

    resize: "stretch" fills the input and ignores the aspect; "letterbox" keeps it and centres the image;
        "letterbox-top-left" keeps the aspect and leaves the rest at the right and bottom.
    pad: the grey level, 0..255, of what a letterboxed image leaves free.
    channels: the order the model wants.
    mean, std: per channel in that order, on the 0..255 scale.
    Raises OnnxbinError on a value outside these.
    """

    resize: Resize = "stretch"
    pad: int = 114
    channels: Channels = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)

    def __post_init__(self) -> None:
        if self.resize not in get_args(Resize):
            raise OnnxbinError(
                f"preprocessing: resize '{self.resize}' is not one of {', '.join(get_args(Resize))}"
            )
        if self.channels not in get_args(Channels):
            raise OnnxbinError(
                f"preprocessing: channels '{self.channels}' is not one of {', '.join(get_args(Channels))}"
            )
        if not 0 <= self.pad <= 255:
            raise OnnxbinError(f"preprocessing: pad {self.pad} is not a grey level 0..255")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(math.isfinite(v) for v in values):
                raise OnnxbinError(f"preprocessing: {name} {values} is not three finite numbers")
        if min(self.std) <= 0:
            raise OnnxbinError(f"preprocessing: std {self.std} must be above 0 (it divides)")

    def apply(self, pixels: Pixels, target: ImageInput) -> tuple[Float32, Geometry]:
        """The tensor, float32 of `target.shape`, of an image, and where the image landed in it."""
        placed, geometry = self._place(pixels, target)
        if self.channels == "bgr":
            placed = placed[..., ::-1]
        # Bytes are transposed, not floats, and planes scaled, not pixels: fourteen times as fast.
        tensor = np.ascontiguousarray(placed.transpose(2, 0, 1)).astype(np.float32)
        tensor -= np.array(self.mean, np.float32)[:, None, None]
        tensor /= np.array(self.std, np.float32)[:, None, None]
        if target.layout == "NHWC":
            tensor = np.ascontiguousarray(tensor.transpose(1, 2, 0))
        return tensor, geometry

    def to_json(self) -> str:
        """As JSON, for a model's metadata and a run's settings."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """Read what `to_json` wrote; raises OnnxbinError on anything else."""
        try:
            content = json.loads(text)
            names = {field.name for field in fields(cls)}
            if set(content) != names:
                raise ValueError(f"expected the fields {', '.join(sorted(names))}")
            for name in ("mean", "std"):
                content[name] = tuple(float(v) for v in content[name])
            return cls(**content)
        except (OverflowError, RecursionError, TypeError, ValueError) as error:
            raise OnnxbinError(f"preprocessing {text[:80]!r} is not what onnxbin writes: {error}") from None

    def _place(self, pixels: Pixels, target: ImageInput) -> tuple[Pixels, Geometry]:
        height, width = pixels.shape[:2]
        if self.resize == "stretch":
            new_height, new_width = target.height, target.width
        else:
            scale = min(target.height / height, target.width / width)
            new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
        if (new_height, new_width) != (height, width):
            image = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
        top, left = 0, 0
        if self.resize == "letterbox":
            top, left = (target.height - new_height) // 2, (target.width - new_width) // 2
        # The scale is the one that rounding to whole pixels left: mapping boxes back is then exact.
        geometry = Geometry(new_width / width, new_height / height, left, top)
        if (new_height, new_width) == (target.height, target.width):
            return pixels, geometry
        canvas = np.full((target.height, target.width, 3), self.pad, np.uint8)
        canvas[top : top + new_height, left : left + new_width] = pixels
        return canvas, geometry
