"""How many training steps a turn gets of a time that is to last for the whole run."""

from __future__ import annotations

from dataclasses import dataclass

from onnxbin.pace import Pace

LAST_NEED = 4.0
"""What the last phase gets, in shares of all turns before it together: training in which layers still become
binary is worth less than training in which all are."""


@dataclass(frozen=True)
class Budget:
    """Shares a time over the turns of a run and its last phase.

    seconds: that the whole run may take. pace: as known so far.
    """

    seconds: float
    pace: Pace

    def steps(self, spent: float, done: int, left: int) -> int:
        """The training steps of the turn that begins, the last phase where none is left; at least 1.

        spent: seconds that the run has taken. done: turns that are over. left: turns to come, this one
        included, and the last phase not.
        """
        training = self.seconds - spent - (left + 1) * self.pace.turn_seconds
        share = 1 / (left + LAST_NEED * (done + left)) if left else 1.0
        return max(1, int(training * share / self.pace.step_seconds))
