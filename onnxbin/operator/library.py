"""Where the compiled operators are, and sessions that use them."""

from __future__ import annotations

import ctypes
import importlib.resources
import os
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from onnxbin.errors import OnnxbinError, first_line
from onnxbin.large import for_session

_NAMES = ("libonnxbin_ops.so", "libonnxbin_ops.dylib", "onnxbin_ops.dll")


def get_library_path() -> str:
    """The path of the operator library, for `SessionOptions.register_custom_ops_library`.

    Raises OnnxbinError where the package was installed without it.
    """
    # importlib.resources, not __file__: in an editable install the library lives in another folder.
    # That folder of build products has no __init__.py, so it is looked for from its parent.
    root = importlib.resources.files("onnxbin")
    for name in _NAMES:
        library = root / "lib" / name
        if library.is_file():
            return str(library)
    raise OnnxbinError(
        "the operator library is not built: install onnxbin with pip on a machine with a C++17 compiler "
        "(models still run without it, more slowly, in a plain onnxruntime.InferenceSession)"
    )


def instruction_sets() -> list[str]:
    """The kernel families that this processor can run, the one in use first.

    Raises OnnxbinError where the environment variable ONNXBIN_ISA names none of them.
    """
    library = ctypes.CDLL(get_library_path())
    library.OnnxbinInstructionSets.restype = ctypes.c_char_p
    text: bytes = library.OnnxbinInstructionSets()
    if not text:
        raise OnnxbinError(f"ONNXBIN_ISA={os.environ.get('ONNXBIN_ISA')}: this processor has no such kernels")
    return text.decode().split(",")


def stock_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session on the CPU without the operator library: binary layers run as their function bodies.

    Raises OnnxbinError where ONNX Runtime cannot load the model.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised; what it warns of is at no loss here
    content, outside = for_session(model)
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in outside.items()}
    options.add_external_initializers(list(values), list(values.values()))
    opened = _open(content, options, providers=["CPUExecutionProvider"])
    opened.onnxbin_values = values  # it reads them where they are
    return opened


def session(
    model: str | os.PathLike[str] | bytes,
    options: onnxruntime.SessionOptions | None = None,
    **arguments: Any,
) -> onnxruntime.InferenceSession:
    """An `onnxruntime.InferenceSession` on the CPU with the operator library registered.

    model: a path, or a serialized model. options: if given, the library is registered on it.
    arguments: passed on to InferenceSession; `providers` is the CPU's unless given.
    Raises OnnxbinError where the library is missing or ONNX Runtime cannot load the model.
    """
    options = options or onnxruntime.SessionOptions()
    options.register_custom_ops_library(get_library_path())
    arguments.setdefault("providers", ["CPUExecutionProvider"])
    return _open(model if isinstance(model, bytes) else str(Path(model)), options, **arguments)


def _open(
    source: str | bytes, options: onnxruntime.SessionOptions, **arguments: Any
) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(source, options, **arguments)
    except Exception as error:  # ONNX Runtime has no base class of its own for what it raises
        name = "the model" if isinstance(source, bytes) else source
        raise OnnxbinError(f"{name}: ONNX Runtime cannot load it: {first_line(error)}") from None
