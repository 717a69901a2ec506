"""A script that prints how much memory a session adds to its process at the peak, in bytes.

    python session_memory.py MODEL LIBRARY THREADS NAMES < inputs.npz

LIBRARY: of operators, "" for none. NAMES: of the inputs, as JSON; their arrays come as .npz on standard
input. It imports nothing but ONNX Runtime, so that what other packages leave free does not serve the session.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

RUNS = 2  # the first allocates; the second shows that no more is needed, or what is
_STATUS = Path("/proc/self/status")


def main() -> None:
    """Load, run, print."""
    model, library, threads, names = sys.argv[1:]
    arrays = np.load(io.BytesIO(sys.stdin.buffer.read()))
    feed = dict(zip(json.loads(names), [arrays[key] for key in arrays], strict=True))
    before = _peak()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = int(threads)
    if library:
        options.register_custom_ops_library(library)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for _ in range(RUNS):
        session.run(None, feed)
    print(_peak() - before)


def _peak() -> int:
    """The largest memory this process has had resident, in bytes."""
    # getrusage would do everywhere, but on Linux it counts what the parent had when it forked.
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
