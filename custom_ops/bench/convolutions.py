"""Times our convolutions against ONNX Runtime's and OpenVINO's, alternating in one process.

    python custom_ops/bench/convolutions.py BUILD [--threads 1] [--rounds 40] [--all] [--only TEXT] [--json]

BUILD is a folder that CMake built with -DONNXBIN_BUILD_BENCH=ON. For each shape: the median milliseconds of
ONNX Runtime's fp32 Conv; for every other contender, how many times faster than that it is; and below ours,
the percentage of the peak that its kernel reaches, which BUILD/kernel_peaks measures first, on data in the
first-level cache. (Depthwise convolutions are in floats, whatever their input: their peak is that of reals.)
ONNXBIN_ISA chooses our kernels. Machines may be shared: rounds alternate between the
contenders, so that all meet the same load, and ratios are what to read.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # or NumPy's idle threads take a share of the time

import argparse
import importlib.metadata
import json
import platform
import statistics
import subprocess
import time
from pathlib import Path

from contenders import OURS, Run, Shape, contenders

MAIN = [Shape(256, 256, 28), Shape(512, 512, 14), Shape(1024, 1024, 13)]
OTHERS = [
    Shape(64, 64, 104),
    Shape(128, 128, 52),
    Shape(256, 256, 26, kernel=1),
    Shape(256, 256, 13, kernel=1),
    Shape(512, 512, 26, kernel=1),
    Shape(512, 512, 13, kernel=1),
    Shape(192, 64, 80, kernel=1),
    Shape(48, 96, 150, kernel=1),
    Shape(32, 32, 160, kernel=1),
    Shape(64, 64, 80),
    Shape(128, 256, 52, stride=2),
    Shape(64, 64, 80, stride=2),
    Shape(65, 70, 27),
    Shape(128, 128, 52, depthwise=True),
    Shape(128, 128, 52, stride=2, depthwise=True),
    Shape(256, 256, 26, kernel=5, depthwise=True),
    Shape(256, 256, 26, kernel=5, stride=2, depthwise=True),
]

# Calls before one that is timed: the others' data have to leave the caches first.
WARMING = 4

# Columns of the table: contender, heading, width.
PEERS = [("int8", "int8", 5), ("OpenVINO f32", "f32", 6), ("OpenVINO int8", "int8", 5)]
PEERS += [("OpenVINO 1 bit", "1bit", 5)]
COLUMNS = PEERS + [(name, name.split()[0], 6 if name == "1 bit" else 5) for name in OURS]


def medians(runs: dict[str, Run], rounds: int, threads: int) -> dict[str, float]:
    """Milliseconds. Each round times each contender once, after calls that warm its caches.

    One thread is timed by its processor time, which does not count what other programs take.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            for _ in range(WARMING):
                run()
            start = clock()
            run()
            times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def kernel_peaks(build: Path) -> tuple[str, dict[str, float]]:
    """The name of the instruction set in use, and GMAC/s of one thread by column of ours."""
    text = subprocess.run([build / "kernel_peaks"], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [line.split("\t") for line in text.splitlines()]
    return rows[0][0], {name: float(peak) for _, name, peak in rows}


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().split("\n\n")[0].splitlines() if info.exists() else []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    return f"{facts['model name']}, family {facts['cpu family']}, model {facts['model']}"


def version(package: str) -> str:
    """A package's name and version, or that it is missing."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"


def rows(shape: Shape, times: dict[str, float], peaks: dict[str, float]) -> str:
    """The two lines of a shape: ratios, and the shares of the peaks."""
    base = times["fp32"]
    if shape.depthwise:
        peaks = dict.fromkeys(peaks, peaks["real"])
    ratios, shares = f"{shape!s:22}{base:6.{2 if base >= 1 else 3}f}", f"{'  % of peak':28}"
    for name, _, width in COLUMNS:
        ratio = base / times[name] if name in times else None
        ratios += f"{'-' if ratio is None else f'{ratio:.{1 if ratio >= 10 else 2}f}':>{width}}"
        shares += f"{f'{shape.macs / times[name] / peaks[name] / 1e4:.0f}' if name in peaks else '':>{width}}"
    return f"{ratios}\n{shares}"


def main() -> None:
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path, metavar="BUILD")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--all", action="store_true", help="more shapes than the three main ones")
    parser.add_argument("--only", default="", metavar="TEXT", help="shapes whose name holds this text")
    parser.add_argument("--json", action="store_true", help="print all medians and peaks as JSON")
    arguments = parser.parse_args()
    (library,) = map(str, arguments.build.glob("*onnxbin_ops.*"))
    family, peaks = kernel_peaks(arguments.build)
    peaks = {name: peak * arguments.threads for name, peak in peaks.items()}
    about = {
        "processor": processor(),
        "threads": arguments.threads,
        "peers": [version("onnxruntime"), version("openvino")],
        "instruction set": family,
        "GMAC/s at peak": peaks,
    }
    if not arguments.json:
        print(f"{about['processor']}; {arguments.threads} thread{'s' if arguments.threads > 1 else ''}")
        print(f"{', '.join(about['peers'])}; {family}, at peak, GMAC/s:")
        print("  " + ", ".join(f"{name} {peak:.0f}" for name, peak in peaks.items()) + "\n")
        print(f"{'':22}{'ORT fp32':>9}{'OpenVINO':>15}{'ours, by bits of the input':>29}")
        print(f"{'shape':22}{'ms':>6}" + "".join(f"{heading:>{width}}" for _, heading, width in COLUMNS))
    results = []
    for shape in MAIN + OTHERS * arguments.all:
        if arguments.only not in str(shape):
            continue
        runs = contenders(shape, library, arguments.threads)
        times = medians(runs, arguments.rounds, arguments.threads)
        results.append({"shape": str(shape), "macs": shape.macs, "ms": times})
        if not arguments.json:
            print(rows(shape, times, peaks), flush=True)
    if arguments.json:
        print(json.dumps({**about, "shapes": results}, indent=2))


if __name__ == "__main__":
    main()
