"""Trained weights back into the ONNX graph they came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto

from onnxbin.errors import OnnxbinError


def write_initializers(model: ModelProto, values: Mapping[str, npt.NDArray[Any]]) -> None:
    """Set initializers and Constant nodes of the main graph, in place, each in the element type that it has.

    values: as `GraphModule.initializers` returns them. Raises OnnxbinError, and changes nothing, where a name
    is unknown or a shape differs.
    """
    stored = _stored(model)
    for name, value in values.items():
        if name not in stored:
            raise OnnxbinError(f"the graph has no initializer {name!r} to write to")
        if tuple(stored[name].dims) != value.shape:
            raise OnnxbinError(
                f"initializer {name!r} has shape {list(stored[name].dims)}, not {list(value.shape)}"
            )
    for name, value in values.items():
        proto = stored[name]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(proto.data_type)
        proto.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value).astype(dtype), proto.name))


def _stored(model: ModelProto) -> dict[str, TensorProto]:
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            stored[node.output[0]] = node.attribute[0].t
    return stored
