"""Builds the C++ library once a test run, plain and with sanitizers, for whichever worker comes first."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests import conv_cases.py

ROOT = Path(__file__).resolve().parents[2]


def build(name: str, *options: str) -> Path:
    """The folder of an up-to-date build, kept between runs."""
    folder = ROOT / "build" / "custom_ops_tests" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held until the file is closed
        configure = ["cmake", "-S", str(ROOT / "custom_ops"), "-B", str(folder), "-DONNXBIN_BUILD_TESTS=ON"]
        for command in ([*configure, *options], ["cmake", "--build", str(folder), "--parallel", "2"]):
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "warning:" not in done.stdout + done.stderr, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def release_build() -> Path:
    return build("release")


@pytest.fixture(scope="session", params=["release", "sanitize"])
def runner(request: pytest.FixtureRequest) -> Path:
    """test/run_cases.cpp, compiled: as users get it, and with address and undefined-behaviour checks."""
    options = ["-DONNXBIN_SANITIZE=ON"] if request.param == "sanitize" else []
    return build(request.param, *options) / "run_cases"


@pytest.fixture(scope="session")
def library(release_build: Path) -> Path:
    (path,) = release_build.glob("*onnxbin_ops.*")
    return path
