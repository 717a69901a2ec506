"""Tensors and element types of ONNX in PyTorch.

16-bit floats are read as float32: a half-precision detector computes and trains in single precision, and its
weights take their own type again when they are written back.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor

from onnxbin.errors import OnnxbinError

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
    array = onnx.numpy_helper.to_array(proto)
    if dtype == torch.float32:
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array)).to(dtype)
