"""Sizes of tensors, from the model's own fixed input size or a stated one."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import ModelProto, ValueInfoProto

from onnxbin.errors import OnnxbinError


def spatial_sizes(proto: ModelProto) -> dict[str, list[int]]:
    """Tensor -> its sizes behind batch and channels, for tensors of which shape inference knows them all."""
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    sizes = {}
    for value in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]:
        dims = value.type.tensor_type.shape.dim
        if len(dims) > 2 and all(dim.HasField("dim_value") for dim in dims[2:]):
            sizes[value.name] = [dim.dim_value for dim in dims[2:]]
    return sizes


def real_inputs(proto: ModelProto) -> list[ValueInfoProto]:
    """The inputs a caller must feed: those that are not initializers listed as inputs."""
    initializers = {tensor.name for tensor in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in initializers]


def with_input_shape(proto: ModelProto, shape: Sequence[int]) -> ModelProto:
    """A copy whose first four-dimensional input has this shape; what was inferred from another is dropped."""
    model = ModelProto()
    model.CopyFrom(proto)
    for value in real_inputs(model):
        dims = value.type.tensor_type.shape.dim
        if len(dims) == len(shape):
            if any(d.HasField("dim_value") and d.dim_value != s for d, s in zip(dims, shape, strict=True)):
                fixed = "x".join(str(d.dim_value or d.dim_param or "?") for d in dims)
                raise OnnxbinError(
                    f"--input-shape {'x'.join(map(str, shape))}: input {value.name!r} is fixed to {fixed}"
                )
            for dim, size in zip(dims, shape, strict=True):
                dim.dim_value = size
            del model.graph.value_info[:]
            return model
    raise OnnxbinError(f"--input-shape: the model has no input of {len(shape)} dimensions")
