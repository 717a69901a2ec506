"""One option for each of several layers, so that their sum is the best there is: a multiple-choice knapsack.

Solved exactly, for all budgets at once, by merging Pareto fronts (Nemhauser and Ullmann 1969): of all ways
to choose for the first n layers keep those that no other beats in both time and damage; the front of n + 1
layers is made of these, each with every option of the next. Times are whole numbers, so that a front is at
most as long as the largest time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Option:
    """What one layer may be. time: in units of which no smaller ones are known. damage: not negative."""

    time: int
    damage: float


class Front:
    """The ways to choose one option of each layer that no other way beats in both sums.

    times, damages: their sums; times rise, damages fall.
    """

    def __init__(self, layers: Sequence[Sequence[Option]]) -> None:
        self.times: npt.NDArray[np.int64] = np.zeros(1, np.int64)
        self.damages: npt.NDArray[np.float64] = np.zeros(1)
        self._chosen: list[npt.NDArray[np.intp]] = []
        self._before: list[npt.NDArray[np.intp]] = []
        for options in layers:
            self._merge(options)

    def _merge(self, options: Sequence[Option]) -> None:
        times = np.add.outer(self.times, [option.time for option in options]).ravel()
        damages = np.add.outer(self.damages, [option.damage for option in options]).ravel()
        order = np.lexsort((damages, times))  # stable: of equals, the earlier stays
        sorted_damages = damages[order]
        least_before = np.concatenate([[np.inf], np.minimum.accumulate(sorted_damages)[:-1]])
        kept = order[sorted_damages < least_before]
        self.times, self.damages = times[kept], damages[kept]
        before, chosen = np.divmod(kept, len(options))
        self._before.append(before)
        self._chosen.append(chosen)

    def options(self, position: int) -> list[int]:
        """The option chosen for each layer, by its number, at a position on the front."""
        found = []
        for before, chosen in zip(reversed(self._before), reversed(self._chosen), strict=True):
            found.append(int(chosen[position]))
            position = int(before[position])
        return found[::-1]

    def least_damage(self, time: float) -> int | None:
        """The position of the least damage within a time; None where all take longer."""
        fits = int(np.searchsorted(self.times, time, side="right"))
        return fits - 1 if fits else None

    def least_time(self, damage: float) -> int | None:
        """The position of the least time within a damage; None where all do more."""
        fits = np.flatnonzero(self.damages <= damage)
        return int(fits[0]) if len(fits) else None
