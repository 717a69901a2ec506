"""Run a compressed model in several versions of ONNX Runtime, each in a virtual environment of its own.

    python tests/deploy/ort_matrix.py                  # the versions of VERSIONS
    python tests/deploy/ort_matrix.py 1.20.1 1.23.2

Each version runs the same file twice, with the operator library and without. Printed is the table of
docs/deploy.md; the exit status is 1 where a version fails, does not run the kernels, or where its two answers
differ by more than TOLERANCE. All of VERSIONS have wheels for Python 3.11 and 3.12.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import onnxbin

VERSIONS = ("1.17.3", "1.19.2", "1.22.1", "1.31.1")
TOLERANCE = 1e-3
"""Of the largest output: layers agree to 1e-7, but that turns a few of the 8-bit levels between them over."""

ROOT = Path(__file__).resolve().parents[2]
STREET = ROOT / "examples" / "street"
ENVIRONMENTS = ROOT / "build" / "ort_matrix"

WORKER = Path(__file__).with_name("ort_worker.py")


def main(versions: list[str]) -> int:
    failures = 0
    print("| onnxruntime | Python, NumPy | layers on kernels | with and without the library |")
    print("|---|---|---|---|")
    with TemporaryDirectory() as name:
        folder = Path(name)
        model, layers = compressed(folder)
        for version in versions:
            try:
                found = run(version, model, folder)
            except subprocess.CalledProcessError as error:
                print(f"| {version} | - | - | fails: {last_line(error.stderr)} |", flush=True)
                failures += 1
                continue
            good = found["kernels"] == layers and not found["stock_kernels"]
            failures += not (good and found["difference"] <= TOLERANCE)
            print(
                f"| {version} | {found['python']}, {found['numpy']} | {found['kernels']} of {layers} "
                f"| differ by {found['difference']:.0e} of the largest output |",
                flush=True,
            )
    return 1 if failures else 0


def compressed(folder: Path) -> tuple[Path, int]:
    """The street detector with every possible layer binary, and their number; an input is left in x.npy."""
    images = STREET / "images"
    result = onnxbin.compress(
        STREET / "street.onnx", folder / "street.binary.onnx", finetune=False, images=images
    )
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.random((1, 3, 160, 256), np.float32))
    return Path(result.path), sum(record.layer is not None for record in result.steps)


def run(version: str, model: Path, folder: Path) -> dict[str, str | int | float]:
    """What ort_worker.py finds in this version of ONNX Runtime."""
    environment = ENVIRONMENTS / version
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    venv.create(environment, with_pip=True)  # completes what an interrupted run left
    # Wheels before 1.19 are built for NumPy 1.
    numpy = ["numpy<2"] if tuple(map(int, version.split("."))) < (1, 19) else []
    execute(python, "-m", "pip", "install", "--quiet", f"onnxruntime=={version}", *numpy)
    output = execute(python, WORKER, onnxbin.get_library_path(), model, folder / "x.npy")
    found: dict[str, str | int | float] = json.loads(output.splitlines()[-1])
    return found


def execute(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(VERSIONS)))
