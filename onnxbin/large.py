"""Models of more than 2 GiB, which one protobuf message cannot hold.

Their large tensors stay in the files beside the model until something needs the values, as TensorProtos with
`external_data`, whose `basepath` is the model's folder. All of onnx's own tools, and a session made of bytes,
want the model as one message: the large tensors then go around them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, helper
from onnx.external_data_helper import (
    ExternalDataInfo,
    _get_all_tensors,
    load_external_data_for_tensor,
    set_external_data,
    uses_external_data,
)

from onnxbin.errors import OnnxbinError

MESSAGE = 2**31 - 1
"""Bytes that one protobuf message can hold."""

LARGE = 2**20
"""Bytes from which a tensor goes around: no shape or scalar that a tool looks at is as large."""


def array_of(tensor: TensorProto) -> npt.NDArray[Any]:
    """The values of a stored tensor, read from its file where it was left there."""
    folder = ExternalDataInfo(tensor).basepath if uses_external_data(tensor) else ""
    return onnx.numpy_helper.to_array(tensor, base_dir=folder)


def load_external(proto: ModelProto, folder: Path, size: int) -> None:
    """Read what a model stores in files of this folder, in place.

    Of a model of more than 2 GiB, all but the large weights, which `array_of` reads.

    The files have been checked (see onnxbin.model). size: of all of them. Raises ValueError where one is too
    short for its tensor, or where what has to be read is too large itself.
    """
    outside = []
    if size > MESSAGE:
        outside = [tensor for tensor in proto.graph.initializer if _may_stay_outside(tensor)]
        for tensor in outside:
            _leave_outside(tensor, folder)
    left = {tensor.name for tensor in outside}
    to_load = [t for t in _get_all_tensors(proto) if uses_external_data(t) and t.name not in left]
    if size > MESSAGE and sum(map(_bytes, to_load)) + proto.ByteSize() > MESSAGE:
        raise ValueError("more than 2 GiB of it are no weights of float32 or float16 that are stored outside")
    for tensor in to_load:
        load_external_data_for_tensor(tensor, str(folder))


def _may_stay_outside(tensor: TensorProto) -> bool:
    weights = tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
    return weights and uses_external_data(tensor) and _bytes(tensor) >= LARGE


def _leave_outside(tensor: TensorProto, folder: Path) -> None:
    info = ExternalDataInfo(tensor)
    offset, size = info.offset or 0, _bytes(tensor)
    if info.length not in (None, size) or offset + size > (folder / info.location).stat().st_size:
        raise ValueError(f"tensor {tensor.name!r} has {size} bytes, not as many as are stored")
    tensor.raw_data = b""  # without, set_external_data refuses
    set_external_data(tensor, info.location, offset, size, basepath=str(folder.resolve()))
    tensor.ClearField("raw_data")


def byte_size(proto: ModelProto) -> int:
    """Bytes of the model with all its tensors in one file; a few bytes off where some go around."""
    outside = _outside(proto)
    size: int = (_without(proto, outside) if outside else proto).ByteSize()
    return size + sum(_bytes(tensor) for tensor in outside)


def serialized(proto: ModelProto) -> bytes:
    """The model as one file, with what was outside. Raises OnnxbinError where that is too large."""
    size = byte_size(proto)
    if size > MESSAGE:
        raise OnnxbinError(f"the model has {size} bytes, more than the 2 GiB that one ONNX file can hold")
    whole = ModelProto()
    whole.CopyFrom(proto)
    for tensor in whole.graph.initializer:
        if uses_external_data(tensor):
            load_external_data_for_tensor(tensor, ExternalDataInfo(tensor).basepath)
    content: bytes = whole.SerializeToString()
    return content


def as_message(proto: ModelProto) -> ModelProto:
    """The model as one message: itself, or a copy whose large tensors are inputs of their type and shape."""
    return _with_inputs(proto, _outside(proto))


def to_check(proto: ModelProto) -> ModelProto:
    """The same of a model that was just read: the sizes that its tensors state may be lies."""
    return _with_inputs(proto, _external(proto))


def around(tool: Callable[[ModelProto], ModelProto], proto: ModelProto) -> ModelProto:
    """What a tool makes of a model, whose large tensors go around it."""
    outside = _outside(proto)
    made = tool(as_message(proto))
    if outside:
        listed = {entry.name for entry in proto.graph.input}
        added = {tensor.name for tensor in outside} - listed
        inputs = [entry for entry in made.graph.input if entry.name not in added]
        del made.graph.input[:]
        made.graph.input.extend(inputs)
        made.graph.initializer.extend(outside)
    return made


def for_session(proto: ModelProto) -> tuple[bytes, dict[str, npt.NDArray[Any]]]:
    """The model for ONNX Runtime: one message, and by name the tensors that go around it."""
    outside = _outside(proto)
    if not outside:
        return proto.SerializeToString(), {}
    message = _without(proto, outside)
    for tensor in outside:
        stub = message.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        stub.data_location = TensorProto.EXTERNAL
        stub.external_data.add(key="location", value="memory")
    return message.SerializeToString(), {tensor.name: array_of(tensor) for tensor in outside}


def _outside(proto: ModelProto) -> list[TensorProto]:
    """The tensors that go around: those in files, and all large ones of a model that is too large."""
    tensors = proto.graph.initializer
    if sum(map(_bytes, tensors)) <= MESSAGE - LARGE:
        return _external(proto)
    return [tensor for tensor in tensors if uses_external_data(tensor) or _bytes(tensor) >= LARGE]


def _external(proto: ModelProto) -> list[TensorProto]:
    return [tensor for tensor in proto.graph.initializer if uses_external_data(tensor)]


def _with_inputs(proto: ModelProto, outside: list[TensorProto]) -> ModelProto:
    if not outside:
        return proto
    message = _without(proto, outside)
    listed = {entry.name for entry in proto.graph.input}
    message.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in outside
        if tensor.name not in listed
    )
    return message


def _without(proto: ModelProto, tensors: list[TensorProto]) -> ModelProto:
    names = {tensor.name for tensor in tensors}
    copy = ModelProto()
    copy.CopyFrom(proto)
    kept = [tensor for tensor in copy.graph.initializer if tensor.name not in names]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(kept)
    return copy


def _bytes(tensor: TensorProto) -> int:
    return element_bytes(tensor.data_type) * math.prod(map(int, tensor.dims))


def element_bytes(data_type: int) -> int:
    """Of one element; 0 of a type that onnx does not know."""
    try:
        return int(helper.tensor_dtype_to_np_dtype(data_type).itemsize)
    except KeyError:
        return 0
