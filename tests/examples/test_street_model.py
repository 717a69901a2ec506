"""The model in the repository: its contract, how small it can become, and that it finds pedestrians."""

import numpy as np
import onnx
import pytest
from measure import detect, held_out, person_ap
from onnx import numpy_helper
from scenes import HEIGHT, WIDTH, Picture

import onnxbin
from onnxbin.detection.detections import Detections
from onnxbin.images import recognise


@pytest.fixture
def path(street):
    return street / "street.onnx"


@pytest.fixture
def proto(path):
    return onnx.load(path)


def test_passes_the_checker(proto):
    onnx.checker.check_model(proto, full_check=True)


def test_contract(proto):
    (image,), (output,) = proto.graph.input, proto.graph.output
    cells = sum((HEIGHT // stride) * (WIDTH // stride) for stride in (8, 16, 32))
    shapes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in (image, output)]
    assert shapes == [[1, 3, HEIGHT, WIDTH], [1, 5, cells]]
    assert (image.name, output.name) == ("images", "output0")


def test_is_recognised_without_being_told(proto):
    found = recognise(proto)
    assert found is not None
    assert found[0] == "yolov8"


def test_can_become_more_than_twenty_times_smaller(path, proto):
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    convolutions = [weights[node.input[1]] for node in proto.graph.node if node.op_type == "Conv"]
    candidates = [w for w in convolutions[1:] if w.shape[0] != 5]
    bits = sum(w.size for w in candidates)
    channels = sum(w.shape[0] for w in candidates)
    original = path.stat().st_size
    assert 1_500_000 < original < 2_000_000
    assert 4 * bits > 0.975 * original
    # A bit a weight, a scale and a bias a channel; batch normalisation (four floats a channel) is folded; the
    # operator's function takes a few kilobytes.
    smallest = original - 4 * bits - 16 * channels + bits / 8 + 8 * channels + 5000
    assert 21 < original / smallest < 25


def test_reaches_twenty_times(path, tmp_path):
    result = onnxbin.compress(path, tmp_path / "small.onnx", until_ratio=20, finetune=False)
    assert result.reached
    assert path.stat().st_size >= 20 * (tmp_path / "small.onnx").stat().st_size


def test_finds_the_pedestrians_of_scenes_it_has_not_seen(path):
    pictures = held_out(60)
    assert sum(len(picture.boxes) for picture in pictures) > 100
    assert person_ap(detect(path, pictures), pictures) > 0.88


def test_average_precision_of_the_labels_themselves_is_one():
    boxes = np.array([(10, 20, 30, 60), (100, 20, 30, 60)], np.float32)
    picture = Picture(np.zeros((HEIGHT, WIDTH, 3), np.uint8), boxes)
    corners = np.array([(10, 20, 40, 80), (100, 20, 130, 80)], np.float32)
    found = Detections(corners, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64))
    assert person_ap([found], [picture]) == pytest.approx(1.0)
    assert person_ap([found[:1]], [picture]) == pytest.approx(0.5)
