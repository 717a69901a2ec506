import numpy as np
import onnx
import onnxruntime
import pytest
from detection.detectors import constant, yolov8
from onnx import TensorProto, helper

from onnxbin.detection.classes import COCO, VOC, class_names
from onnxbin.detection.detections import Selection
from onnxbin.detection.detector import Detector
from onnxbin.errors import OnnxbinError
from onnxbin.images import Preprocessing

NAMES = {"names": "{0: 'cat', 1: 'dog'}"}


def black(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_boxes_come_back_in_the_image_and_end_at_its_edges() -> None:
    # 192 x 32 letterboxed into 96 x 64: half the size, 24 rows of padding above.
    detector = Detector(yolov8([(48, 32, 20, 8, 0, 0.9), (90, 30, 40, 4, 0, 0.8), (2, 40, 20, 20, 0, 0.7)]))
    found = detector(black(32, 192))
    assert found.boxes.tolist() == [[76, 8, 116, 24], [140, 8, 192, 16], [0, 12, 24, 32]]
    stretch = Detector(yolov8([(48, 32, 20, 8, 0, 0.9)]), preprocessing=Preprocessing())
    assert stretch(black(32, 192)).boxes.tolist() == [[76, 14, 116, 18]]


def test_selection_and_classes_are_the_callers() -> None:
    rows = [(20, 20, 10, 10, 0, 0.9), (60, 40, 10, 10, 1, 0.6), (80, 50, 6, 6, 0, 0.2)]
    detector = Detector(yolov8(rows, classes=2), selection=Selection(min_score=0.5))
    assert detector(black(64, 96)).classes.tolist() == [0, 1]
    assert detector(black(64, 96), np.array([1])).classes.tolist() == [1]


def test_a_given_session_is_the_one_that_runs() -> None:
    seen = onnxruntime.InferenceSession(
        yolov8([(20, 20, 10, 10, 0, 0.5)]).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert Detector(yolov8([]), session=seen)(black(64, 96)).scores.tolist() == [0.5]


def test_open_sizes_are_settled_by_the_caller_and_by_a_run() -> None:
    model = yolov8([(20, 20, 10, 10, 0, 0.5)], size=("h", "w"), shapes={"output0": [1, None, None]})
    with pytest.raises(OnnxbinError, match="give the size"):
        Detector(model)
    assert Detector(model, size=(64, 96))(black(64, 96)).boxes.tolist() == [[15, 15, 25, 25]]


def test_names_of_classes() -> None:
    assert Detector(yolov8([], classes=2, metadata=NAMES)).names == ["cat", "dog"]
    assert Detector(yolov8([], classes=2, metadata=NAMES), names=["a", "b"]).names == ["a", "b"]
    assert Detector(yolov8([], classes=2)).names == ["0", "1"]
    bare = yolov8([])
    assert class_names(bare, 20) == VOC
    assert class_names(bare, 80) == COCO
    assert (len(VOC), len(COCO), VOC[14], COCO[0], COCO[79]) == (20, 80, "person", "person", "toothbrush")
    by_id = class_names(bare, 91)
    assert by_id is not None
    assert (by_id[0], by_id[1], by_id[12], by_id[13], by_id[90]) == (
        "",
        "person",
        "",
        "stop sign",
        "toothbrush",
    )
    for junk in ("person, car", "{0: 'a', 2: 'b'}", "3", "__import__('os').getcwd()"):
        assert class_names(yolov8([], metadata={"names": junk}), 80) == COCO


def test_a_model_that_cannot_be_run_is_one_clear_line() -> None:
    unknown = yolov8([], nodes=[helper.make_node("Unheard", ["x"], ["t"], domain="nowhere")])
    with pytest.raises(OnnxbinError, match="ONNX Runtime cannot load it") as error:
        Detector(unknown)
    assert "\n" not in str(error.value)

    two_inputs = yolov8([])
    two_inputs.graph.input.append(helper.make_tensor_value_info("image_shape", TensorProto.FLOAT, [1, 2]))
    with pytest.raises(OnnxbinError, match="more than an image: image_shape"):
        Detector(two_inputs)

    batches = yolov8([])
    batches.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    with pytest.raises(OnnxbinError, match="fails on an image") as error:
        Detector(batches)
    assert "\n" not in str(error.value)


def test_unknown_preprocessing_is_not_guessed() -> None:
    model = constant({"y": np.zeros((1, 24, 2, 3))})
    onnx.helper.set_model_props(model, {})
    with pytest.raises(OnnxbinError, match="name a preprocessing profile"):
        Detector(model, family="yolov3-tiny")
