"""Files for and from others: networks trained binary elsewhere, QONNX, runtimes without local functions."""

from onnxbin.exchange.binary_import import ImportedLayer, import_binary
from onnxbin.exchange.inline import inlined
from onnxbin.exchange.qonnx_export import to_qonnx

__all__ = ["ImportedLayer", "import_binary", "inlined", "to_qonnx"]
