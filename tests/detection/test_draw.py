import numpy as np
import pytest

from onnxbin.detection.detections import Detections
from onnxbin.detection.draw import draw, side_by_side


def found(*rows: tuple[float, ...]) -> Detections:
    """Detections from rows of x1, y1, x2, y2, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def black(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_a_box_is_drawn_on_its_border_and_not_inside_or_on_the_original() -> None:
    pixels = black(200, 300)
    drawn = draw(pixels, found((100, 80, 200, 160, 0.9, 0)), ["person"])
    assert not pixels.any()
    for y, x in ((120, 100), (120, 200), (160, 150)):  # left, right, bottom
        assert drawn[y, x].any()
    assert not drawn[90:150, 110:190].any()
    assert drawn[60:80, 100:130].any()  # the label stands above
    assert not drawn[170:].any()


def test_classes_have_colours_of_their_own() -> None:
    drawn = draw(black(200, 300), found((20, 50, 80, 150, 0.9, 0), (120, 50, 180, 150, 0.9, 1)), ["a", "b"])
    assert (drawn[100, 20] != drawn[100, 120]).any()


@pytest.mark.parametrize(
    "box", [(0, 0, 300, 200), (280, 0, 300, 5), (-50, -50, 400, 300), (5, 5, 5, 5), (90, 90, 40, 20)]
)
def test_boxes_at_the_edges_keep_their_label_in_the_image(box: tuple[float, ...]) -> None:
    drawn = draw(black(200, 300), found((*box, 0.5, 99)), ["person"])  # a class without a name
    plate = (drawn != 0).any(-1)
    assert plate.sum() > 100
    assert drawn.shape == (200, 300, 3)


def test_no_detections_no_change() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    np.testing.assert_array_equal(draw(pixels, found(), []), pixels)


def test_side_by_side_keeps_the_pixels_of_both() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 256, (40, 60, 3), np.uint8), rng.integers(0, 256, (40, 80, 3), np.uint8)
    sheet = side_by_side([left, right], ["before", "after"])
    assert sheet.shape[1] >= 140
    np.testing.assert_array_equal(sheet[-40:, :60], left)
    np.testing.assert_array_equal(sheet[-40:, -80:], right)
    title = sheet[:-40]
    assert title.max() > 200  # white letters on the dark bar
