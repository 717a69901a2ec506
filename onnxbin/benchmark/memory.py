"""The memory that a session needs: creating it and running it, at its peak, in a process of its own."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from onnxbin.benchmark.contender import Contender
from onnxbin.errors import OnnxbinError
from onnxbin.operator import get_library_path

_SCRIPT = Path(__file__).with_name("session_memory.py")


def peak_memory(contender: Contender, threads: int) -> int | None:
    """Bytes by which loading the contender and running it raises the resident memory of a fresh process.

    None where the system does not tell (Windows). Raises OnnxbinError where that process fails.
    """
    if importlib.util.find_spec("resource") is None:
        return None
    feed = contender.feeds[0]
    content = io.BytesIO()
    np.savez(content, *feed.values())
    arguments = [
        str(contender.path),
        get_library_path() if contender.kernels else "",
        str(threads),
        json.dumps(list(feed)),
    ]
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), *arguments], input=content.getvalue(), capture_output=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"ended with status {done.returncode}"
        raise OnnxbinError(f"{contender.name}: the process that measures its memory fails: {said}")
    return int(done.stdout)
