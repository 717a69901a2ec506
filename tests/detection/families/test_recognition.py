"""Which decoder a model gets, by its outline; and models that end in suppression, run whole."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from detection.detectors import constant, yolov8
from onnx import helper

from onnxbin.detection.detector import Detector
from onnxbin.detection.families import find_decoder
from onnxbin.errors import OnnxbinError
from onnxbin.images import Preprocessing
from onnxbin.images.outline import Outline

SIZE = 64


def outline(
    outputs: dict[str, list[int]], *operators: str, size: int = SIZE, reader: str = "Conv"
) -> Outline:
    """Of a model with these outputs whose input feeds nodes of type `reader`, with other operators in it."""
    nodes = [
        helper.make_node(reader, ["x"], ["t"]),
        *(helper.make_node(o, ["t"], [f"t{o}"]) for o in operators),
    ]
    outputs = {
        name: np.empty((0,), np.float32) if 0 in shape else np.zeros(shape, np.float32)
        for name, shape in outputs.items()
    }
    model = constant(outputs, (size, size), nodes)
    return Outline(model)


CELLS = sum((SIZE // stride) ** 2 for stride in (8, 16, 32))  # 84
KNOWN = {
    "yolov8": (outline({"y": [1, 9, CELLS]}), "Yolov8"),
    "yolov5": (outline({"y": [1, 3 * CELLS, 9]}), "Yolov5"),
    "yolov5 with stride 64": (outline({"y": [1, 3 * (CELLS + 1), 9]}), "Yolov5"),
    "yolov5 with one class": (outline({"y": [1, 3 * CELLS, 6]}, "TopK"), "Yolov5"),
    "yolox": (outline({"y": [1, CELLS, 9]}, reader="Slice"), "Yolox"),
    "yolox, decoded in the graph": (outline({"y": [1, CELLS, 9]}, "Exp", reader="Slice"), "Yolov5"),
    "yolov3": (
        outline({str(g): [1, 24, g, g] for g in (2, 4, 8)}, "LeakyRelu"),
        "AnchorMaps",
    ),
    "ssd": (outline({"scores": [1, 3000, 21], "boxes": [1, 3000, 4]}, "Exp"), "BoxesAndScores"),
    "yolov4, boxes apart": (outline({"boxes": [1, 7, 1, 4], "confs": [1, 7, 80]}, "Exp"), "BoxesAndScores"),
    "yolov10": (outline({"y": [1, 300, 6]}, "TopK"), "Rows"),
    "yolov7 with NMS": (outline({"y": [9, 7]}, "NonMaxSuppression"), "Rows"),
    "tensorflow with NMS": (
        outline(
            {"detection_classes:0": [1, 9], "detection_boxes:0": [1, 9, 4], "detection_scores:0": [1, 9]},
            "NonMaxSuppression",
        ),
        "Lists",
    ),
    "ssd with NMS": (
        outline({"bboxes": [1, 9, 4], "labels": [1, 9], "scores": [1, 9]}, "NonMaxSuppression"),
        "Lists",
    ),
}


@pytest.mark.parametrize(("seen", "decoder"), KNOWN.values(), ids=KNOWN)
def test_families_are_told_apart(seen: Outline, decoder: str) -> None:
    assert type(find_decoder(seen)).__name__ == decoder


UNKNOWN = {
    "a classifier": outline({"y": [1, 1000]}),
    "yolov6 (YOLOX without its Focus)": outline({"y": [1, CELLS, 9]}),
    "six columns and nothing that selects": outline({"y": [1, 300, 6]}),
    "an SSD with encoded boxes": outline({"scores": [1, 3000, 21], "boxes": [1, 3000, 4]}),
    "a segmenter": outline({"y": [1, 40, CELLS], "masks": [1, 32, 16, 16]}),
}


@pytest.mark.parametrize("seen", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_is_refused_with_the_ways_out(seen: Outline) -> None:
    with pytest.raises(OnnxbinError, match=r"'y'|'scores'.*name one of yolov8") as error:
        find_decoder(seen)
    assert "\n" not in str(error.value)


def test_a_pose_model_is_no_detector_though_its_output_looks_like_one() -> None:
    model = yolov8([], classes=52, metadata={"task": "pose", "author": "Ultralytics"})
    with pytest.raises(OnnxbinError, match="no known family"):
        Detector(model)


def test_key_points_are_not_taken_for_classes() -> None:
    model = yolov8([(20, 20, 9, 9, 3, 57.0)], classes=52)
    with pytest.raises(OnnxbinError, match="scores of up to 57 where"):
        Detector(model)


def test_a_wrong_name_and_a_wrong_family_are_refused() -> None:
    with pytest.raises(OnnxbinError, match="no family of detectors 'yolo99'; there are yolov8"):
        find_decoder(KNOWN["yolov8"][0], "yolo99")
    with pytest.raises(OnnxbinError, match=r"do not fit.*Nanodet"):
        Detector(yolov8([]), family="nanodet")
    with pytest.raises(OnnxbinError, match=r"do not fit.*AnchorMaps"):
        Detector(constant({"y": np.zeros((1, 24, 5, 5), np.float32)}), family="yolov3")


def test_a_decoder_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "def corners(outputs, height, width):\n"
        "    return [[0, 0, width, height]], [[outputs[0].mean()]]\n"
        "def wrong(outputs, height, width):\n"
        "    return [1, 2, 3, 4], [0.5]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = constant({"y": np.full((1, 2), 0.5, np.float32)})
    found = Detector(model, family="mine:corners")(np.zeros((64, 96, 3), np.uint8))
    assert found.boxes.tolist() == [[0, 0, 96, 64]]
    assert found.scores.tolist() == [0.5]
    with pytest.raises(OnnxbinError, match=r"mine:wrong: gave boxes \[4\] and scores \[1\]"):
        Detector(model, family="mine:wrong")
    for name in ("mine:gone", "gone:corners", ":corners"):
        with pytest.raises(OnnxbinError, match=f"--family {name!r}"):
            Detector(model, family=name)


# Two boxes of class 0 that overlap by 10 / 11, and one of class 1. Suppression leaves the first and the last.
BOXES = np.float32([[10, 10, 30, 30], [10, 10, 30, 32], [40, 20, 60, 50]])  # x1 y1 x2 y2
SCORES = np.float32([[0.9, 0.8, 0.0], [0.0, 0.0, 0.7]])


CONSTANTS = {
    "pixels": BOXES,
    "shares": BOXES / np.float32([96, 64, 96, 64]),
    "upright": BOXES[None][..., [1, 0, 3, 2]],
    "table": SCORES[None],
    "limit": np.int64([10]),
    "iou": np.float32([0.5]),
    "floor": np.float32([0.1]),
    "box": np.int64(2),
    "class": np.int64(1),
    "first": np.int64([0]),
    "last": np.int64([1]),
}


def node(kind: str, inputs: str, output: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def suppressing(boxes: str, outputs: dict[str, tuple[str, int]]) -> onnx.ModelProto:
    """A model that ends in NonMaxSuppression, and gathers what it selected from the constant `boxes`.

    outputs: by name, one of the tensors below and its number of axes.
    """
    nodes = [
        node("NonMaxSuppression", "upright table limit iou floor", "selected"),
        node("Gather", "selected box", "rows", axis=1),
        node("Gather", f"{boxes} rows", "kept_boxes", axis=0),
        node("Gather", "selected class", "kept_classes", axis=1),
        node("GatherND", "table selected", "kept_scores"),
        node("Cast", "kept_classes", "class_numbers", to=onnx.TensorProto.FLOAT),
        node("Unsqueeze", "kept_scores last", "score_column"),
        node("Unsqueeze", "class_numbers last", "class_column"),
        node("Concat", "kept_boxes score_column class_column", "flat_rows", axis=1),
        node("Unsqueeze", "flat_rows first", "rows_of_six"),
        *(node("Identity", tensor, name) for name, (tensor, _) in outputs.items()),
    ]
    whole = {"selected", "kept_classes"}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 64, 96])],
        [
            helper.make_tensor_value_info(
                name, onnx.TensorProto.INT64 if tensor in whole else onnx.TensorProto.FLOAT, [None] * axes
            )
            for name, (tensor, axes) in outputs.items()
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in CONSTANTS.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


ENDINGS = {
    "the selection": suppressing("pixels", {"b": ("upright", 3), "s": ("table", 3), "k": ("selected", 2)}),
    "rows": suppressing("pixels", {"output": ("rows_of_six", 3)}),
    "lists in pixels": suppressing(
        "pixels", {"boxes": ("kept_boxes", 2), "labels": ("kept_classes", 1), "scores": ("kept_scores", 1)}
    ),
    "lists in shares": suppressing(
        "shares", {"bboxes": ("kept_boxes", 2), "labels": ("kept_classes", 1), "scores": ("kept_scores", 1)}
    ),
}


@pytest.mark.parametrize("model", ENDINGS.values(), ids=ENDINGS)
def test_models_that_end_in_non_max_suppression(model: onnx.ModelProto) -> None:
    found = Detector(model, preprocessing=Preprocessing())(np.zeros((128, 96, 3), np.uint8))
    # The image is twice as high as the input.
    np.testing.assert_allclose(found.boxes, [[10, 20, 30, 60], [40, 40, 60, 100]], rtol=1e-6)
    assert found.scores.tolist() == np.float32([0.9, 0.7]).tolist()
    assert found.classes.tolist() == [0, 1]
