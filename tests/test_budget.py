"""A budget in a simulated run: it is kept, and the last phase gets its share of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxbin.budget import LAST_NEED, Budget
from onnxbin.pace import Pace


@given(
    turns=st.integers(0, 30),
    step=st.floats(0.01, 1),
    turn=st.floats(0.1, 5),
    slower=st.floats(0.7, 1.4),
    overhead=st.floats(0.5, 2),
)
def test_the_time_is_kept(turns, step, turn, slower, overhead):
    """The first estimates of a step and of what is around the training are off by these factors."""
    seconds = 30 + (turns + 1) * (turn * overhead + 30 * step)
    budget, spent, trained = Budget(seconds, Pace(step, turn)), 0.0, []
    for number in range(turns + 1):
        steps = budget.steps(spent, number, turns - number)
        assert steps >= 1
        training = steps * step * slower
        trained.append(training)
        spent += training + turn * overhead
        budget = Budget(seconds, Pace(training / steps, turn * overhead))
    # Only the first turn was planned by the wrong estimates; with no other there is no making up for it.
    if turns:
        assert spent <= 1.1 * seconds + (turns + 1) * step * slower
        assert spent >= 0.9 * seconds - step * slower
        # Each turn may have been rounded down, or up to one step.
        assert trained[-1] >= 0.9 * LAST_NEED * (sum(trained[1:-1]) - turns * step * slower)
    else:
        assert spent <= seconds * max(1, slower) * max(1, overhead) + step * slower


def test_turns_share_alike_and_the_last_phase_gets_the_rest():
    budget = Budget(1000.0, Pace(1.0, 0.0))
    first = budget.steps(0.0, 0, 5)
    assert first == int(1000 / (5 + 5 * LAST_NEED))
    assert budget.steps(first, 1, 4) == pytest.approx(first, abs=1)
    assert Budget(100.0, Pace(0.5, 10.0)).steps(40.0, 5, 0) == 100
    assert Budget(100.0, Pace(0.5, 10.0)).steps(99.0, 5, 0) == 1


@pytest.mark.parametrize("left", [0, 2])
def test_what_turns_take_beside_training_is_set_aside(left):
    assert Budget(100.0, Pace(0.5, 8.0)).steps(0.0, 0, left) <= (100 - 8 * (left + 1)) / 0.5


def test_a_forecast_is_of_turns_and_steps():
    assert Pace(0.5, 8.0).seconds(turns=3, training_steps=20) == 3 * 8 + 10
