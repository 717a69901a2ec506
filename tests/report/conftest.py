"""A real run of a small detector, whose layers and file are named by somebody hostile."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from bright_cells import FILE, detector, write_images

import onnxbin


@dataclass(frozen=True)
class MadeRun:
    """folder: of the run. model: the original. images: what the run was given. labels: for some of them."""

    folder: Path
    model: Path
    images: Path
    labels: Path
    result: onnxbin.Result


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    model = folder / FILE
    model.write_bytes(detector().SerializeToString())
    labels = write_images(folder / "images")
    result = onnxbin.compress(
        model, folder / "small.onnx", images=folder / "images", finetune=False, inputs="8"
    )
    return MadeRun(result.run, model, folder / "images", labels, result)


@pytest.fixture
def run_folder(finished, tmp_path):
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(finished.folder, tmp_path / "copy.run"))
