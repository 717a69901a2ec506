"""A budget in a simulated run: it is kept, whatever layers need, and shared by what they need."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxbin.budget import LAST_NEED, LEAST_NEED, MOST_NEED, Budget


@given(
    losses=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    step=st.floats(0.01, 1),
    turn=st.floats(0.1, 5),
    slower=st.floats(0.7, 1.4),
    overhead=st.floats(0.5, 2),
)
def test_the_time_is_kept(losses, step, turn, slower, overhead):
    """The first estimates of a step and of what is around the training are off by these factors."""
    turns = len(losses)
    seconds = 30 + turns * (turn * overhead + 20 * step)
    budget, spent = Budget(seconds, step, turn), 0.0
    for number in range(turns):
        steps = budget.steps(spent, losses[: number + 1], turns - number)
        assert steps >= 1
        training = steps * step * slower
        spent += training + turn * overhead
        budget = budget.learned(steps, training, turn * overhead)
    # Only the first turn was planned by the wrong estimates; with one turn there is no making up for it.
    if turns > 1:
        assert spent <= 1.1 * seconds + step * slower
        assert spent >= 0.9 * seconds - step * slower
    else:
        assert spent <= seconds * max(1, slower) * max(1, overhead) + step * slower


def test_what_lost_more_gets_more():
    budget = Budget(1000.0, 1.0, 0.0)
    shares = [budget.steps(0.0, [0.1, lost], 5) for lost in (0.0, 0.05, 0.1, 0.4, 0.9)]
    assert shares == sorted(shares)
    even = budget.steps(0.0, [0.1, 0.1], 5)
    assert shares[2] == even == int(1000 / (1 + 3 + LAST_NEED))
    assert budget.steps(0.0, [0.0, 0.0], 5) == even
    assert shares[0] == int(1000 * LEAST_NEED / (LEAST_NEED + 3 + LAST_NEED))
    assert max(shares) <= 1000 * MOST_NEED / (MOST_NEED + 3 + LAST_NEED)


def test_the_last_turn_gets_what_is_left():
    assert Budget(100.0, 0.5, 10.0).steps(40.0, [0.1, 0.9], 1) == 100
    assert Budget(100.0, 0.5, 10.0).steps(99.0, [0.1, 0.9], 1) == 1


@pytest.mark.parametrize("left", [1, 3])
def test_a_turn_teaches_what_steps_and_the_rest_take(left):
    known = Budget(100.0, 1.0, 1.0).learned(10, 5.0, 8.0)
    assert (known.step_seconds, known.turn_seconds) == (0.5, 8.0)
    assert known.steps(0.0, [0.1], left) <= (100 - 8 * left) / 0.5
