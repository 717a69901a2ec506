"""The BinaryConv operators: packing, function bodies, NumPy reference, the compiled library."""

from onnxbin.operator.activation import ACTIVATIONS, Activation
from onnxbin.operator.function import DOMAIN, OP_TYPES, VERSION, function, functions
from onnxbin.operator.library import get_library_path, instruction_sets, session, stock_session
from onnxbin.operator.quantizer import QuantInput, Quantizer, SignInput
from onnxbin.operator.reference import binary_conv
from onnxbin.operator.weight import BinaryWeight, pack_signs, unpack_signs

__all__ = [
    "ACTIVATIONS",
    "DOMAIN",
    "OP_TYPES",
    "VERSION",
    "Activation",
    "BinaryWeight",
    "QuantInput",
    "Quantizer",
    "SignInput",
    "binary_conv",
    "function",
    "functions",
    "get_library_path",
    "instruction_sets",
    "pack_signs",
    "session",
    "stock_session",
    "unpack_signs",
]
