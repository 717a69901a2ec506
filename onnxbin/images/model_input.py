"""What a model's image input looks like: name, size, layout, type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx

from onnxbin.errors import OnnxbinError
from onnxbin.images.source import MOST_PIXELS

_DTYPES: dict[int, Literal["float32", "float16", "uint8"]] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.UINT8: "uint8",
}


@dataclass(frozen=True)
class ImageInput:
    """The image input of a model: [N, 3, height, width] (NCHW) or [N, height, width, 3] (NHWC)."""

    name: str
    height: int
    width: int
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["float32", "float16", "uint8"] = "float32"

    @classmethod
    def of(cls, model: onnx.ModelProto, size: tuple[int, int] | None = None) -> ImageInput:
        """The one image input of `model`; size (height, width) settles what the model leaves open.

        Raises OnnxbinError where there is no such input or more than one, where its size is open and not
        given, or where a given size contradicts the model.
        """
        # Old exporters list the weights as inputs too.
        weights = {initializer.name for initializer in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in weights]
        images = [(value, layout) for value in inputs if (layout := _layout(value))]
        if len(images) != 1:
            shapes = ", ".join(f"'{value.name}' {_shape_text(value)}" for value in inputs)
            raise OnnxbinError(
                f"the model has {len(images)} image inputs, expected one: [N, 3, H, W] or [N, H, W, 3]; "
                f"its inputs are {shapes or 'none'}"
            )
        value, layout = images[0]
        kind = value.type.tensor_type.elem_type
        if kind not in _DTYPES:
            name = onnx.TensorProto.DataType.Name(kind).lower()
            raise OnnxbinError(f"image input '{value.name}' is {name}; expected float, float16 or uint8")
        dims = value.type.tensor_type.shape.dim
        rows, columns = (dims[2], dims[3]) if layout == "NCHW" else (dims[1], dims[2])
        fixed = (rows.dim_value, columns.dim_value)
        if size is None and 0 in fixed:
            raise OnnxbinError(
                f"image input '{value.name}' {_shape_text(value)} leaves its height and width open: "
                "give the size to use, as in --input-size 640x640"
            )
        height, width = size or fixed
        if any(want and got != want for got, want in zip((height, width), fixed, strict=True)):
            raise OnnxbinError(
                f"image input '{value.name}' is {_shape_text(value)}, which {height}x{width} does not fit"
            )
        if not 0 < height * width <= MOST_PIXELS or height < 0:
            raise OnnxbinError(
                f"image input '{value.name}' is of {height} x {width} pixels; "
                f"expected at most {MOST_PIXELS // 10**6} million"
            )
        return cls(value.name, height, width, layout, _DTYPES[kind])

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image, without the batch axis."""
        return (3, self.height, self.width) if self.layout == "NCHW" else (self.height, self.width, 3)

    def feed(self, tensors: Sequence[npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[Any]]:
        """Stack tensors of `shape` into a batch of the model's own type, keyed by the input's name."""
        batch = np.stack(tensors)
        if self.dtype == "uint8":
            batch = np.clip(np.rint(batch), 0, 255)
        return {self.name: batch.astype(self.dtype, copy=False)}


def _layout(value: onnx.ValueInfoProto) -> Literal["NCHW", "NHWC"] | None:
    dims = value.type.tensor_type.shape.dim
    if len(dims) != 4:
        return None
    # Three channels is the rule; [N, 3, H, 3] is no image anybody has.
    if dims[1].dim_value == 3:
        return "NCHW"
    return "NHWC" if dims[3].dim_value == 3 else None


def _shape_text(value: onnx.ValueInfoProto) -> str:
    dims = value.type.tensor_type.shape.dim
    return f"[{', '.join(str(dim.dim_value or dim.dim_param or '?') for dim in dims)}]"
