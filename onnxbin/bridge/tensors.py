"""Tensors and element types of ONNX in PyTorch.

16-bit floats are read as float32: a half-precision detector computes and trains in single precision, and its
weights take their own type again when they are written back. 8-bit floats keep their type, in which PyTorch
stores and converts but does not compute. Integers of less than 8 bits have no type in PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor

from onnxbin.errors import OnnxbinError
from onnxbin.large import array_of

_DTYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float32,
    TensorProto.BFLOAT16: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.BOOL: torch.bool,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.FLOAT8E4M3FN: torch.float8_e4m3fn,
    TensorProto.FLOAT8E4M3FNUZ: torch.float8_e4m3fnuz,
    TensorProto.FLOAT8E5M2: torch.float8_e5m2,
    TensorProto.FLOAT8E5M2FNUZ: torch.float8_e5m2fnuz,
}


def torch_dtype(element_type: int) -> torch.dtype:
    """The PyTorch type that stands for an ONNX element type. Raises OnnxbinError where there is none."""
    try:
        return _DTYPES[element_type]
    except KeyError:
        name = TensorProto.DataType.Name(element_type)
        raise OnnxbinError(f"element type {name} is not supported in fine-tuning") from None


def is_numeric(proto: TensorProto) -> bool:
    """Whether `to_tensor` can read it."""
    return proto.data_type in _DTYPES


def to_tensor(proto: TensorProto) -> Tensor:
    """A stored ONNX tensor as a PyTorch tensor of its own memory."""
    dtype = torch_dtype(proto.data_type)
    array = array_of(proto)
    if dtype.is_floating_point and dtype != torch.float64:  # 8- and 16-bit floats that NumPy does not have
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array)).to(dtype)


def single_precision(value: Any) -> Any:
    """A tensor, or the tensors of a sequence, with 16-bit floats as float32; anything else as it is."""
    if isinstance(value, list):
        return [single_precision(item) for item in value]
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value
