"""Timing in turns, with a clock that the test moves on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxbin.benchmark import latency
from onnxbin.benchmark.latency import Timing, alternate


class Clock:
    """Stands still but for what `take` lets pass."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self):
        return self.now

    def take(self, name, seconds):
        def call(number):
            self.calls.append((name, number))
            self.now += seconds(number, self.calls) if callable(seconds) else seconds

        return call


def test_contenders_take_turns_and_each_second_call_is_timed():
    clock = Clock()
    alternate([clock.take("a", 1), clock.take("b", 2)], 3, clock)
    first = [("a", 0), ("b", 0)]
    rounds = [(name, number) for number in range(3) for name in "aabb"]
    assert clock.calls == first + rounds


def test_only_the_timed_call_counts():
    """The calls of a round take 5 s and 1 s: the first, which warms the caches, must not show."""
    clock = Clock()
    warming = clock.take("a", lambda _, calls: 5 if len(calls) % 2 == 0 else 1)
    (timing,) = alternate([warming], 4, clock)
    assert timing.milliseconds == (1000.0,) * 4


def test_a_slow_moment_does_not_move_the_median():
    clock = Clock()
    (timing,) = alternate([clock.take("a", lambda number, _: 100 if number == 2 else 1)], 7, clock)
    assert timing.median == 1000
    assert max(timing.milliseconds) == 100_000


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [
        (0.001, latency.MOST),  # the limit of rounds comes first
        (60, latency.LEAST),  # the limit of seconds was over at once
        (0.5, 11),  # two calls a round: after ten rounds ten seconds have passed, but not more
    ],
)
def test_rounds_are_limited_by_number_and_by_time(monkeypatch, seconds, rounds):
    clock = Clock()
    monkeypatch.setattr(latency.time, "monotonic", clock)
    (timing,) = alternate([clock.take("a", seconds)], None, clock)
    assert len(timing.milliseconds) == rounds


def test_the_limit_of_time_is_for_each_contender(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(latency.time, "monotonic", clock)
    timings = alternate([clock.take("a", 0.5), clock.take("b", 0.5)], None, clock)
    assert [len(timing.milliseconds) for timing in timings] == [11, 11]


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=60))
def test_median_and_quartiles_are_numpys(values):
    timing = Timing(tuple(values))
    assert timing.median == pytest.approx(np.median(values))
    assert timing.quartiles == pytest.approx(tuple(np.percentile(values, [25, 75])))
