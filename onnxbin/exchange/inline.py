"""For runtimes that know no local functions: the bodies in the place of their calls.

The bits stay packed and standard ops unpack them, which OpenVINO and OpenCV 5 compute once, at load. For what
cannot unpack them, OpenCV 4 for one, the weights are stored as floats.
"""

from __future__ import annotations

import onnx
import onnx.inliner
from onnx import ModelProto

from onnxbin.constants import with_stored_weights
from onnxbin.errors import OnnxbinError
from onnxbin.operator import DOMAIN, qlinear


def inlined(proto: ModelProto, float_weights: bool = False) -> ModelProto:
    """A copy of the model of standard ops alone; `float_weights`: its convolutions have plain weights.

    Raises OnnxbinError where there is nothing to inline.
    """
    if not proto.functions:
        raise OnnxbinError("the model has no local functions, so there is nothing to inline")
    model: ModelProto = onnx.inliner.inline_local_functions(proto)
    for index in reversed(range(len(model.opset_import))):
        if model.opset_import[index].domain in (DOMAIN, qlinear.DOMAIN):
            del model.opset_import[index]
    return with_stored_weights(model) if float_weights else model
