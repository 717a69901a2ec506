"""How many training steps a layer gets of a time that is to last for the whole run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

LEAST_NEED, MOST_NEED = 0.25, 4.0
"""A layer's share is between these many times the average: what it lost at once says only so much of how long
it takes to win back."""

LAST_NEED = 3.0
"""What the last phase needs, in averages: all layers settle in it together."""


@dataclass(frozen=True)
class Budget:
    """Shares a time over the turns of a run.

    seconds: that the whole run may take. step_seconds: of one training step. turn_seconds: what a turn takes
    beside its training. Both as measured so far.
    """

    seconds: float
    step_seconds: float
    turn_seconds: float

    def steps(self, spent: float, lost: Sequence[float], turns_left: int) -> int:
        """The training steps for the next of `turns_left` turns; at least 1.

        spent: seconds that the run has taken. lost: for each turn so far, the next one last, what agreement
        lost when its layer became binary. That is what a turn's share goes by; those to come are taken to
        need the average.
        """
        average = sum(lost) / len(lost)
        need = min(max(lost[-1] / average, LEAST_NEED), MOST_NEED) if average > 0 else 1.0
        later = 0.0 if turns_left == 1 else turns_left - 2 + LAST_NEED
        left = self.seconds - spent - turns_left * self.turn_seconds
        return max(1, int(left * need / (need + later) / self.step_seconds))

    def learned(self, training_steps: int, training_seconds: float, turn_seconds: float) -> Budget:
        """The same budget, knowing what a turn has really taken: its training, and all the rest of it."""
        return replace(self, step_seconds=training_seconds / training_steps, turn_seconds=turn_seconds)
