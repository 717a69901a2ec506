from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxbin.errors import OnnxbinError
from onnxbin.images import PROFILES, ImageInput, ImageSet, Preprocessing
from onnxbin.images.source import Pixels

TARGET = ImageInput("x", 32, 48)
RAW = Preprocessing(std=(1.0, 1.0, 1.0))


class CountingSource:
    """Ten images of one grey level each; counts how often each is decoded."""

    paths: tuple[Path, ...] = ()

    def __init__(self) -> None:
        self.reads = [0] * 10

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Pixels:
        self.reads[index] += 1
        return np.full((10, 10, 3), index, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for level in range(8):
        Image.fromarray(np.full((20, 30, 3), level * 10, np.uint8)).save(tmp_path / f"{level}.png")
    return tmp_path


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_tensors_come_in_the_models_shape(folder: Path, layout: str) -> None:
    target = ImageInput("x", 32, 48, layout)
    images = ImageSet.open(folder, target, RAW)
    assert len(images) == 8
    for index, path in enumerate(images.paths):
        tensor = images.tensor(index)
        assert tensor.dtype == np.float32
        assert tensor.shape == target.shape
        assert (tensor == int(path.stem) * 10).all()
        assert images.tensor(index, np.random.default_rng(0)).shape == target.shape


def test_split_is_a_partition_that_the_seed_decides(folder: Path) -> None:
    images = ImageSet.open(folder, TARGET, RAW)
    train, held_back = images.split(0.25, seed=3)
    assert (len(train), len(held_back)) == (6, 2)
    assert sorted(train.paths + held_back.paths) == images.paths
    assert images.split(0.25, seed=3)[1].paths == held_back.paths
    assert len({tuple(images.split(0.25, seed=seed)[1].paths) for seed in range(10)}) > 1
    for part in (train, held_back):  # tensors follow paths
        assert [part.tensor(i)[0, 0, 0] for i in range(len(part))] == [int(p.stem) * 10 for p in part.paths]
    again, _ = train.split(0.5)
    assert set(again.paths) < set(train.paths)


def test_split_leaves_an_image_on_both_sides_or_says_why_not(folder: Path) -> None:
    images = ImageSet.open(folder, TARGET, RAW)
    assert [len(part) for part in images.split(0.001)] == [7, 1]
    assert [len(part) for part in images.split(0.999)] == [1, 7]
    for fraction in (0, 1, -1, float("nan")):
        with pytest.raises(OnnxbinError, match="not between 0 and 1"):
            images.split(fraction)
    with pytest.raises(OnnxbinError, match="cannot be divided"):
        ImageSet.open(folder / "1.png", TARGET, RAW).split(0.5)


def test_images_are_decoded_once_while_they_fit_the_bound() -> None:
    source = CountingSource()
    images = ImageSet(source, TARGET, RAW, cache_bytes=4 * 300 + 299)  # an image is 300 bytes
    for part in (images, *images.split(0.5)):
        for _ in range(2):
            for i in range(len(part)):
                part.tensor(i)
    assert source.reads == [1] * 4 + [4] * 6


def test_threads_get_the_right_images() -> None:
    images = ImageSet(CountingSource(), TARGET, RAW)
    order = np.random.default_rng(0).integers(0, 10, 300).tolist()
    with ThreadPoolExecutor(8) as pool:
        levels = [tensor[0, 0, 0] for tensor in pool.map(images.tensor, order)]
    assert levels == order


def test_rendered_images_need_no_files() -> None:
    images = ImageSet.rendered(5, TARGET, PROFILES["yolov8"], seed=1)
    assert len(images) == 5
    assert images.paths == []
    assert images.tensor(4).shape == (3, 32, 48)
    train, held_back = images.split(0.4)
    assert (len(train), len(held_back)) == (3, 2)
