"""How sure a detector is of what each element of its raw outputs decides.

Which candidate an element decides, and whether its box or its scores, is asked of the decoder itself: what
becomes no number when the element is none depends on it. So it holds for every family of detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxbin.detection.detections import Float32, Int64
from onnxbin.detection.detector import Detector
from onnxbin.shapes import channel_axis

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Certainty:
    """Of one raw output.

    confidence: float32 of its shape; the best score of the candidates that an element decides, 0..1, and 0 of
    one that decides nothing. boxes: bool of its shape, whether an element decides where a box is.
    """

    confidence: Float32
    boxes: Bool


@dataclass(frozen=True, eq=False)
class _Kind:
    """Candidates that depend on the same channels of an output, each at a place of its own: for anchors, one
    anchor. candidates, places: their numbers, [N] each. channels: bool [C], what they depend on."""

    candidates: Int64
    places: Int64
    channels: Bool


@dataclass(frozen=True, eq=False)
class _Roles:
    """What an output's elements [C, places] decide. boxes: bool [C]."""

    kinds: list[_Kind]
    boxes: Bool


class Confidence:
    """A detector's confidence in each element of its raw outputs."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._roles: list[_Roles] = []

    def __call__(self, outputs: Sequence[Float32]) -> list[Certainty]:
        """From the raw outputs of one image, in the model's order, always of the same shapes."""
        outputs = [np.ascontiguousarray(np.nan_to_num(output)) for output in outputs]
        candidates = self._detector.candidates(outputs)
        if not self._roles:
            # Where the model itself selects its boxes, no element stands for one of them.
            count = 0 if candidates.suppressed else len(candidates.boxes)
            self._roles = [self._find_roles(outputs, which, count) for which in range(len(outputs))]
        scores = candidates.scores.max(1, initial=0)
        return [_certainty(roles, scores, o.shape) for roles, o in zip(self._roles, outputs, strict=True)]

    def _find_roles(self, outputs: list[Float32], which: int, count: int) -> _Roles:
        channels, places = _by_channel(outputs[which]).shape
        if not count:
            return _Roles([], np.zeros(channels, bool))

        def lost(elements: Bool) -> Bool:
            """[2, candidates]: whose box, and whose scores, are no numbers where these elements are none."""
            changed = outputs[which].copy()
            _by_channel(changed)[np.broadcast_to(elements, (channels, places))] = np.nan
            with np.errstate(all="ignore"):
                found = self._detector.candidates([*outputs[:which], changed, *outputs[which + 1 :]])
            return np.stack([np.isnan(found.boxes).any(1), np.isnan(found.scores).any(1)])

        # A candidate's place, one binary digit at a time.
        place = np.zeros(count, np.int64)
        has_one_place = np.ones(count, bool)
        for digit in range(places.bit_length()):
            is_one = (np.arange(places) >> digit) & 1 == 1
            one, zero = lost(is_one).any(0), lost(~is_one).any(0)
            place |= one.astype(np.int64) << digit
            has_one_place &= one != zero
        own = np.flatnonzero(has_one_place)
        each = np.stack([lost(np.arange(channels)[:, None] == channel) for channel in range(channels)])
        boxes, scores = each[:, 0, own], each[:, 1, own]
        sets, kind = np.unique(boxes | scores, axis=1, return_inverse=True)
        members = [np.flatnonzero(kind == number) for number in range(sets.shape[1])]
        kinds = [_Kind(own[m], place[own[m]], sets[:, number]) for number, m in enumerate(members)]
        return _Roles(kinds, np.logical_and(boxes.any(1), ~scores.any(1)))


def _by_channel(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view of x as [C, places]."""
    if x.ndim < 2 or len(x) != 1:
        return x.reshape(1, -1)
    rows: npt.NDArray[Any] = x[0].reshape(x.shape[1], -1)
    return rows if channel_axis(x.shape) == 1 else rows.T


def _certainty(roles: _Roles, scores: Float32, shape: tuple[int, ...]) -> Certainty:
    confidence, boxes = np.zeros(shape, np.float32), np.zeros(shape, bool)
    elements = _by_channel(confidence)
    for kind in roles.kinds:
        best = np.zeros(elements.shape[1], np.float32)
        np.maximum.at(best, kind.places, scores[kind.candidates])
        elements[kind.channels] = np.maximum(elements[kind.channels], best)
    _by_channel(boxes)[roles.boxes] = True
    return Certainty(confidence, boxes)
