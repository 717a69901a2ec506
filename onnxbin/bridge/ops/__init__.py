"""ONNX operators (opset 21) as functions on PyTorch tensors, one file a family."""

from onnxbin.bridge.ops import (
    convolution,
    elementwise,
    indexing,
    linear,
    normalization,
    pooling,
    reduction,
    resize,
    shape,
)
from onnxbin.bridge.ops.registry import Operator, find, names

__all__ = [
    "Operator",
    "convolution",
    "elementwise",
    "find",
    "indexing",
    "linear",
    "names",
    "normalization",
    "pooling",
    "reduction",
    "resize",
    "shape",
]
