"""Kills a small compression at random moments, again and again, and resumes it: every end has the same bits.

    python tests/soak/kills.py [KILLS]

Too long for every change: `make soak` runs it. Each run is killed until it has once come to its end by
itself; then the next one starts.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import graphs  # noqa: E402

RUN = """
import sys, onnxbin
from onnxbin import loop
loop.SAVED_EVERY = 0.05
model, output, images, run = sys.argv[1:]
if run:
    onnxbin.resume(run)
else:
    onnxbin.compress(model, output, images=images, profile="yolov4", steps_per_layer=40, max_drop=0.5,
                     priority="damage")
"""

KILLS = 50
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

    started = time.monotonic()
    _start(model, folder / "whole.onnx", photos).wait()
    whole = (folder / "whole.onnx").read_bytes()
    length = time.monotonic() - started

    moments = random.Random(0)
    done = ends = 0
    struck: dict[str, int] = {}
    while done < kills:
        output = folder / f"{ends}.onnx"
        while not output.exists():
            process = _start(model, output, photos)
            # Now and then beyond the end: runs have to come to an end, too.
            try:
                process.wait(moments.uniform(0, 1.3 * length))
            except subprocess.TimeoutExpired:
                where = _where(output.with_suffix(".run"))
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
                struck[where] = struck.get(where, 0) + 1
                print(f"kill {done}: {where}", flush=True)
            else:
                if process.returncode:
                    sys.exit(f"a run ended with status {process.returncode}")
        if output.read_bytes() != whole:
            sys.exit(f"{output}: differs from the run that was never killed")
        ends += 1
    print(f"{done} kills, {ends} runs brought to their end, every one with the same bits")
    print(", ".join(f"{where}: {count}" for where, count in sorted(struck.items())))


def _start(model: Path, output: Path, photos: Path) -> subprocess.Popen[bytes]:
    run = output.with_suffix(".run")
    resume = str(run) if (run / "run.json").exists() else ""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(model), str(output), str(photos), resume],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _where(run: Path) -> str:
    if not run.exists():
        return "before the run folder"
    if (run / "turn.npz").exists():
        return "within a layer"
    return "between layers" if (run / "finished.npz").exists() else "before anything was saved"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
