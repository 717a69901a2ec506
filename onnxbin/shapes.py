"""Sizes of tensors, from the model's own fixed input size or a stated one; and which axis has channels."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import ModelProto

from onnxbin.images import ImageInput
from onnxbin.large import as_message


def spatial_sizes(proto: ModelProto) -> dict[str, list[int]]:
    """Tensor -> its sizes behind batch and channels, for tensors of which shape inference knows them all."""
    inferred = onnx.shape_inference.infer_shapes(as_message(proto), data_prop=True)
    sizes = {}
    for value in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]:
        dims = value.type.tensor_type.shape.dim
        if len(dims) > 2 and all(dim.HasField("dim_value") for dim in dims[2:]):
            sizes[value.name] = [dim.dim_value for dim in dims[2:]]
    return sizes


def with_input_size(proto: ModelProto, size: tuple[int, int] | None) -> ModelProto:
    """A copy that takes one image of this size (height, width), or of its own; what was inferred is dropped.

    Raises OnnxbinError where the model has no image input, or one of another fixed size.
    """
    image = ImageInput.of(proto, size)
    model = ModelProto()
    model.CopyFrom(proto)
    value = next(value for value in model.graph.input if value.name == image.name)
    for dim, extent in zip(value.type.tensor_type.shape.dim, (1, *image.shape), strict=True):
        dim.dim_value = extent
    del model.graph.value_info[:]
    return model


def channel_axis(shape: Sequence[int]) -> int:
    """Axis 1 of [N, C, *sizes]; of three axes, as in decoded boxes, the shorter of the last two."""
    return 2 if len(shape) == 3 and shape[2] < shape[1] else 1
