"""Assignment and losses, against brute force and against what a perfect detector must get."""

import numpy as np
import pytest
import torch
import train
from detector import STRIDES
from scenes import HEIGHT, WIDTH, Picture

from onnxbin.detection.detections import iou


def cell_centres():
    """Centre (x, y) and stride of every cell, in the order of the detector's output."""
    centres = [
        (stride * (column + 0.5), stride * (row + 0.5), stride)
        for stride in STRIDES
        for row in range(HEIGHT // stride)
        for column in range(WIDTH // stride)
    ]
    return np.array(centres)


@pytest.mark.parametrize(
    ("box", "stride"),
    [((100.0, 60.0, 12.0, 40.0), 8), ((30.0, 40.0, 30.0, 80.0), 16), ((150.0, 5.0, 60.0, 140.0), 32)],
)
def test_pedestrian_is_learned_by_the_four_nearest_cells_of_the_level_for_its_height(box, stride):
    cells, learned = train.assign(np.array([box], np.float32))
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    centres = cell_centres()
    distance = np.abs(centres[:, :2] - (x, y)).max(axis=1)
    nearest = np.flatnonzero((distance < stride) & (centres[:, 2] == stride))
    assert sorted(cells) == sorted(nearest)
    assert len(cells) == 4
    np.testing.assert_allclose(learned, [[x, y, box[2], box[3]]] * 4)


def test_pedestrian_at_the_edge_is_learned_inside_the_picture():
    corner = np.array([[0.0, 120.0, 3.0, 40.0]], np.float32)
    cells, _ = train.assign(corner)
    assert len(cells) in (2, 4)
    assert (cell_centres()[cells][:, 0] == 4).all()


def test_where_two_want_a_cell_the_nearer_has_it():
    far, near = (100.0, 60.0, 12.0, 40.0), (100.0, 58.0, 12.0, 44.0)
    _, learned = train.assign(np.array([far, near], np.float32))
    np.testing.assert_allclose(learned[:, 3], 44.0)


def test_no_pedestrian_no_cell():
    cells, learned = train.assign(np.zeros((0, 4), np.float32))
    assert cells.shape == (0,)
    assert learned.shape == (0, 4)


def test_iou_is_that_of_the_library_and_generalised_iou_subtracts_the_empty_part_of_the_hull():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(5, 60, (2, 50, 4)).astype(np.float32)
    found, generalised = train.generalised_iou(torch.from_numpy(a), torch.from_numpy(b))
    ca, cb = (np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], 1) for box in (a, b))
    np.testing.assert_allclose(found, np.diag(iou(ca, cb)), rtol=1e-4, atol=1e-6)
    # Areas counted as if on squared paper of 1/8.
    grid = np.arange(-40, 100, 0.125) + 0.0625
    for i in range(3):
        inside = [
            ((grid > c[i, 0]) & (grid < c[i, 2]))[:, None] & ((grid > c[i, 1]) & (grid < c[i, 3]))
            for c in (ca, cb)
        ]
        union = (inside[0] | inside[1]).sum() / 64
        low, high = np.minimum(ca[i, :2], cb[i, :2]), np.maximum(ca[i, 2:], cb[i, 2:])
        hull = (high - low).prod()
        assert float(generalised[i]) == pytest.approx(float(found[i]) - (hull - union) / hull, abs=0.01)


def pictures_and_perfect_output():
    boxes = [np.array([(100, 60, 12, 40), (30, 40, 30, 80)], np.float32), np.zeros((0, 4), np.float32)]
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    output = torch.zeros(2, 5, len(cell_centres()))
    output[:, :4] = torch.tensor([5.0, 5.0, 10.0, 10.0])[:, None]
    cells, learned = train.assign(boxes[0])
    output[0, :4, cells] = torch.from_numpy(learned).T
    output[0, 4, cells] = 1.0
    return [Picture(blank, b) for b in boxes], output, cells


def test_perfect_detections_cost_nothing():
    pictures, output, _ = pictures_and_perfect_output()
    assert float(train.loss(output, pictures)) == pytest.approx(0, abs=1e-4)


def test_every_fault_costs():
    pictures, output, cells = pictures_and_perfect_output()
    wrong_box, missed, invented = output.clone(), output.clone(), output.clone()
    wrong_box[0, 2, cells[0]] *= 2
    missed[0, 4, cells[0]] = 0.1
    invented[1, 4, 300] = 0.9
    for faulty in (wrong_box, missed, invented):
        assert float(train.loss(faulty, pictures)) > 0.05


def test_mirrored_pictures_carry_mirrored_boxes():
    boxes = np.array([(100, 60, 12, 40)], np.float32)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[60:100, 100:112] = 200
    batch = next(train.batches([Picture(image, boxes)] * 64, np.random.default_rng(0)))
    lefts = set()
    for picture in batch:
        x, y, w, h = picture.boxes[0].astype(int)
        lefts.add(x)
        inside = picture.image[y : y + h, x : x + w]
        assert inside.min() > 100
        assert int(picture.image.astype(int).sum()) == int(inside.astype(int).sum())
    assert lefts == {100, WIDTH - 112}
