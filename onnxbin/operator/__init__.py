"""The BinaryConv operators: packing, function bodies, NumPy reference, the compiled library."""

from onnxbin.operator.function import DOMAIN, OP_TYPES, VERSION, function
from onnxbin.operator.library import get_library_path, instruction_sets, session, stock_session
from onnxbin.operator.quantizer import QuantInput, Quantizer, SignInput
from onnxbin.operator.reference import binary_conv
from onnxbin.operator.weight import BinaryWeight, pack_signs, unpack_signs

__all__ = [
    "DOMAIN",
    "OP_TYPES",
    "VERSION",
    "BinaryWeight",
    "QuantInput",
    "Quantizer",
    "SignInput",
    "binary_conv",
    "function",
    "get_library_path",
    "instruction_sets",
    "pack_signs",
    "session",
    "stock_session",
    "unpack_signs",
]
