"""onnxbin: binarize ONNX detectors layer by layer.

>>> import onnxbin
>>> result = onnxbin.compress("model.onnx", until_ratio=20, images="photos/")
>>> onnxbin.session(result.path).run(None, {"images": tensor})
"""

from onnxbin.compress import compress, resume
from onnxbin.errors import OnnxbinError
from onnxbin.operator import get_library_path, session
from onnxbin.records import Listener, Record, Result, Step
from onnxbin.settings import Settings
from onnxbin.version import __version__

__all__ = [
    "Listener",
    "OnnxbinError",
    "Record",
    "Result",
    "Settings",
    "Step",
    "__version__",
    "compress",
    "get_library_path",
    "resume",
    "session",
]
