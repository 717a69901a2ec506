"""Kills small compressions at random moments, again and again, and resumes them: every end has the same bits.

    python tests/soak/kills.py [KILLS]

Too long for every change: `make soak` runs it. Each run is killed until it has once come to its end by
itself; then the next one starts, of the next kind.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import graphs  # noqa: E402

RUN = """
import json, sys, onnxbin
from onnxbin import loop
loop.SAVED_EVERY = 0.05
model, output, images, settings, run = sys.argv[1:]
if run:
    onnxbin.resume(run)
else:
    onnxbin.compress(model, output, images=images, profile="yolov4", **json.loads(settings))
"""

KINDS: dict[str, dict[str, Any]] = {
    "damage": {"max_drop": 0.5, "steps_per_layer": 40, "last_steps": 20},
    "undone turns": {"max_drop": 0.02, "steps_per_layer": 15, "last_steps": 20},
    "last phase": {"inputs": "4", "steps_per_layer": 10, "last_steps": 60},
    "budget": {"budget": 10.0},
}
"""Settings of the runs. A budget gives as many steps as the machine allows: that run has to end, no more."""

BEFORE = "before the run folder"
KILLS = 100
SIZE = 48


def main(kills: int) -> None:
    """Count the kills, where they struck, and compare the files."""
    folder = Path(tempfile.mkdtemp())
    model, photos = folder / "model.onnx", folder / "photos"
    model.write_bytes(graphs.chain([16, 32, 32, 32, 6], shape=(1, 3, SIZE, SIZE)).SerializeToString())
    photos.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")

    moments = random.Random(0)
    kinds = {name: _Kind(name, folder, model, photos) for name in KINDS}
    done = ends = 0
    struck: dict[str, int] = {}
    for kind in itertools.cycle(kinds.values()):
        output = folder / f"{ends}.onnx"
        while not output.exists():
            process = kind.start(output)
            # Now and then beyond the end: runs have to come to an end, too.
            try:
                process.wait(moments.uniform(0, 1.3 * kind.seconds))
            except subprocess.TimeoutExpired:
                where = _where(output.with_suffix(".run"))
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
                struck[where] = struck.get(where, 0) + 1
                if where == BEFORE:
                    kind.seconds *= 1.2  # the machine may have more to do than when this was measured
                print(f"kill {done}, {kind.name}: {where}", flush=True)
            else:
                if process.returncode:
                    sys.exit(f"a run of the kind {kind.name!r} ended with status {process.returncode}")
        if kind.name != "budget" and output.read_bytes() != kind.whole:
            sys.exit(f"{output}: differs from the run that was never killed, {kind.name}")
        ends += 1
        if done >= kills:
            break
    print(f"{done} kills, {ends} runs brought to their end, with the bits of runs that were never killed")
    print(", ".join(f"{where}: {count}" for where, count in sorted(struck.items())))


class _Kind:
    """Runs with these settings; the first is never killed."""

    def __init__(self, name: str, folder: Path, model: Path, photos: Path) -> None:
        self.name = name
        self._model, self._photos = model, photos
        started = time.monotonic()
        output = folder / f"{name}.onnx"
        if self.start(output).wait():
            sys.exit(f"a run of the kind {name!r} fails, though nobody kills it")
        self.seconds = time.monotonic() - started
        self.whole = output.read_bytes()

    def start(self, output: Path) -> subprocess.Popen[bytes]:
        """A process that begins the run, or goes on with it."""
        run = output.with_suffix(".run")
        resume = str(run) if (run / "run.json").exists() else ""
        settings = json.dumps(KINDS[self.name])
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(self._model), str(output), str(self._photos), settings, resume],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def _where(run: Path) -> str:
    if not run.exists():
        return BEFORE
    if (run / "turn.npz").exists():
        return "within a layer"
    return "between layers" if (run / "finished.npz").exists() else "before anything was saved"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
