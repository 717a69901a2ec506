"""What a detector reaches on labelled photos of people, as JSON values: all that table and plot show."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bootstrap import drawn_sets, interval, resampled

from onnxbin import OnnxbinError
from onnxbin.detection import Detector, LabelledSet, evaluate, read_labels
from onnxbin.detection.matching import Matches, match_all
from onnxbin.detection.metrics import average_precision, log_average_miss_rate

PERSON = "person"
"""What the class is called, in labels of several classes and by the models that name theirs."""

FIGURES: dict[str, Callable[[Matches], float]] = {
    "average_precision": average_precision,
    "miss_rate": log_average_miss_rate,
}


@dataclass(frozen=True, eq=False)
class Data:
    """A labelled set. name: how it is called in results. person: its class, as the labels number it."""

    name: str
    labels: LabelledSet
    person: int
    digest: str

    @classmethod
    def read(cls, path: Path) -> Data:
        """Labels of any kind that onnxbin reads. Raises OnnxbinError where no person is labelled in them."""
        labels = read_labels(path)
        names = labels.names
        person = 0 if len(names) == 1 else names.index(PERSON) if PERSON in names else None
        if person is None:
            raise OnnxbinError(f"{path}: has no class {PERSON!r} among {', '.join(names)}")
        # The last two parts: many a set is called val.json.
        data = cls("/".join(path.resolve().parts[-2:]), labels, person, _digest(labels))
        if not data.count:
            raise OnnxbinError(f"{path}: has no label of class {names[person]!r}")
        return data

    @property
    def count(self) -> int:
        """Labels of people to be found."""
        truths = [image.truth for image in self.labels.images]
        return sum(int(((t.classes == self.person) & ~t.ignored).sum()) for t in truths)


def measure(detector: Detector, data: Data, person: int | None) -> dict[str, Any]:
    """Average precision at IoU 0.5 and log-average miss rate of people, with intervals, and the curve.

    person: the number of the model's class; None: by its name.
    Of each figure there are its value, low and high ends of its interval, and its values on the drawn sets.
    found[k] is how many labels are found with at most k false positives in all images, k up to their number.
    """
    name = data.labels.names[data.person]
    evaluation = evaluate(detector, data.labels, None if person is None else {name: person})
    result = next((entry for entry in evaluation.classes if entry.name == name), None)
    if result is None:
        raise OnnxbinError(f"the model knows no class {name!r}; say by --person which of its classes it is")
    truths = [image.truth for image in data.labels.images]
    each = [
        match_all([found], [truth], data.person)
        for found, truth in zip(evaluation.detections, truths, strict=True)
    ]
    sets = drawn_sets(len(each))
    content: dict[str, Any] = {"labels_sha256": data.digest, "images": len(each), "labels": data.count}
    for key, figure in FIGURES.items():
        values = resampled(each, figure, sets)
        low, high = interval(values)
        drawn = [None if math.isnan(value) else round(value, 4) for value in values.tolist()]
        content[key] = {"value": figure(result.matches), "low": low, "high": high, "resampled": drawn}
    content["found"] = _found(result.matches)
    return content


def _found(matches: Matches) -> list[int]:
    right = np.append(0, np.cumsum(matches.right))
    up_to = np.searchsorted(np.cumsum(~matches.right), np.arange(matches.images + 1), side="right")
    found: list[int] = right[up_to].tolist()
    return found


def _digest(labels: LabelledSet) -> str:
    """A hash of the images' names and of all that is labelled in them."""
    digest = hashlib.sha256()
    for image in labels.images:
        digest.update(image.path.name.encode())
        for part in (image.truth.boxes, image.truth.classes, image.truth.ignored):
            digest.update(part.tobytes())
    return digest.hexdigest()
