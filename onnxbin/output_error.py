"""How much of what matters in a network's outputs changes: what the damage of a choice is measured in.

It is the error that fine-tuning makes small (bridge.distill): the mean over outputs, and over channels, of

    squared change / variance of what is expected, channel by channel    (see onnxbin.spread)

weighted, in the outputs of a known detector, by what matters there (see detection.emphasis). Agreement, which
is simpler to say, compares whole tensors: where boxes in pixels and scores share one, it hardly sees scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxbin.detection.emphasis import ConfidenceOf, Emphasis, box_channels, usual_confidence
from onnxbin.spread import Bool, Float32, Look, other_axes, units, with_channels


class OutputError:
    """Of outputs against those expected.

    expected: for each image, the compared outputs. confidence: of the network that gives them, if it is a
    known detector.
    """

    def __init__(self, expected: Sequence[Sequence[Float32]], confidence: ConfidenceOf | None = None) -> None:
        self._expected = expected
        self._weights: list[list[Float32]] | None = None
        boxes: Sequence[Bool | None] = [None] * len(expected[0])
        if confidence is not None:
            certainties = [confidence(outputs) for outputs in expected]
            emphasis = Emphasis([usual_confidence(each) for each in certainties])
            self._weights = [emphasis(each) for each in certainties]
            boxes = [box_channels(each) for each in certainties[0]]
        self._units = [
            units(
                [
                    Look.at(
                        outputs[position],
                        expected[(image + 1) % len(expected)][position],
                        self._weights[image][position] if self._weights is not None else None,
                    )
                    for image, outputs in enumerate(expected)
                ],
                boxes[position],
            )
            for position in range(len(expected[0]))
        ]

    def __call__(self, found: Sequence[Sequence[Float32]]) -> float:
        """Infinity where outputs are not finite.

        What several causes change adds up, as far as the changes are small and independent of each other.
        found: as many images' outputs as were expected.
        """
        errors = []
        for image, (results, wants) in enumerate(zip(found, self._expected, strict=True)):
            for position, (result, wanted) in enumerate(zip(results, wants, strict=True)):
                change = np.square(with_channels(result).astype(np.float64) - with_channels(wanted))
                if self._weights is not None:
                    change *= with_channels(self._weights[image][position])
                by_channel = change.mean(tuple(other_axes(change.shape)))
                errors.append(float((by_channel / self._units[position]).mean()))
        error = float(np.mean(errors))
        return error if np.isfinite(error) else float("inf")
