"""How long turns take, as measured in those that are over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """step_seconds: of one training step. turn_seconds: what a turn takes beside its training."""

    step_seconds: float
    turn_seconds: float

    def seconds(self, turns: int, training_steps: int) -> float:
        """Of so many turns with so many training steps in all."""
        return turns * self.turn_seconds + training_steps * self.step_seconds
