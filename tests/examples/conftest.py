"""The scripts of an example import one another by name, as Python finds them when one is run."""

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STREET = EXAMPLES / "street"
sys.path[:0] = [str(EXAMPLES / name) for name in ("street", "pedestrians", "own_loss", "inputs", "reshape")]


@pytest.fixture
def street() -> Path:
    """The folder of the embedded example."""
    return STREET
