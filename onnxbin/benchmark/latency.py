"""How long things take, in turns, so that a machine that others use too is fair to all of them.

Each round gives every contender one turn: a call that is not timed, which brings its weights back into the
caches as in a program that runs one network over and over, then the one that is. What slows the machine down
for a while then meets all alike. Of the times, the median counts: it forgets what a busy moment adds.

What runs on one thread is timed by the processor time of that thread, which stands still while another
program has the core. On an idle machine that is the time that passes. Of several threads no such time is
known, for they wait for each other: there, the time that passes counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

LEAST, MOST = 5, 50
"""Rounds, where the caller does not say how many."""

SECONDS = 10.0
"""Then no further round begins after so many seconds for each contender, `LEAST` rounds being done."""


@dataclass(frozen=True)
class Timing:
    """milliseconds: of each timed call, in order."""

    milliseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """In milliseconds."""
        return statistics.median(self.milliseconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between them lies the middle half of the times, in milliseconds."""
        if len(self.milliseconds) == 1:
            return self.milliseconds[0], self.milliseconds[0]
        lower, _, upper = statistics.quantiles(self.milliseconds, n=4, method="inclusive")
        return lower, upper

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the figures, and the times they come from."""
        return {"median": self.median, "quartiles": self.quartiles, "milliseconds": self.milliseconds}


Clock = Callable[[], float]
"""Seconds since some time in the past."""


def processor_time(threads: int) -> bool:
    """Whether what runs on so many threads is timed by processor time, not by the time that passes."""
    # Windows counts it in sixtieths of a second.
    return threads == 1 and time.get_clock_info("thread_time").resolution < 1e-5


def clock(threads: int) -> Clock:
    """What to time by what runs on so many threads, the calling one among them."""
    return time.thread_time if processor_time(threads) else time.perf_counter


def alternate(
    calls: Sequence[Callable[[int], object]], rounds: int | None = None, clock: Clock = time.perf_counter
) -> list[Timing]:
    """Time each call once a round, all in turns; the timings come in the order of `calls`.

    calls: get the number of the round. rounds: how many; None for as many as the limits above allow.
    """
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call(0)  # the first call of all also allocates
    started = time.monotonic()
    done = 0
    while not _enough(done, rounds, time.monotonic() - started, len(calls)):
        for call, collected in zip(calls, times, strict=True):
            call(done)
            start = clock()
            result = call(done)
            collected.append(1e3 * (clock() - start))
            del result  # not before: freeing it is not what is timed
        done += 1
    return [Timing(tuple(collected)) for collected in times]


def _enough(done: int, rounds: int | None, seconds: float, contenders: int) -> bool:
    if rounds is not None:
        return done >= rounds
    return done >= MOST or (done >= LEAST and seconds > SECONDS * contenders)
