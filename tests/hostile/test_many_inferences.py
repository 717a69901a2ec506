"""Inference after inference, four threads over a session for each op: no memory grows, no bit changes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from damage import FACTOR
from test_nodes import OPS, model_of

from onnxbin import session

INFERENCES, THREADS, WARM = 100_000 * FACTOR, 4, 2000
MOST_GROWTH = 4 << 20
"""Bytes that the process may be larger in the end: allocators keep some."""


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory in use")
def test_no_memory_grows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 8, 6, 6)).astype(np.float32)
    constants = {
        "W": rng.integers(0, 256, (1, 4, 9), dtype=np.uint8),
        "scale": np.ones((1, 4), np.float32),
        "bias": np.zeros(4, np.float32),
    }
    quantizer = {"x_step": np.ones(1, np.float32), "x_zero": np.zeros(1, np.float32)}
    attributes = {"weight_shape": [4, 8, 3, 3], "x_bits": 4}
    models = [model_of(op, attributes, constants | (quantizer if op != OPS[0] else {})) for op in OPS]
    sessions = [session(model.SerializeToString()) for model in models]
    expected = [entry.run(None, {"X": x})[0].tobytes() for entry in sessions]

    def run(times):
        for number in range(times):
            entry = number % len(sessions)
            assert sessions[entry].run(None, {"X": x})[0].tobytes() == expected[entry]

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, [WARM] * THREADS))
        before = resident()
        list(pool.map(run, [INFERENCES // THREADS] * THREADS))
    assert resident() - before < MOST_GROWTH
