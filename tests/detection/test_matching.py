import numpy as np

from onnxbin.detection.detections import Detections
from onnxbin.detection.matching import Truth, match, match_all


def found(*rows: tuple[float, ...]) -> Detections:
    """Detections from rows of x1, y1, x2, y2, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4], np.zeros(len(table), np.int64))


def truth(*boxes: tuple[float, ...], ignored: tuple[int, ...] = ()) -> Truth:
    flags = np.isin(np.arange(len(boxes)), ignored)
    return Truth(np.array(boxes, np.float32).reshape(-1, 4), np.zeros(len(boxes), np.int64), flags)


def test_each_label_is_taken_once_and_by_the_best_detection() -> None:
    position = match(
        found((0, 0, 10, 10, 0.9), (0, 0, 10, 9, 0.8), (50, 50, 60, 60, 0.7)), truth((0, 0, 10, 10))
    )
    assert position.tolist() == [0, -1, -1]


def test_a_detection_takes_the_free_label_it_overlaps_most() -> None:
    labels = truth((0, 0, 10, 10), (0, 2, 10, 12))
    first = (0, 2, 10, 12, 0.9)  # on the second label, IoU 2/3 with the first
    assert match(found(first, (0, 1, 10, 11, 0.8)), labels).tolist() == [1, 0]


def test_an_iou_of_exactly_the_threshold_counts() -> None:
    assert match(found((0, 0, 10, 5, 0.9)), truth((0, 0, 10, 10))).tolist() == [0]
    assert match(found((0, 0, 10, 4.99, 0.9)), truth((0, 0, 10, 10))).tolist() == [-1]
    assert match(found((0, 0, 10, 10, 0.9)), truth((0, 0, 10, 10)), threshold=1.0).tolist() == [0]


def test_ignored_regions_swallow_any_number_but_never_a_right_one() -> None:
    labels = truth((0, 0, 100, 100), (10, 10, 20, 20), ignored=(0,))
    rows = found(
        (10, 10, 20, 20, 0.9),  # right, though in the region
        (30, 30, 40, 40, 0.8),  # in the region: its IoU with it is tiny, its own area is all inside
        (50, 50, 60, 60, 0.7),
        (95, 0, 105, 10, 0.6),  # half inside
        (97, 0, 107, 10, 0.5),  # less than half
    )
    assert match(rows, labels).tolist() == [1, -2, -2, -2, -1]


def test_nothing_found_and_nothing_there() -> None:
    assert match(found(), truth((0, 0, 1, 1))).tolist() == []
    assert match(found((0, 0, 1, 1, 0.5)), truth()).tolist() == [-1]
    assert match(found((3, 3, 3, 3, 0.5)), truth((0, 0, 9, 9), ignored=(0,))).tolist() == [-1]


def test_match_all_sorts_over_images_and_keeps_classes_apart() -> None:
    images = [found((0, 0, 10, 10, 0.4), (70, 70, 80, 80, 0.8)), found((0, 0, 10, 10, 0.6))]
    other = Detections(images[1].boxes, images[1].scores, np.ones(1, np.int64))
    matches = match_all([images[0], other], [truth((0, 0, 10, 10)), truth((0, 0, 10, 10))], 0)
    assert matches.scores.tolist() == np.float32([0.8, 0.4]).tolist()
    assert matches.right.tolist() == [False, True]
    assert (matches.truths, matches.images) == (2, 2)
