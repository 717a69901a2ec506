"""ONNX <-> PyTorch: run and fine-tune an ONNX graph as it is, and write the result back.

The only part of onnxbin that imports PyTorch.
"""

from onnxbin.bridge.binary import BinaryConv2d
from onnxbin.bridge.cut import targets
from onnxbin.bridge.module import GraphModule

__all__ = ["BinaryConv2d", "GraphModule", "targets"]
