from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from onnxbin.errors import OnnxbinError
from onnxbin.images import METADATA_KEY, PROFILES, Preprocessing, choose, recognise

FILES = {
    "yolov4": "yolov4_tiny_voc",
    "ssd-mobilenet": "ssd_mobilenet_v1_075_coco",
    "yolov8": "yolov8n_coco",
    "yolox": "yolox_nano_coco",
    "nanodet": "nanodet_m_416_coco",
    "fastestdet": "fastestdet_coco",
}


def model(
    size: int,
    outputs: Sequence[Sequence[int | str]],
    operators: Sequence[str] = ("Conv",),
    dtype: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """A graph of the given outline: its input of size x size feeds one node of each type."""
    x = helper.make_tensor_value_info("x", dtype, [1, 3, size, size])
    values = [
        helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, shape) for i, shape in enumerate(outputs)
    ]
    nodes = [helper.make_node(operator, ["x"], [f"n{i}"]) for i, operator in enumerate(operators)]
    result = helper.make_model(helper.make_graph(nodes, "graph", [x], values))
    helper.set_model_props(result, metadata or {})
    return result


@pytest.mark.shared
@pytest.mark.parametrize("family", FILES)
def test_real_detectors_are_recognised(shared: Path, family: str) -> None:
    detector = onnx.load(shared / "models" / f"{FILES[family]}.onnx")
    assert recognise(detector) == (family, PROFILES[family])
    # Without what the exporter noted down, the graph alone must do.
    del detector.metadata_props[:]
    assert recognise(detector) == (family, PROFILES[family])


LOOK_ALIKES = {
    "yolov6: the shape of YOLOX without its Focus stem": model(640, [[1, 8400, 85]]),
    "a segmenter: two outputs": model(640, [[1, 116, 8400], [1, 32, 160, 160]]),
    "yolov10: boxes after selection": model(640, [[1, 300, 6]]),
    "yolov5: three raw maps": model(
        640, [[1, 255, 80, 80], [1, 255, 40, 40], [1, 255, 20, 20]], ["LeakyRelu"]
    ),
    "two raw maps without leaky activations": model(416, [[1, 75, 13, 13], [1, 75, 26, 26]], ["Relu"]),
    "two maps of other strides": model(416, [[1, 75, 26, 26], [1, 75, 52, 52]], ["LeakyRelu"]),
    "picodet: four strides": model(416, [[1, n, c] for c in (80, 32) for n in (2704, 676, 169, 49)]),
    "scrfd: two anchors a cell": model(640, [[1, n, c] for c in (1, 4) for n in (12800, 3200, 800)]),
    "one plain anchor map at stride 16": model(352, [[1, 85, 22, 22]]),
    "ssd300-vgg": model(300, [[1, 8732, 4], [1, 8732, 81]]),
    "pytorch-ssd": model(300, [[1, 3000, 21], [1, 3000, 4]]),
    "a classifier": model(224, [[1, 1000]]),
    "no outputs": model(224, []),
    "a yolov4 that takes bytes": model(
        416, [[1, 75, 13, 13], [1, 75, 26, 26]], ["LeakyRelu"], TensorProto.UINT8
    ),
}


@pytest.mark.parametrize("look_alike", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_look_alikes_are_not_recognised(look_alike: onnx.ModelProto) -> None:
    assert recognise(look_alike) is None


@pytest.mark.parametrize("shape", [[1, 25200, 85], [1, 25500, 6]])
def test_yolov5_and_its_kin_are_recognised(shape: list[int]) -> None:
    assert recognise(model(640, [shape])) == ("yolov5", PROFILES["yolov5"])


def test_what_onnxbin_recorded_comes_first() -> None:
    recorded = Preprocessing("letterbox-top-left", pad=3, channels="bgr")
    detector = model(640, [[1, 84, 8400]], metadata={METADATA_KEY: recorded.to_json()})
    assert recognise(detector) == ("recorded", recorded)
    detector = model(640, [[1, 84, 8400]], metadata={METADATA_KEY: "{}"})
    with pytest.raises(OnnxbinError, match="not what onnxbin writes"):
        recognise(detector)


def test_an_exporters_record_is_enough_where_the_size_is_open() -> None:
    detector = model(640, [[1, 84, 8400]], metadata={"author": "Ultralytics", "task": "detect"})
    for axis in (2, 3):
        detector.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "side"
    assert recognise(detector) == ("yolov8", PROFILES["yolov8"])


def test_choose_prefers_the_users_word_part_by_part() -> None:
    detector = model(640, [[1, 84, 8400]])
    assert choose(detector).preprocessing == PROFILES["yolov8"]
    assert choose(detector, profile="yolox").preprocessing == PROFILES["yolox"]
    choice = choose(detector, channels="bgr", resize="stretch")
    assert choice.preprocessing == Preprocessing("stretch", channels="bgr")
    assert choice.origin == "yolov8 + resize + channels"
    assert choice.warning is None
    with pytest.raises(OnnxbinError, match="no preprocessing profile 'yolo99'; there are yolov4"):
        choose(detector, profile="yolo99")


def test_the_last_resort_warns_unless_the_scaling_was_given() -> None:
    stranger = model(224, [[1, 1000]])
    choice = choose(stranger)
    assert choice.preprocessing == Preprocessing()
    assert choice.warning is not None
    assert "RGB in [0, 1]" in choice.warning
    assert "\n" not in choice.warning
    mean, std = (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)
    choice = choose(stranger, mean=mean, std=std)
    assert choice.preprocessing == Preprocessing(mean=mean, std=std)
    assert choice.warning is None
    # A model that takes bytes must not get them divided to zero.
    assert choose(model(224, [[1, 1000]], dtype=TensorProto.UINT8)).preprocessing.std == (1, 1, 1)
