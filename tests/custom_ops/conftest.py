"""Builds the C++ library once a test run, plain and with sanitizers, for whichever worker comes first."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests import conv_cases.py

ROOT = Path(__file__).resolve().parents[2]
QEMU = "qemu-aarch64-static"

# What CMake is told for each build.
OPTIONS = {
    "release": ["-DONNXBIN_SANITIZE="],
    "sanitize": ["-DONNXBIN_SANITIZE=address,undefined"],
    "threads": ["-DONNXBIN_SANITIZE=thread"],
    "arm": [
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",
    ],
}


def build(name: str) -> Path:
    """The folder of an up-to-date build, kept between runs."""
    folder = ROOT / "build" / "custom_ops_tests" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held until the file is closed
        configure = ["cmake", "-S", str(ROOT / "custom_ops"), "-B", str(folder), "-DONNXBIN_BUILD_TESTS=ON"]
        for command in ([*configure, *OPTIONS[name]], ["cmake", "--build", str(folder), "--parallel", "2"]):
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "warning:" not in done.stdout + done.stderr, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def release_build() -> Path:
    return build("release")


def run_cases(name: str) -> list[str]:
    """The command of test/run_cases.cpp, as built with these options."""
    if name == "arm":
        for tool, package in (("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"), (QEMU, "qemu-user-static")):
            if not shutil.which(tool):
                pytest.skip(f"no {tool}: apt-get install {package}")
    emulator = [QEMU] if name == "arm" else []
    return [*emulator, str(build(name) / "run_cases")]


@pytest.fixture(scope="session", params=["release", "sanitize", "arm"])
def runner(request: pytest.FixtureRequest) -> list[str]:
    """As users get it, with sanitizers, for 64-bit Arm in an emulator."""
    return run_cases(request.param)


@pytest.fixture(scope="session", params=["release", "threads", "arm"])
def threaded_runner(request: pytest.FixtureRequest) -> list[str]:
    """As users get it, with the thread sanitizer, for 64-bit Arm in an emulator."""
    return run_cases(request.param)


@pytest.fixture(scope="session")
def library(release_build: Path) -> Path:
    (path,) = release_build.glob("*onnxbin_ops.*")
    return path
