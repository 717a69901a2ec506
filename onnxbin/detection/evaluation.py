"""A detector against labels: average precision and miss rate by class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from onnxbin.detection.detections import Detections, Float32
from onnxbin.detection.detector import Detector
from onnxbin.detection.labels import LabelledImage, LabelledSet
from onnxbin.detection.matching import Matches, Truth, match_all
from onnxbin.detection.metrics import average_precision, log_average_miss_rate
from onnxbin.errors import OnnxbinError
from onnxbin.images import read_image

REASONABLE = 50.0
"""The least height in pixels of a pedestrian in Caltech's "reasonable" setting."""

# Caltech keeps detections a little lower than that, for labels just above it.
_HEIGHT_MARGIN = 1.25


@dataclass(frozen=True, eq=False)
class ClassResult:
    """The figures of one class. average_precision and miss_rate are NaN where there is nothing to find."""

    name: str
    matches: Matches

    @property
    def average_precision(self) -> float:
        """At IoU 0.5, all points."""
        return average_precision(self.matches)

    @property
    def miss_rate(self) -> float:
        """The log-average miss rate."""
        return log_average_miss_rate(self.matches)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a detector reaches on a labelled set.

    detections: of each image, classes numbered as the labels number them. classes: one result each.
    """

    labels: LabelledSet
    detections: list[Detections]
    classes: list[ClassResult]

    @property
    def average_precision(self) -> float:
        """The mean over the classes that have labels; NaN where none has."""
        return _mean([result.average_precision for result in self.classes])

    @property
    def miss_rate(self) -> float:
        """The mean over the classes that have labels; NaN where none has."""
        return _mean([result.miss_rate for result in self.classes])


def evaluate(
    detector: Detector,
    labels: LabelledSet,
    classes: Mapping[str, int] | None = None,
    min_height: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Run a detector over a labelled set.

    progress: is told how many images are done.
    classes: which class of the model each name in the labels is; by default by the model's own names.
    min_height: lower labels, in pixels, become regions to ignore (REASONABLE for pedestrians), and detections
    below it are dropped.
    Raises OnnxbinError where no name in the labels is one of the model's, or an image is not of the size that
    its labels are for.
    """
    columns = _columns(detector, labels, classes)
    detections = []
    for done, image in enumerate(labels.images, 1):
        detections.append(_detect(detector, image, columns))
        if progress:
            progress(done)
    return score(labels, detections, sorted(columns.values()), min_height)


def score(
    labels: LabelledSet, detections: list[Detections], classes: list[int], min_height: float = 0.0
) -> Evaluation:
    """The figures of given detections, numbered as the labels number classes; of `classes` only."""
    truths = [image.truth for image in labels.images]
    if min_height:
        truths = [_ignore_low(truth, min_height) for truth in truths]
        detections = [found[_height(found.boxes) >= min_height / _HEIGHT_MARGIN] for found in detections]
    results = [ClassResult(labels.names[k], match_all(detections, truths, k)) for k in classes]
    return Evaluation(labels, detections, results)


def _columns(detector: Detector, labels: LabelledSet, classes: Mapping[str, int] | None) -> dict[int, int]:
    """Which class of the labels each class of the model is."""
    if classes is None and len(detector.names) == len(labels.names) == 1:
        return {0: 0}  # one kind of thing on both sides, whatever it is called
    known = {name: index for index, name in enumerate(detector.names)} if classes is None else dict(classes)
    if classes is None and labels.numbered:
        known = {str(index): index for index in range(len(detector.names))}
    found = {known[name]: index for index, name in enumerate(labels.names) if name in known}
    if not found:
        raise OnnxbinError(
            f"none of the labels' classes ({', '.join(labels.names)}) is one of the model's "
            f"({', '.join(known) or 'unnamed'}): say which class of the model each is, as in person=0"
        )
    return found


def _detect(detector: Detector, image: LabelledImage, columns: dict[int, int]) -> Detections:
    pixels = read_image(image.path)
    if image.size not in (None, pixels.shape[:2]):
        height, width = image.size or (0, 0)
        raise OnnxbinError(
            f"{image.path}: is {pixels.shape[1]}x{pixels.shape[0]} pixels, "
            f"but its labels are for {width}x{height}"
        )
    found = detector(pixels, np.array(list(columns), np.int64))
    renumbered = np.array([columns[k] for k in found.classes.tolist()], np.int64)
    return replace(found, classes=renumbered)


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _ignore_low(truth: Truth, min_height: float) -> Truth:
    return replace(truth, ignored=truth.ignored | (_height(truth.boxes) < min_height))


def _height(boxes: Float32) -> Float32:
    heights: Float32 = boxes[:, 3] - boxes[:, 1]
    return heights
