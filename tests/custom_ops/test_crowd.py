"""Many threads that make, run and destroy kernels at the same time, under the thread sanitizer."""

import os
import re
import subprocess

from library_builds import build

THREADS, SECONDS = 8, int(os.environ.get("ONNXBIN_CROWD_SECONDS", "2"))


def test_no_data_race_and_no_other_bit() -> None:
    command = [build("threads") / "crowd", str(THREADS), str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-8000:]
    kernels, runs = (int(re.search(rf"(\d+) {what}", done.stdout)[1]) for what in ("kernels", "runs"))
    assert runs == 3 * kernels > 0
    print(done.stdout)
