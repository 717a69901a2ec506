"""What is measured of a network as it is compressed, on the images held back from training.

Everything runs in the stock runtime, without the operator library: what is measured is the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from onnx import ModelProto

from onnxbin import model as files
from onnxbin.agreement import Float32, agreement, run, with_outputs
from onnxbin.cut import FLOATS, compared_tensors
from onnxbin.detection.comparison import compare
from onnxbin.detection.confidence import Confidence
from onnxbin.detection.detections import Detections
from onnxbin.detection.detector import known_detector
from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageSet
from onnxbin.layers import ConvLayer
from onnxbin.operator import stock_session
from onnxbin.output_error import OutputError
from onnxbin.plan import Array, Plan
from onnxbin.processes import Processes
from onnxbin.surgery import BinaryLayer
from onnxbin.verify import Verifier

PREPARED_TOLERANCE, HALF_TOLERANCE = 1e-3, 1e-2
"""How far the prepared model's outputs may be from the original's, relative to the largest. The second is for
float16 models: prepared, they compute in float32, and are no longer rounded between nodes."""

FIRST_LOOK = 8
"""Images that a layer's damage is measured on, in choosing which goes next."""


@dataclass(frozen=True, eq=False)
class _Sight:
    """What a model makes of one image: the compared outputs, and the boxes where they can be read."""

    outputs: list[Float32]
    boxes: Detections | None


@dataclass(frozen=True)
class Measured:
    """agreement: of the outputs with the original's, see onnxbin.agreement.

    boxes: of the boxes: the average precision at IoU 0.5 with the original's as the truth, see
    onnxbin.detection.comparison; None where the model is no known detector, or its original sees nothing.
    """

    agreement: float
    boxes: float | None

    @property
    def kept(self) -> float:
        """Of the boxes where that is known, else of the outputs."""
        return self.agreement if self.boxes is None else self.boxes


class Measures:
    """Compares models with the plan's original, whose outputs are computed once, at construction.

    images: the held-back images. processes: share them.
    Raises OnnxbinError where the original cannot be run on the images, or preparation changes it.
    """

    def __init__(self, plan: Plan, images: ImageSet, processes: Processes) -> None:
        _check_preparation(plan, images)
        self._images = images
        self._processes = processes
        self._compared = compared_tensors(plan.prepared)
        self._outputs = [output.name for output in plan.prepared.graph.output]
        self._detector = known_detector(plan.prepared, images)
        self._expected = self._see(plan.prepared, len(images))
        self._check_finite()
        self._verifier = Verifier(plan.prepared, [i for i in plan.layers if i.left_alone is None], images)

    def of(self, model: ModelProto) -> Measured:
        """All that is measured of a model."""
        found = self._see(model, len(self._images))
        return Measured(self._agreement(found), self._box_agreement(found))

    def first_look(self, model: ModelProto) -> float:
        """Agreement on a few of the images."""
        return self._agreement(self._see(model, self._few, boxes=False))

    def error(self, model: ModelProto) -> float:
        """How much of what matters in the outputs is not as the original's, on a few of the images.

        See onnxbin.output_error.
        """
        return self._error(self._look(model))

    def error_against(self, model: ModelProto) -> Callable[[ModelProto], float]:
        """The same against this model."""
        error = self._error_of(self._look(model))
        return lambda other: error(self._look(other))

    @cached_property
    def _error(self) -> OutputError:
        return self._error_of([sight.outputs for sight in self._expected[: self._few]])

    def _error_of(self, expected: list[list[Float32]]) -> OutputError:
        detector = self._detector if self._compared == self._outputs else None
        return OutputError(expected, Confidence(detector) if detector is not None else None)

    def verify(
        self, layer: ConvLayer, binary: BinaryLayer, run_layer: Callable[[str, Array], Array | None]
    ) -> float:
        """The difference of kernel, function and PyTorch module, see onnxbin.verify."""
        return self._verifier.check(layer, binary, run_layer)

    def _look(self, model: ModelProto) -> list[list[Float32]]:
        return [sight.outputs for sight in self._see(model, self._few, boxes=False)]

    @property
    def _few(self) -> int:
        return min(FIRST_LOOK, len(self._images))

    def _agreement(self, found: list[_Sight]) -> float:
        expected = self._expected[: len(found)]
        return agreement([sight.outputs for sight in found], [sight.outputs for sight in expected])

    def _box_agreement(self, found: list[_Sight]) -> float | None:
        expected = [sight.boxes for sight in self._expected if sight.boxes is not None]
        boxes = [sight.boxes for sight in found if sight.boxes is not None]
        if len(expected) < len(self._expected) or len(boxes) < len(found):
            return None
        precision = compare(expected, boxes).average_precision
        return None if math.isnan(precision) else precision

    def _see(self, model: ModelProto, count: int, *, boxes: bool = True) -> list[_Sight]:
        """What a model makes of the first `count` images."""
        names = list(dict.fromkeys([*self._compared, *self._outputs]))
        session = stock_session(with_outputs(model, names))

        def see(index: int) -> _Sight:
            tensor, geometry = self._images.placed(index)
            found = dict(zip(names, run(session, names, self._images.target.feed([tensor])), strict=True))
            seen = None
            if boxes and self._detector is not None:
                raw = [np.asarray(found[name], np.float32) for name in self._outputs]
                # Scores may become anything in a network that was just made binary.
                raw = [np.nan_to_num(output) for output in raw]
                seen = self._detector.read(raw, geometry, self._images.pixels(index).shape[:2])
            return _Sight([found[name] for name in self._compared], seen)

        return self._processes.map(see, range(count))

    def _check_finite(self) -> None:
        for sight in self._expected:
            for name, value in zip(self._compared, sight.outputs, strict=True):
                if not np.isfinite(value).all():
                    raise OnnxbinError(
                        f"output {name!r} of the original is not finite on the given images; "
                        "is the preprocessing right?"
                    )


def _check_preparation(plan: Plan, images: ImageSet) -> None:
    """Preparation must keep what the model computes, whatever the version converter thinks it does."""
    original = plan.original.proto
    names = [o.name for o in original.graph.output if o.type.tensor_type.elem_type in FLOATS]
    feed = images.target.feed([images.tensor(0)])
    before, after = (run(stock_session(m), names, feed) for m in (original, plan.prepared))
    for name, old, new in zip(names, before, after, strict=True):
        tolerance = HALF_TOLERANCE if old.dtype == np.float16 else PREPARED_TOLERANCE
        same = old.shape == new.shape and np.allclose(
            old, new, rtol=0, atol=tolerance * np.abs(old.astype(np.float32)).max(initial=0), equal_nan=True
        )
        if not same:
            raise OnnxbinError(
                f"{plan.original.path}: output {name!r} changes when the model is raised from "
                f"opset {files.opset(original)} to {files.opset(plan.prepared)} and batch norms "
                "are folded: export it again with a newer opset"
            )
