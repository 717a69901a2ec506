"""The C++ library and its runner of kernel tests: plain, with sanitizers, for Arm."""

import sys
from pathlib import Path

import pytest
from library_builds import QEMU, build

sys.path.insert(0, str(Path(__file__).parent))  # tests import conv_cases.py


@pytest.fixture(scope="session")
def release_build() -> Path:
    return build("release")


def run_cases(name: str) -> list[str]:
    """The command of test/run_cases.cpp, as built with these options."""
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
