"""The library installed, the C++ example built on it and on ONNX Runtime, against detection in Python."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from library_builds import ARM_TOOLCHAIN, QEMU, ROOT, build, cmake, execute
from PIL import Image

import onnxbin
from onnxbin.detection import Detector, Selection

STREET = ROOT / "examples" / "street"
IMAGES = sorted((STREET / "images").glob("*.jpg"))[3:6]
MIN_SCORE = 0.2
# ONNX Runtime for Arm, as `make test-arm` unpacks it from its wheel.
ARM_RUNTIME = ROOT / "build" / "onnxruntime-aarch64" / "onnxruntime" / "capi"


@dataclass(frozen=True)
class Target:
    """A processor: the library's build, options of CMake, what starts programs, ONNX Runtime's folder."""

    build: str
    options: tuple[str, ...]
    emulator: tuple[str, ...]
    runtime: Path


TARGETS = {
    "native": Target("release", (), (), Path(onnxruntime.__file__).parent / "capi"),
    "arm": Target("arm", (ARM_TOOLCHAIN,), (QEMU, "-L", "/usr/aarch64-linux-gnu"), ARM_RUNTIME),
}


@pytest.fixture(scope="module", params=TARGETS)
def detect(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the example, built against what `cmake --install` installs."""
    target = TARGETS[request.param]
    if platform.system() != "Linux":
        pytest.skip("names of ONNX Runtime's library are those of Linux here")
    if not target.runtime.is_dir():
        pytest.skip("no ONNX Runtime for Arm: `make test-arm` fetches it")
    folder = tmp_path_factory.mktemp(request.param)
    execute(["cmake", "--install", str(build(target.build)), "--prefix", str(folder / "onnxbin")])
    unpack_runtime(target.runtime, folder / "onnxruntime")
    cmake(
        ROOT / "examples" / "deploy" / "cpp",
        folder / "build",
        f"-DCMAKE_PREFIX_PATH={folder / 'onnxbin'};{folder / 'onnxruntime'}",
        "-DCMAKE_CXX_FLAGS=-Wall -Wextra",
        *target.options,
    )
    return [*target.emulator, str(folder / "build" / "detect")]


def unpack_runtime(wheel: Path, folder: Path) -> None:
    """ONNX Runtime laid out as in its release archives, from its wheel and from its header or a stand-in."""
    headers = Path(os.environ.get("ORT_INCLUDE_DIR", Path(__file__).parent / "ort_headers"))
    folder.mkdir()
    (folder / "include").symlink_to(headers)
    (folder / "lib").mkdir()
    (library,) = wheel.glob("libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(library)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The street detector with its deepest layer binary."""
    path = tmp_path_factory.mktemp("model") / "street.binary.onnx"
    result = onnxbin.compress(
        STREET / "street.onnx", path, until_ratio=3, finetune=False, images=STREET / "images"
    )
    return result.path


def test_finds_what_python_finds(detect: list[str], model: Path, tmp_path: Path) -> None:
    python = Detector(
        onnx.load(model), session=onnxbin.session(model), selection=Selection(min_score=MIN_SCORE)
    )
    total = 0
    for path in IMAGES:
        image = Image.open(path).convert("RGB")
        image.save(tmp_path / "image.ppm")
        done = run(detect, model, tmp_path / "image.ppm", str(MIN_SCORE))
        assert done.returncode == 0, done.stderr
        found = np.array([line.split() for line in done.stdout.splitlines()], np.float64).reshape(-1, 6)
        want = python(np.asarray(image))
        np.testing.assert_array_equal(found[:, 0], want.classes)
        np.testing.assert_allclose(found[:, 1], want.scores, atol=1e-4)
        inside = np.clip(found[:, 2:], 0, [image.width, image.height] * 2)
        np.testing.assert_allclose(inside, want.boxes, atol=0.02)
        total += len(want)
    assert total >= len(IMAGES)


def test_runs_on_the_kernels(
    detect: list[str], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on the function bodies: these would not mind a name of kernels that do not exist."""
    monkeypatch.setenv("ONNXBIN_ISA", "abacus")
    done = run(detect, model, tmp_path / "image.ppm")
    assert done.returncode == 1
    assert "abacus" in done.stderr


@pytest.mark.parametrize(("name", "message"), [("none.ppm", "not a binary PPM"), ("small.ppm", "dimensions")])
def test_says_what_is_wrong(detect: list[str], model: Path, tmp_path: Path, name: str, message: str) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "small.ppm")
    done = run(detect, model, tmp_path / name)
    assert done.returncode == 1
    assert message in done.stderr


def run(detect: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*detect, *map(str, arguments)], capture_output=True, text=True)
