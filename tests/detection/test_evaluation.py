from pathlib import Path

import numpy as np
import onnx
import pytest
from detection.detectors import yolov8
from PIL import Image

from onnxbin.detection.detections import Detections
from onnxbin.detection.detector import Detector
from onnxbin.detection.evaluation import REASONABLE, evaluate, score
from onnxbin.detection.labels import LabelledImage, LabelledSet, read_labels
from onnxbin.detection.matching import Truth
from onnxbin.errors import OnnxbinError
from onnxbin.images import PROFILES, Preprocessing


def truth(*rows: tuple[float, ...]) -> Truth:
    """Labels from rows of x1, y1, x2, y2, class."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Truth(table[:, :4], table[:, 4].astype(np.int64), np.zeros(len(table), np.bool_))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("RGB", (96, 64)).save(tmp_path / "1.png")
    return tmp_path / "1.png"


# A dog (class 1 of the model) found where it is, and a cat found where none is.
ROWS = [(20, 20, 20, 20, 1, 0.9), (60, 40, 10, 10, 0, 0.8)]
NAMES = {"names": "{0: 'cat', 1: 'dog'}"}


def test_classes_are_paired_by_name(image: Path) -> None:
    detector = Detector(yolov8(ROWS, classes=2, metadata=NAMES))
    # The labels count dogs first, and know horses, which the model does not.
    labelled = LabelledSet([LabelledImage(image, truth((10, 10, 30, 30, 0)))], ["dog", "horse", "cat"])
    result = evaluate(detector, labelled)
    by_name = {c.name: c for c in result.classes}
    assert set(by_name) == {"dog", "cat"}
    assert by_name["dog"].average_precision == 1
    assert by_name["dog"].miss_rate == pytest.approx(1e-10)
    assert np.isnan(by_name["cat"].average_precision)
    assert result.average_precision == 1
    assert result.detections[0].classes.tolist() == [0, 2]


def test_classes_may_be_paired_by_the_caller(image: Path) -> None:
    detector = Detector(yolov8(ROWS, classes=2, metadata=NAMES))
    labelled = LabelledSet([LabelledImage(image, truth((10, 10, 30, 30, 0)))], ["hound", "horse"])
    with pytest.raises(OnnxbinError, match=r"\(hound, horse\) is one of the model's \(cat, dog\)"):
        evaluate(detector, labelled)
    assert evaluate(detector, labelled, classes={"hound": 1}).average_precision == 1


def test_bare_numbers_are_the_models_own(image: Path) -> None:
    detector = Detector(yolov8(ROWS, classes=2, metadata=NAMES))
    labelled = LabelledSet([LabelledImage(image, truth((10, 10, 30, 30, 1)))], ["0", "1"], numbered=True)
    assert evaluate(detector, labelled).average_precision == 1


def test_nothing_labelled_has_no_average(image: Path) -> None:
    labelled = LabelledSet([LabelledImage(image, truth())], ["thing"])
    assert np.isnan(evaluate(Detector(yolov8([])), labelled).average_precision)


def test_one_class_on_both_sides_needs_no_name(image: Path) -> None:
    labelled = LabelledSet([LabelledImage(image, truth((10, 10, 30, 30, 0)))], ["pedestrian"])
    assert evaluate(Detector(yolov8([(20, 20, 20, 20, 0, 0.9)])), labelled).average_precision == 1


def test_an_image_of_another_size_than_its_labels_is_named(image: Path) -> None:
    labelled = LabelledSet([LabelledImage(image, truth(), (640, 480))], ["thing"])
    with pytest.raises(OnnxbinError, match=r"1\.png: is 96x64 pixels, but its labels are for 480x640"):
        evaluate(Detector(yolov8([])), labelled)


def test_the_reasonable_setting_ignores_low_labels_and_drops_low_detections() -> None:
    # Heights 100 (found), 45 (found, to be ignored), 60 (missed); made up: heights 45 and 30.
    labels = truth((0, 0, 40, 100, 0), (100, 0, 120, 45, 0), (200, 0, 230, 60, 0))
    found = np.float32([[0, 0, 40, 100], [100, 0, 120, 45], [300, 0, 320, 45], [400, 0, 420, 30]])
    detections = [Detections(found, np.float32([0.9, 0.8, 0.7, 0.6]), np.zeros(4, np.int64))]
    labelled = LabelledSet([LabelledImage(Path("1.png"), labels)], ["person"])
    everything = score(labelled, detections, [0]).classes[0].matches
    assert (everything.right.tolist(), everything.truths) == ([True, True, False, False], 3)
    # The made-up 45 stays (above 50 / 1.25), the 30 does not; the ignored one counts for nothing.
    reasonable = score(labelled, detections, [0], REASONABLE).classes[0].matches
    assert (reasonable.right.tolist(), reasonable.truths) == ([True, False], 2)


# Person AP at IoU 0.5 of real detectors on pedestrians val and coco-persons val, measured independently.
TABLE = {
    "yolov4_tiny_voc": (None, 0.523),
    "ssd_mobilenet_v1_075_coco": (0.941, 0.338),
    "yolov8n_coco": (None, 0.726),
    "yolox_nano_coco": (0.962, 0.571),
    "nanodet_m_416_coco": (0.928, 0.586),
    "fastestdet_coco": (0.940, 0.379),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", TABLE)
def test_real_detectors_reach_their_published_accuracy(shared: Path, name: str) -> None:
    detector = Detector(onnx.load(shared / "models" / f"{name}.onnx"))
    for folder, expected in zip(("pedestrians", "coco-persons"), TABLE[name], strict=True):
        if expected is None:
            continue  # the larger two take their time
        labelled = read_labels(shared / "data" / folder / "val.json")
        assert evaluate(detector, labelled).average_precision == pytest.approx(expected, abs=0.02)


@pytest.mark.shared
def test_the_wrong_pixels_cost_accuracy(shared: Path) -> None:
    # What a wrong preprocessing looks like: this detector wants 0..255, not 0..1.
    model = onnx.load(shared / "models" / "yolox_nano_coco.onnx")
    labelled = read_labels(shared / "data" / "coco-persons" / "val.json")
    wrong = Preprocessing("letterbox-top-left", channels="bgr")
    assert wrong != PROFILES["yolox"]
    assert evaluate(Detector(model, preprocessing=wrong), labelled).average_precision < 0.3
