"""How far a compressed model's outputs are from the original's, on held-back images, in ONNX Runtime.

agreement = 1 - mean over outputs of ||compressed - original|| / ||original||, the norms taken over all
images. 1 is the same output, 0 is as far off as an output of zeros. Both models run in the stock runtime,
without the
operator library: what is measured is the file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto

from onnxbin.errors import OnnxbinError
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
        session = stock_session(with_outputs(original, self._outputs))
        self._expected = [self._run(session, index) for index in range(len(images))]
        for name, values in zip(self._outputs, zip(*self._expected, strict=True), strict=True):
            if not all(np.isfinite(value).all() for value in values):
                raise OnnxbinError(
                    f"output {name!r} of the original is not finite on the given images; "
                    "is the preprocessing right?"
                )

    def of(self, model: ModelProto) -> float:
        """The agreement of `model` with the original: 1 is equal, and there is no lower bound."""
        session = stock_session(with_outputs(model, self._outputs))
        difference = np.zeros(len(self._outputs))
        norm = np.zeros(len(self._outputs))
        for index, expected in enumerate(self._expected):
            for position, (found, wanted) in enumerate(zip(self._run(session, index), expected, strict=True)):
                wanted64 = wanted.astype(np.float64)
                difference[position] += np.square(found - wanted64).sum()
                norm[position] += np.square(wanted64).sum()
        relative = np.sqrt(difference / np.where(norm > 0, norm, 1))
        return float(1 - relative.mean())

    def _run(self, session: onnxruntime.InferenceSession, index: int) -> list[Float32]:
        feed = self._images.target.feed([self._images.tensor(index)])
        results: list[Float32] = session.run(self._outputs, feed)
        return results


def with_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """A copy of the model that also has the named float tensors as outputs."""
    copy = ModelProto()
    copy.CopyFrom(model)
    present = {output.name for output in copy.graph.output}
    for name in names:
        if name not in present:
            value = onnx.ValueInfoProto(name=name)
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            copy.graph.output.append(value)
    return copy
