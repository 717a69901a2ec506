"""ONNX <-> PyTorch: run and fine-tune an ONNX graph as it is; what training made of it goes back by name.

The only part of onnxbin that imports PyTorch.
"""

from onnxbin.bridge.binary import BinaryConv2d
from onnxbin.bridge.cut import targets
from onnxbin.bridge.distill import Distillation
from onnxbin.bridge.module import GraphModule

__all__ = ["BinaryConv2d", "Distillation", "GraphModule", "targets"]
