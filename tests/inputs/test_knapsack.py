"""The knapsack, beside all choices there are."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxbin.inputs.knapsack import Front, Option

# Sums of eighths are exact, in whatever order.
OPTIONS = st.builds(Option, st.integers(0, 20), st.integers(0, 40).map(lambda n: n / 8))
LAYERS = st.lists(st.lists(OPTIONS, min_size=1, max_size=5), max_size=5)


def sums(layers, choice):
    options = [layer[number] for layer, number in zip(layers, choice, strict=True)]
    return sum(option.time for option in options), sum(option.damage for option in options)


def every_way(layers):
    return [sums(layers, choice) for choice in itertools.product(*(range(len(layer)) for layer in layers))]


@given(LAYERS, st.integers(-1, 100))
def test_the_least_damage_within_a_time(layers, time):
    front = Front(layers)
    position = front.least_damage(time)
    fitting = [damage for taken, damage in every_way(layers) if taken <= time]
    if position is None:
        assert not fitting
    else:
        taken, damage = sums(layers, front.options(position))
        assert (taken, damage) == (front.times[position], front.damages[position])
        assert taken <= time
        assert damage == min(fitting)


@given(LAYERS, st.integers(-1, 200).map(lambda n: n / 8))
def test_the_least_time_within_a_damage(layers, most):
    front = Front(layers)
    position = front.least_time(most)
    fitting = [taken for taken, damage in every_way(layers) if damage <= most]
    if position is None:
        assert not fitting
    else:
        taken, damage = sums(layers, front.options(position))
        assert damage <= most
        assert taken == min(fitting)


@given(LAYERS)
def test_the_front_is_what_no_way_beats(layers):
    front = Front(layers)
    ways = every_way(layers)
    best = {
        (time, damage)
        for time, damage in ways
        if not any(t <= time and d <= damage and (t, d) != (time, damage) for t, d in ways)
    }
    assert list(zip(front.times, front.damages, strict=True)) == sorted(best)


def test_greedy_would_miss_it():
    """By damage per time saved, the first layer's 1 bit looks best, and uses up what the others need."""
    layers = [[Option(10, 0), Option(3, 6.5)], [Option(10, 0), Option(5, 5)], [Option(10, 0), Option(5, 1)]]
    front = Front(layers)
    position = front.least_damage(20)
    assert position is not None
    assert front.options(position) == [0, 1, 1]
    assert front.damages[position] == 6


@pytest.mark.parametrize("layers", [1, 60])
def test_many_layers_stay_exact(layers):
    """As many as networks have: alike, so that how many of them are fast is all that counts."""
    front = Front([[Option(1000, 0.0), Option(300, 0.25)]] * layers)
    assert len(front.times) == layers + 1
    position = front.least_damage(1000 * layers - 700)
    assert position is not None
    assert front.damages[position] == 0.25
