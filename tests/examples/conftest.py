"""The scripts of examples/street import one another by name, as Python finds them when one is run."""

import sys
from pathlib import Path

import pytest

STREET = Path(__file__).resolve().parents[2] / "examples" / "street"
sys.path.insert(0, str(STREET))


@pytest.fixture
def street() -> Path:
    """The folder of the embedded example."""
    return STREET
