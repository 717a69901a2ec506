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
from onnxbin.images import ImageSet
from onnxbin.operator import stock_session

Float32 = npt.NDArray[np.float32]


class Agreement:
    """Compares models with an original; its outputs are computed once, at construction.

    images: the held-back images; the sums run over all of them.
    outputs: names of the float tensors to compare.
    """

    def __init__(self, original: ModelProto, outputs: Sequence[str], images: ImageSet) -> None:
        self._outputs = list(outputs)
        self._images = images
        self._expected = self._run(original)
        for name, values in zip(self._outputs, zip(*self._expected, strict=True), strict=True):
            if not all(np.isfinite(value).all() for value in values):
                raise OnnxbinError(
                    f"output {name!r} of the original is not finite on the given images; "
                    "is the preprocessing right?"
                )

    def of(self, model: ModelProto) -> float:
        """The agreement of `model` with the original; minus infinity where its outputs are not finite."""
        difference = np.zeros(len(self._outputs))
        norm = np.zeros(len(self._outputs))
        for results, expected in zip(self._run(model), self._expected, strict=True):
            for position, (found, wanted) in enumerate(zip(results, expected, strict=True)):
                wanted64 = wanted.astype(np.float64)
                difference[position] += np.square(found - wanted64).sum()
                norm[position] += np.square(wanted64).sum()
        relative = np.sqrt(difference / np.where(norm > 0, norm, 1))
        return float(1 - relative.mean()) if np.isfinite(relative).all() else float("-inf")

    def _run(self, model: ModelProto) -> list[list[Float32]]:
        """The outputs to compare, of each image."""
        session = stock_session(with_outputs(model, self._outputs))
        target = self._images.target
        feeds = (target.feed([self._images.tensor(index)]) for index in range(len(self._images)))
        return [run(session, self._outputs, feed) for feed in feeds]


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
        inferred = onnx.shape_inference.infer_shapes(model).graph
        types = {v.name: v.type.tensor_type.elem_type for v in [*inferred.value_info, *inferred.input]}
        for name in sorted(missing):
            value = onnx.ValueInfoProto(name=name)
            value.type.tensor_type.elem_type = types.get(name, onnx.TensorProto.FLOAT)
            copy.graph.output.append(value)
    return copy
