"""ONNX operators (opset 21 and newer) as functions on PyTorch tensors, one file a family."""

from onnxbin.bridge.ops import (
    control,
    convolution,
    detection,
    elementwise,
    indexing,
    linear,
    normalization,
    pooling,
    quantization,
    recurrent,
    reduction,
    resize,
    sequence,
    shape,
    signal,
)
from onnxbin.bridge.ops.registry import Operator, find, names

__all__ = [
    "Operator",
    "control",
    "convolution",
    "detection",
    "elementwise",
    "find",
    "indexing",
    "linear",
    "names",
    "normalization",
    "pooling",
    "quantization",
    "recurrent",
    "reduction",
    "resize",
    "sequence",
    "shape",
    "signal",
]
