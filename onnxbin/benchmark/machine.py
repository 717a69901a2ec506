"""What a benchmark ran on, and how much of it other programs took meanwhile."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from onnxbin.errors import OnnxbinError
from onnxbin.operator import instruction_sets
from onnxbin.version import __version__


@dataclass(frozen=True)
class Machine:
    """processor: its name. cores: physical ones. kernels: the family that our operators use, None without."""

    processor: str
    cores: int
    system: str
    kernels: str | None
    onnxruntime: str
    onnxbin: str

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        try:
            kernels = instruction_sets()[0]
        except (OnnxbinError, OSError):
            kernels = None
        system = f"{platform.system()} {platform.machine()}"
        return cls(_processor(), physical_cores(), system, kernels, onnxruntime.__version__, __version__)


def physical_cores() -> int:
    """The cores that this process may use, each counted once however many threads it runs at a time.

    That is the number of threads that ONNX Runtime takes by itself.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        file = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        siblings.add(file.read_text() if file.exists() else str(cpu))
    return len(siblings)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


class LoadOfOthers:
    """A context; after it, `cores` says how many cores other programs kept busy on average, None if unknown.

    Known on Linux: what all processors did, less what this process did.
    """

    cores: float | None = None

    def __enter__(self) -> LoadOfOthers:
        self._wall, self._busy = time.monotonic(), _busy_with_others()
        return self

    def __exit__(self, *_: object) -> None:
        wall, busy = time.monotonic() - self._wall, _busy_with_others()
        if self._busy is not None and busy is not None and wall > 0:
            self.cores = max(0.0, (busy - self._busy) / wall)


def _busy_with_others() -> float | None:
    """Seconds, over all processors, since some time in the past."""
    try:
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    idle, waiting = ticks[3], ticks[4]
    own = os.times()
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK") - own.user - own.system
