"""How far a compressed model's outputs are from the original's, on held-back images, in ONNX Runtime.

agreement = 1 - mean over outputs of ||compressed - original|| / ||original||, norms over all images.
1 is the same output, 0 is as far off as an output of zeros, and there is no lower bound. Both models run in
the stock runtime, without the operator library: what is measured is the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto

from onnxbin.errors import OnnxbinError, first_line
from onnxbin.large import as_message

Float32 = npt.NDArray[np.float32]


def agreement(found: Sequence[Sequence[Float32]], expected: Sequence[Sequence[Float32]]) -> float:
    """The agreement of a model with its original; minus infinity where its outputs are not finite.

    found, expected: for each image, the compared outputs of the model and of the original.
    """
    relative = np.sqrt(_relative_squares(found, expected))
    return float(1 - relative.mean()) if np.isfinite(relative).all() else float("-inf")


def _relative_squares(
    found: Sequence[Sequence[Float32]], expected: Sequence[Sequence[Float32]]
) -> npt.NDArray[np.float64]:
    """For each output, its squared difference over all images, relative to the square of what is expected."""
    difference = np.zeros(len(expected[0]))
    norm = np.zeros(len(expected[0]))
    for results, wants in zip(found, expected, strict=True):
        for position, (result, wanted) in enumerate(zip(results, wants, strict=True)):
            wanted64 = wanted.astype(np.float64)
            difference[position] += np.square(result - wanted64).sum()
            norm[position] += np.square(wanted64).sum()
    return np.asarray(difference / np.where(norm > 0, norm, 1))


def run(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], feed: Mapping[str, npt.NDArray[Any]]
) -> list[Float32]:
    """Run a session; OnnxbinError says why it cannot."""
    try:
        results: list[Float32] = session.run(list(outputs), dict(feed))
    except Exception as error:  # ONNX Runtime has no base class of its own for what it raises
        raise OnnxbinError(f"the model fails on an image: {first_line(error)}") from None
    return results


def with_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """A copy of the model that also has the named tensors as outputs."""
    copy = ModelProto()
    copy.CopyFrom(model)
    missing = set(names) - {output.name for output in copy.graph.output}
    if missing:
        inferred = onnx.shape_inference.infer_shapes(as_message(model)).graph
        types = {v.name: v.type.tensor_type.elem_type for v in [*inferred.value_info, *inferred.input]}
        for name in sorted(missing):
            value = onnx.ValueInfoProto(name=name)
            value.type.tensor_type.elem_type = types.get(name, onnx.TensorProto.FLOAT)
            copy.graph.output.append(value)
    return copy
