"""Builds of the C++ library, one a set of options, kept between runs and shared by all tests."""

import fcntl
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ARM_TOOLCHAIN = f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'custom_ops' / 'cmake' / 'aarch64-linux-gnu.cmake'}"
QEMU = "qemu-aarch64-static"

# What CMake is told for each build.
OPTIONS = {
    "release": ["-DONNXBIN_SANITIZE="],
    "sanitize": ["-DONNXBIN_SANITIZE=address,undefined"],
    "threads": ["-DONNXBIN_SANITIZE=thread"],
    # The kernels that every processor has: what is fuzzed is what stands before them. Builds in seconds.
    "fuzz": [
        "-DONNXBIN_SANITIZE=address,undefined",
        "-DONNXBIN_BUILD_FUZZ=ON",
        "-DCMAKE_CXX_COMPILER=clang++",
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=any",
    ],
    "arm": [ARM_TOOLCHAIN, "-DCMAKE_EXE_LINKER_FLAGS=-static"],
    # The sanitizer's library stands behind the one that has these two, and not every program asks for them.
    "arm-sanitize": [
        ARM_TOOLCHAIN,
        "-DCMAKE_EXE_LINKER_FLAGS=-static -Wl,-u,__dynamic_cast,-u,_ZTIN10__cxxabiv121__vmi_class_type_infoE",
        "-DONNXBIN_SANITIZE=undefined",
    ],
}


def build(name: str) -> Path:
    """The folder of an up-to-date build; whichever test process comes first makes it, without a warning.

    Skips where the tools for Arm are missing.
    """
    if name.startswith("arm"):
        for tool, package in (("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"), (QEMU, "qemu-user-static")):
            if not shutil.which(tool):
                pytest.skip(f"no {tool}: apt-get install {package}")
    folder = ROOT / "build" / "custom_ops_tests" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held until the file is closed
        cmake(ROOT / "custom_ops", folder, "-DONNXBIN_BUILD_TESTS=ON", *OPTIONS[name])
    return folder


def cmake(source: Path, folder: Path, *options: str) -> None:
    """Configure `source` and build it in `folder`; an error or a warning fails the test."""
    execute(["cmake", "-S", str(source), "-B", str(folder), *options])
    execute(["cmake", "--build", str(folder), "--parallel", "2"])


def execute(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning:" not in done.stdout + done.stderr, done.stdout + done.stderr
