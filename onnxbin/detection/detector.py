"""A detector as a function: an image in, boxes in that image out."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from onnxbin.detection.classes import class_names
from onnxbin.detection.detections import Candidates, Detections, Float32, Int64, Selection
from onnxbin.detection.families import find_decoder
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.images import Geometry, ImageInput, ImageSet, Preprocessing, recognise
from onnxbin.images.outline import Outline
from onnxbin.images.source import Pixels
from onnxbin.operator import stock_session


class Detector:
    """Runs a model on images: preprocessing, ONNX Runtime, decoding, selection, boxes back in the image.

    model: an ONNX detector. session: one to run it in, for instance with the operator library; by default a
    stock session, in which binarized layers run as their function bodies. size: (height, width) of the input
    where the model leaves it open. preprocessing: by default recognised (`images.choose` finds one for any
    model). family: see `families.find_decoder`. names: of the classes, by default `classes.class_names`, else
    their numbers.
    Raises OnnxbinError where the model cannot be run on images or its outputs are not understood.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        session: onnxruntime.InferenceSession | None = None,
        size: tuple[int, int] | None = None,
        preprocessing: Preprocessing | None = None,
        family: str | None = None,
        names: list[str] | None = None,
        selection: Selection | None = None,
    ) -> None:
        self.input = ImageInput.of(model, size)
        self.preprocessing = preprocessing or _recognised(model)
        self.selection = selection or Selection()
        self._session = session or stock_session(model)
        others = [value.name for value in self._session.get_inputs() if value.name != self.input.name]
        if others:
            raise OnnxbinError(f"the model wants more than an image: {', '.join(others)}")
        # One run on nothing: the shapes that the graph leaves open, and how many classes there are.
        raw, _ = self._run(np.full((self.input.height, self.input.width, 3), 114, np.uint8))
        self._decode = find_decoder(Outline(model, size, [output.shape for output in raw]), family)
        scores = self.candidates(raw).scores
        # Key points and angles, read as classes, would be a silent wrong answer.
        if scores.max(initial=0) > 1.01:
            raise OnnxbinError(
                f"scores of up to {scores.max():.3g} where 0..1 was expected: the model is not of "
                f"the family of detectors it was read as ({type(self._decode).__name__}); name its family"
            )
        count = scores.shape[1]
        self.names = names or class_names(model, count) or [str(number) for number in range(count)]

    def __call__(self, pixels: Pixels, classes: Int64 | None = None) -> Detections:
        """What is in an image, uint8 [height, width, 3]: boxes in its pixels, cut off at its edges.

        classes: look for these only.
        """
        raw, geometry = self._run(pixels)
        return self.read(raw, geometry, pixels.shape[:2], classes)

    def read(
        self,
        raw: list[Float32],
        geometry: Geometry,
        size: tuple[int, ...],
        classes: Int64 | None = None,
    ) -> Detections:
        """The boxes in the model's raw outputs for one image.

        geometry: how the image was placed in the input. size: its (height, width). classes: only these.
        """
        found = self.selection(self.candidates(raw), classes)
        height, width = size
        boxes = np.clip(geometry.to_image(found.boxes), 0, np.array([width, height] * 2, np.float32))
        return Detections(boxes, found.scores, found.classes)

    def _run(self, pixels: Pixels) -> tuple[list[Float32], Geometry]:
        tensor, geometry = self.preprocessing.apply(pixels, self.input)
        try:
            outputs = self._session.run(None, self.input.feed([tensor]))
        except Exception as error:  # ONNX Runtime has no base class of its own for what it raises
            raise OnnxbinError(f"the model fails on an image: {first_line(error)}") from None
        return [np.asarray(output, np.float32) for output in outputs], geometry

    def candidates(self, raw: list[Float32]) -> Candidates:
        """What the model's raw outputs for one image say, in pixels of its input, with nothing chosen."""
        try:
            return self._decode(raw)
        except (ValueError, IndexError, KeyError, StopIteration) as error:
            shapes = ", ".join(str(list(output.shape)) for output in raw)
            raise OnnxbinError(
                f"outputs of shapes {shapes} do not fit the family of detectors they were read as "
                f"({type(self._decode).__name__}: {error})"
            ) from None


def known_detector(model: onnx.ModelProto, images: ImageSet) -> Detector | None:
    """The detector that a model is, fed as these images are; None where it is of no known family."""
    target = images.target
    try:
        return Detector(model, size=(target.height, target.width), preprocessing=images.preprocessing)
    except OnnxbinError:
        return None


def _recognised(model: onnx.ModelProto) -> Preprocessing:
    found = recognise(model)
    if found is None:
        raise OnnxbinError(
            "nothing says which images this model was trained on: name a preprocessing profile, "
            "or give mean, std, resize and channel order"
        )
    return found[1]
