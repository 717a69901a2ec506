"""What every test may use: the folder of real detectors and photographs, if any; a stock runtime."""

import os
import signal
from pathlib import Path

# Before anything starts its threads: several test processes, each with a thread for each core, spend their
# time waiting for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import graphs
import hypothesis
import numpy as np
import onnxruntime
import pytest

# Jobs in the background of a shell ignore Ctrl-C, and so would what the tests start and stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("onnxbin", deadline=None)
hypothesis.settings.load_profile("onnxbin")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    skip = pytest.mark.skip(reason=f"no folder {SHARED.name} of real detectors beside the checkout")
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real detectors (`models/`) and photographs (`data/`)."""
    return SHARED


@pytest.fixture
def model(tmp_path):
    """A file of four convolutions on images of 24x24, of which c1 and c2 may become binary."""
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([8, 16, 16, 6], shape=(1, 3, 24, 24)).SerializeToString())
    return path


@pytest.fixture
def run():
    """Run a model in a stock ONNX Runtime, without the operator library, on one input array."""

    def run_(proto, x: np.ndarray) -> list[np.ndarray]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        content = proto.SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: x})

    return run_
