"""onnxbin: binarize ONNX detectors layer by layer."""

from onnxbin.errors import OnnxbinError
from onnxbin.operator import get_library_path, session

__all__ = ["OnnxbinError", "get_library_path", "session"]
