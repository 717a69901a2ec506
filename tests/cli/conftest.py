"""Running the command line as a user does."""

import subprocess
import sys

import pytest


@pytest.fixture
def onnxbin():
    """Run a command; gives its stdout, stderr and exit status."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "onnxbin_cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
