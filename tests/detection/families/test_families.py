"""Each decoder against its published formula, written out cell by cell in plain Python."""

import math
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from onnxbin.detection.detections import Candidates
from onnxbin.detection.families import FAMILIES, anchors
from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageInput

TARGET = ImageInput("x", 64, 96)  # not square: rows and columns must not be mixed up
CLASSES = 3
RNG = np.random.default_rng(0)


def decode(family: str, *outputs: np.ndarray) -> Candidates:
    names = ["boxes" if output.shape[-1] == 4 else "y" for output in outputs]
    outline = SimpleNamespace(input=TARGET, outputs=[output.shape for output in outputs], output_names=names)
    return FAMILIES[family](outline)([output.astype(np.float32) for output in outputs])


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cells(stride: int) -> Iterator[tuple[int, int]]:
    """(row, column) of a map of TARGET, row by row."""
    for row in range(TARGET.height // stride):
        for column in range(TARGET.width // stride):
            yield row, column


def centred(cx: float, cy: float, w: float, h: float) -> list[float]:
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def check(candidates: Candidates, boxes: list[list[float]], scores: list[list[float]]) -> None:
    """The same boxes in any order."""
    assert candidates.boxes.dtype == candidates.scores.dtype == np.float32
    table = np.concatenate([candidates.boxes, candidates.scores], axis=1)
    expected = np.concatenate([boxes, scores], axis=1)
    assert table.shape == expected.shape
    order, expected_order = np.lexsort(table.T.round(3)), np.lexsort(expected.T.round(3))
    np.testing.assert_allclose(table[order], expected[expected_order], rtol=1e-4, atol=2e-4)


def test_yolov8() -> None:
    output = RNG.uniform(0, 1, (1, 4 + CLASSES, 10)) * 50
    boxes = [centred(*output[0, :4, i]) for i in range(10)]
    check(decode("yolov8", output), boxes, output[0, 4:].T.tolist())


def test_yolov5() -> None:
    output = RNG.uniform(0, 1, (1, 10, 5 + CLASSES))
    boxes = [centred(*row[:4]) for row in output[0]]
    scores = [[row[4] * row[5 + k] for k in range(CLASSES)] for row in output[0]]
    check(decode("yolov5", output), boxes, scores)


def test_yolox() -> None:
    places = [(stride, row, column) for stride in (8, 16, 32) for row, column in cells(stride)]
    output = RNG.normal(0, 1, (1, len(places), 5 + CLASSES))
    boxes = [
        centred(
            (t[0] + column) * stride, (t[1] + row) * stride, math.exp(t[2]) * stride, math.exp(t[3]) * stride
        )
        for t, (stride, row, column) in zip(output[0], places, strict=True)
    ]
    check(decode("yolox", output), boxes, [[t[4] * t[5 + k] for k in range(CLASSES)] for t in output[0]])


def test_nanodet() -> None:
    score_maps, box_maps, boxes, scores = [], [], [], []
    for stride in (8, 16, 32):
        places = list(cells(stride))
        score_maps.append(RNG.uniform(0, 1, (1, len(places), CLASSES)))
        box_maps.append(RNG.normal(0, 2, (1, len(places), 4 * 8)))
        for i, (row, column) in enumerate(places):
            sides = []
            for side in range(4):
                weights = [math.exp(v) for v in box_maps[-1][0, i, side * 8 : side * 8 + 8]]
                sides.append(stride * sum(k * w for k, w in enumerate(weights)) / sum(weights))
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            boxes.append([x - sides[0], y - sides[1], x + sides[2], y + sides[3]])
            scores.append(score_maps[-1][0, i].tolist())
    check(decode("nanodet", *score_maps, *box_maps), boxes, scores)
    interleaved = [output for pair in zip(score_maps, box_maps, strict=True) for output in pair]
    check(decode("nanodet", *interleaved), boxes, scores)


def test_fastestdet() -> None:
    output = RNG.uniform(0, 1, (1, 5 + CLASSES, 4, 6))
    boxes, scores = [], []
    for row, column in cells(16):
        t = output[0, :, row, column]
        cx, cy = (math.tanh(t[1]) + column) / 6 * 96, (math.tanh(t[2]) + row) / 4 * 64
        boxes.append(centred(cx, cy, logistic(t[3]) * 96, logistic(t[4]) * 64))
        scores.append([t[0] ** 0.6 * t[5 + k] ** 0.4 for k in range(CLASSES)])
    check(decode("fastestdet", output), boxes, scores)


@pytest.mark.parametrize("family", anchors.CONFIGS)
def test_anchor_families(family: str) -> None:
    config = anchors.CONFIGS[family]
    outputs, boxes, scores = [], [], []
    for stride, of_stride in config.anchors.items():
        rows, columns, size = 64 // stride, 96 // stride, 5 + CLASSES
        outputs.append(RNG.normal(0, 1, (1, len(of_stride) * size, rows, columns)))
        leave = (config.scale or {}).get(stride, 1.0)
        for a, (width, height) in enumerate(of_stride):
            for row, column in cells(stride):
                t = outputs[-1][0, a * size : (a + 1) * size, row, column]
                cx = (logistic(t[0]) * leave - (leave - 1) / 2 + column) * stride
                cy = (logistic(t[1]) * leave - (leave - 1) / 2 + row) * stride
                boxes.append(centred(cx, cy, math.exp(t[2]) * width, math.exp(t[3]) * height))
                if config.softmax:
                    share = [math.exp(v) for v in t[5:]]
                    scores.append([logistic(t[4]) * v / sum(share) for v in share])
                else:
                    scores.append([logistic(t[4]) * logistic(v) for v in t[5:]])
    check(decode(family, *reversed(outputs)), boxes, scores)


def test_the_coarse_and_the_fine_map_of_yolov4_tiny_have_their_own_anchors() -> None:
    # yolov4-tiny.cfg: anchors 10,14 23,27 37,58 81,82 135,169 344,319; masks 3,4,5 at stride 32, 1,2,3 at 16.
    expected = {32: ((81, 82), (135, 169), (344, 319)), 16: ((23, 27), (37, 58), (81, 82))}
    assert anchors.CONFIGS["yolov4-tiny"].anchors == expected


def test_yolov2_anchors_are_in_cells() -> None:
    # A cell whose outputs are all 0: its box is the anchor, 1.08 x 1.19 cells of 32 pixels in the tiny VOC
    # model.
    candidates = decode("yolov2-tiny-voc", np.zeros((1, 5 * (5 + CLASSES), 2, 3)))
    sizes = candidates.boxes[:, 2:] - candidates.boxes[:, :2]
    assert np.isclose(sizes, [1.08 * 32, 1.19 * 32], atol=1e-3).all(1).sum() == 6


@pytest.mark.parametrize(("family", "flipped"), [("ssd", False), ("ssd-tensorflow", True)])
def test_ssd(family: str, flipped: bool) -> None:
    output = np.sort(RNG.uniform(0, 1, (1, 10, 2, 2)), axis=2).reshape(1, 10, 4)  # x1 y1 x2 y2
    given = output[..., [1, 0, 3, 2]] if flipped else output
    scores = RNG.uniform(0, 1, (1, 10, 2 + CLASSES))
    boxes = [[x1 * 96, y1 * 64, x2 * 96, y2 * 64] for x1, y1, x2, y2 in output[0]]
    expected = [[0, *row[1:]] for row in scores[0].tolist()]
    check(decode(family, given, scores), boxes, expected)
    check(decode(family, scores, given), boxes, expected)


def test_rows() -> None:
    row = [1, 2, 30, 40, 0.9, 2]
    candidates = decode("rows", np.array([[row, [0, 0, 0, 0, 0, 0]]]))
    assert candidates.suppressed
    check(candidates, [row[:4], [0] * 4], [[0, 0, 0.9], [0, 0, 0]])
    seven = [0, *row[:4], 2, 0.9]
    check(decode("rows", np.array([seven])), [row[:4]], [[0, 0, 0.9]])
    assert decode("rows", np.empty((1, 0, 6))).scores.shape[0] == 0


def test_wild_outputs_make_no_noise(recwarn: pytest.WarningsRecorder) -> None:
    output = np.full((1, 126, 5 + CLASSES), 1e4)
    decode("yolox", output[:, : sum(1 for s in (8, 16, 32) for _ in cells(s))])
    decode("yolov3", *(np.full((1, 3 * (5 + CLASSES), 64 // s, 96 // s), -1e4) for s in (8, 16, 32)))
    assert not recwarn.list


def test_ssd_with_four_columns_goes_by_the_name() -> None:
    boxes, scores = np.zeros((1, 7, 4), np.float32), np.ones((1, 7, 4), np.float32)
    for names, outputs in ((["s", "bboxes"], [scores, boxes]), (["bboxes", "s"], [boxes, scores])):
        outline = SimpleNamespace(input=TARGET, outputs=[(1, 7, 4), (1, 7, 4)], output_names=names)
        assert FAMILIES["ssd"](outline)(outputs).scores[:, 1:].min() == 1
    outline.outputs = [(1, 7, 4)]
    with pytest.raises(OnnxbinError, match="two outputs"):
        FAMILIES["ssd"](outline)
