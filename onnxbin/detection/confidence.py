"""Where a detector sees something: its confidence at each place of its raw outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from onnxbin.detection.detections import Candidates, Float32
from onnxbin.detection.detector import Detector


class Confidence:
    """A detector's best score, over all classes, at each place of each output."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def __call__(self, outputs: Sequence[Float32]) -> list[Float32]:
        """From the raw outputs of one image, in the model's order: for each the scores, 0..1.

        They have the axes of the output, the channels' of length 1. A place of a map is where the middle of a
        box falls; of a list, the candidate. Of other outputs each place has score 1.
        """
        candidates = self._detector.candidates([np.nan_to_num(output) for output in outputs])
        return [self._places(candidates, output.shape) for output in outputs]

    def _places(self, candidates: Candidates, shape: tuple[int, ...]) -> Float32:
        scores = candidates.scores.max(1, initial=0)
        if len(shape) == 4:
            return self._map(candidates, scores, *shape[2:])[None, None]
        if len(shape) == 3:
            channels = 2 if shape[2] < shape[1] else 1
            count = shape[3 - channels]
            if count == len(scores):
                return np.expand_dims(scores[None], channels)
            target = self._detector.input
            rows = math.isqrt(count * target.height // target.width)
            if rows and rows * (count // rows) == count:
                return np.expand_dims(
                    self._map(candidates, scores, rows, count // rows).reshape(1, -1), channels
                )
        return np.ones([1] * len(shape), np.float32)

    def _map(self, candidates: Candidates, scores: Float32, rows: int, columns: int) -> Float32:
        target = self._detector.input
        middles = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]) / 2
        cells = np.nan_to_num(middles * (columns / target.width, rows / target.height))
        column, row = np.clip(cells.T, 0, [[columns - 1], [rows - 1]]).astype(np.int64)
        places = np.zeros((rows, columns), np.float32)
        np.maximum.at(places, (row, column), scores)
        return places
