"""Inference after inference, session after session, in four threads: no memory grows, no bit changes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from damage import FACTOR
from test_nodes import OPS, model_of

from onnxbin import session

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="asks Linux for the memory in use"
)

THREADS = 4
INFERENCES, WARM = 100_000 * FACTOR, 8000
SESSIONS, WARM_SESSIONS = 400 * FACTOR, 200
MOST_GROWTH = 4 << 20
"""Bytes that the process may be larger in the end: allocators keep some."""


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


X = np.random.default_rng(0).normal(size=(1, 8, 6, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def models():
    """A model for each op, as bytes."""
    rng = np.random.default_rng(0)
    constants = {
        "W": rng.integers(0, 256, (1, 4, 9), dtype=np.uint8),
        "scale": np.ones((1, 4), np.float32),
        "bias": np.zeros(4, np.float32),
    }
    quantizer = {"x_step": np.ones(1, np.float32), "x_zero": np.zeros(1, np.float32)}
    attributes = {"weight_shape": [4, 8, 3, 3], "x_bits": 4}
    made = [model_of(op, attributes, constants | (quantizer if op != OPS[0] else {})) for op in OPS]
    return [model.SerializeToString() for model in made]


def does_not_grow(turn, warm, times):
    """Call turn(number) in several threads, and see that memory stays, after as many calls to get warm."""

    def turns(count):
        for number in range(count // THREADS):
            turn(number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(turns, [warm] * THREADS))
        before = resident()
        list(pool.map(turns, [times] * THREADS))
    assert resident() - before < MOST_GROWTH


def test_inferences(models):
    sessions = [session(model) for model in models]
    expected = [output_of(entry) for entry in sessions]

    def turn(number):
        entry = number % len(sessions)
        assert output_of(sessions[entry]) == expected[entry]

    does_not_grow(turn, WARM, INFERENCES)


def test_sessions_come_and_go(models):
    expected = [output_of(session(model)) for model in models]

    def turn(number):
        entry = number % len(models)
        assert output_of(session(models[entry])) == expected[entry]

    does_not_grow(turn, WARM_SESSIONS, SESSIONS)


def output_of(entry):
    return entry.run(None, {"X": X})[0].tobytes()
