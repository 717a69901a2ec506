"""Decoders: what the outputs of a family of detectors mean, one file a family.

A decoder takes the raw outputs of one image and gives Candidates in pixels of the model's input. It comes
from one of three places: recognised from the model's outline, named, or a function of the user's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from onnxbin.detection.detections import Candidates, Float32
from onnxbin.detection.families import anchors, fastestdet, nanodet, ssd, suppressed, yolov5, yolov8, yolox
from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageInput
from onnxbin.images.outline import Outline
from onnxbin.user_function import user_function


class Decoder(Protocol):
    """The raw outputs of one image, in the model's order, to candidates."""

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode; raises ValueError, IndexError, KeyError or StopIteration on outputs of another family."""
        ...


_RECOGNISERS: tuple[Callable[[Outline], Decoder | None], ...] = (
    yolov8.recognise,
    yolov5.recognise,
    yolox.recognise,
    nanodet.recognise,
    fastestdet.recognise,
    anchors.recognise,
    ssd.recognise,
    suppressed.recognise,
)

FAMILIES: dict[str, Callable[[Outline], Decoder]] = {
    "yolov8": lambda _: yolov8.Yolov8(),
    "yolov5": lambda _: yolov5.Yolov5(),
    "yolox": lambda outline: yolox.Yolox(outline.input),
    "nanodet": lambda outline: nanodet.Nanodet(outline.input),
    "fastestdet": lambda outline: fastestdet.Fastestdet(outline.input),
    **{name: partial(anchors.of_outline, config=config) for name, config in anchors.CONFIGS.items()},
    "ssd": lambda outline: ssd.of_outline(outline, "xyxy"),
    "ssd-tensorflow": lambda outline: ssd.of_outline(outline, "yxyx"),
    "rows": lambda _: suppressed.Rows(),
}
"""Decoders by name, for models that are not recognised."""


def find_decoder(outline: Outline, family: str | None = None) -> Decoder:
    """The decoder for a model.

    family: None to recognise it; a name in FAMILIES; or `module:function` for a function of the user's own,
    `function(outputs, height, width) -> (boxes [N, 4], scores [N, classes])`, boxes being x1, y1, x2, y2 in
    pixels of the height x width input.
    Raises OnnxbinError where the model is not recognised, or the name or function is not found.
    """
    if family is None:
        for recognise in _RECOGNISERS:
            decoder = recognise(outline)
            if decoder is not None:
                return decoder
        outputs = ", ".join(
            f"'{name}' {list(shape)}"
            for name, shape in zip(outline.output_names, outline.outputs, strict=True)
        )
        raise OnnxbinError(
            f"the outputs {outputs} are of no known family of detectors: name one of {', '.join(FAMILIES)}, "
            "or your own decoder as module:function"
        )
    if ":" in family:
        return _UserDecoder(family, outline.input)
    if family not in FAMILIES:
        raise OnnxbinError(
            f"no family of detectors '{family}'; "
            f"there are {', '.join(FAMILIES)}, or your own as module:function"
        )
    return FAMILIES[family](outline)


class _UserDecoder:
    def __init__(self, name: str, target: ImageInput) -> None:
        self._name = name
        self._target = target
        self._function = user_function(name, "--family")

    def __call__(self, outputs: list[Float32]) -> Candidates:
        boxes, scores = self._function(outputs, self._target.height, self._target.width)
        boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.ndim != 2 or len(scores) != len(boxes):
            raise OnnxbinError(
                f"decoder {self._name}: gave boxes {list(boxes.shape)} and scores {list(scores.shape)}; "
                "expected [N, 4] and [N, classes]"
            )
        return Candidates(boxes, scores)
