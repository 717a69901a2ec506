"""The detection loss: what it assigns, what it costs, and that a network learns from it."""

import detection_loss
import numpy as np
import pytest
import torch
from detection_loss import Labels, assign, cell_centres, inside, loss, overlap
from labelled_scenes import write_scenes
from PIL import Image
from scenes import render

import onnxbin
from onnxbin.bridge.module import GraphModule
from onnxbin.detection import iou, read_labels
from onnxbin.images import ImageInput, ImageSet, Preprocessing
from onnxbin.model import load

SIZE = (64, 96)
CELLS = 8 * 12 + 4 * 6 + 2 * 3


def labels(*boxes, ignored=()):
    """Boxes as corners, all of class 0."""
    as_rows = [torch.tensor(rows, dtype=torch.float32).reshape(-1, 4) for rows in (boxes, ignored)]
    return Labels(as_rows[0], torch.zeros(len(boxes), dtype=torch.long), as_rows[1])


def blind():
    """A network's output that has a box of 16 x 24 at every cell, and sees nothing."""
    output = torch.full((1, 5, CELLS), 0.01)
    output[0, :2] = cell_centres(SIZE).T
    output[0, 2:4] = torch.tensor([[16.0], [24.0]])
    return output


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 6, seed=400000)
    return folder


def test_cells_are_those_of_yolov8():
    centres = cell_centres(SIZE)
    assert centres.shape == (CELLS, 2)
    assert centres[[0, 1, 12, 96, 120]].tolist() == [[4, 4], [12, 4], [4, 12], [8, 8], [16, 16]]


def test_overlap_is_that_of_the_library():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 60, (2, 12, 2))
    a, b = np.concatenate([low, low + rng.uniform(5, 60, (2, 12, 2))], 2).astype(np.float32)
    found, generalised = overlap(torch.from_numpy(a)[:, None], torch.from_numpy(b)[None])
    np.testing.assert_allclose(found, iou(a, b), rtol=1e-4, atol=1e-6)
    assert (generalised <= found + 1e-6).all()
    # Two unit squares with one between them: a hull of three, of which one third is empty.
    apart = overlap(torch.tensor([0.0, 0, 1, 1]), torch.tensor([2.0, 0, 3, 1]))
    assert [float(value) for value in apart] == pytest.approx([0, -1 / 3])


def test_a_box_is_learned_by_cells_inside_it_and_best_by_the_one_that_fits_best():
    output = blind()
    truth = labels((20, 12, 36, 36), (60, 20, 76, 44))
    boxes = torch.cat([output[0, :2] - output[0, 2:4] / 2, output[0, :2] + output[0, 2:4] / 2]).T
    box, cell, quality = assign(boxes, output[0, 4:].T, truth, cell_centres(SIZE))
    assert set(box.tolist()) == {0, 1}
    assert inside(cell_centres(SIZE), truth.boxes)[box, cell].all()
    overlaps = iou(truth.boxes, boxes)
    for number in (0, 1):
        own = cell[box == number]
        assert 1 <= len(own) <= detection_loss.CELLS_A_BOX
        best = own[quality[box == number].argmax()]
        assert overlaps[number, best] == pytest.approx(overlaps[number, own].max())
        assert float(quality[box == number].max()) == pytest.approx(overlaps[number, own].max(), rel=1e-5)


def test_a_cell_inside_two_boxes_learns_the_one_that_it_fits():
    output = blind()
    boxes = torch.cat([output[0, :2] - output[0, 2:4] / 2, output[0, :2] + output[0, 2:4] / 2]).T
    truth = labels((20, 12, 36, 36), (18, 0, 46, 60))
    box, cell, _ = assign(boxes, output[0, 4:].T, truth, cell_centres(SIZE))
    assert len(set(cell.tolist())) == len(cell)
    overlaps = iou(truth.boxes, boxes)
    assert (overlaps[box, cell] == overlaps[:, cell].max(axis=0)).mean() > 0.5


def test_what_is_right_costs_little_and_every_fault_costs():
    truth = labels((20, 12, 36, 36))
    box, cell, _ = assign(*flat(blind()), truth, cell_centres(SIZE))
    right = blind()
    right[0, 4] = 0
    right[0, 4, cell] = 1.0
    right[0, :4, cell] = torch.tensor([28.0, 24.0, 16.0, 24.0])[:, None]
    assert float(loss(right, [truth], SIZE)) == pytest.approx(0, abs=1e-3)
    missed, moved, invented = right.clone(), right.clone(), right.clone()
    missed[0, 4, cell] = 0.1
    moved[0, 0, cell] += 4
    invented[0, 4, 0] = 0.9
    for faulty in (missed, moved, invented):
        assert float(loss(faulty, [truth], SIZE)) > 0.1
    assert len(box) > 0
    # A false positive in an ignored region is none.
    corner = labels((20, 12, 36, 36), ignored=[(0, 0, 9, 9)])
    assert float(loss(invented, [corner], SIZE)) == pytest.approx(0, abs=1e-3)


def flat(output):
    """Boxes as corners and scores of every cell of one image."""
    half = output[0, 2:4] / 2
    return torch.cat([output[0, :2] - half, output[0, :2] + half]).T, output[0, 4:].T


def test_images_without_labels_teach_to_see_nothing():
    output = blind().requires_grad_()
    value = loss(output, [labels()], SIZE)
    value.backward()
    assert float(value.detach()) > 0
    assert (output.grad[0, 4] > 0).all()
    assert (output.grad[0, :4] == 0).all()


def test_following_the_gradient_lowers_the_loss_of_one_image():
    truth = labels((20, 12, 36, 36), (60, 20, 76, 60))
    raw = blind()
    raw[0, 4] = torch.logit(raw[0, 4])
    raw.requires_grad_()
    optimizer = torch.optim.Adam([raw], 0.1)
    losses = []
    for _ in range(60):
        output = torch.cat([raw[:, :4], raw[:, 4:].sigmoid()], 1)
        value = loss(output, [truth], SIZE)
        losses.append(float(value.detach()))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_labels_follow_their_image(monkeypatch, tmp_path):
    """Boxes end up where the pixels are: letterboxed, mirrored, decoded at a fraction of the size."""
    image = np.zeros((1200, 1600, 3), np.uint8)
    image[300:900, 400:800] = 255
    Image.fromarray(image).save(tmp_path / "a.jpg")
    (tmp_path / "labels.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 4, "name": "person"}],'
        ' "annotations": [{"image_id": 1, "category_id": 4, "bbox": [400, 300, 400, 600]}]}'
    )
    monkeypatch.setattr(detection_loss, "LABELS", tmp_path / "labels.json")
    detection_loss.labels_of_files.cache_clear()
    images = ImageSet.open(
        tmp_path / "labels.json", ImageInput("x", 64, 96), Preprocessing(resize="letterbox")
    )
    assert images.pixels(0).shape[0] < 1200
    for mirrored in (False, True):
        tensor, truth = detection_loss.sample(images, 0, mirrored)
        rows, columns = np.nonzero(tensor.numpy().mean(0) > 0.6)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert truth.boxes[0].tolist() == pytest.approx(found, abs=1.1)
        assert truth.classes.tolist() == [0]
    detection_loss.labels_of_files.cache_clear()


def test_a_compression_trains_with_it(street, scenes, monkeypatch, tmp_path):
    """As `--finetune detection_loss:function` does; on the images that it trains on, the loss falls."""
    monkeypatch.setattr(detection_loss, "LABELS", scenes / "labels.json")
    monkeypatch.setattr(detection_loss, "BATCH", 2)
    detection_loss.labels_of_files.cache_clear()
    paths = {}
    for name, steps in (("untrained", 0), ("trained", 20)):
        result = onnxbin.compress(
            street / "street.onnx",
            tmp_path / f"{name}.onnx",
            images=scenes / "labels.json",
            order=["stage32.conv"],
            steps_per_layer=steps,
            finetune=detection_loss.function,
        )
        paths[name] = result.path
    images = ImageSet.open(scenes / "labels.json", ImageInput("images", 160, 256), Preprocessing())
    samples = [detection_loss.sample(images, i, False) for i in range(len(images))]
    x = torch.stack([tensor for tensor, _ in samples])
    costs = {}
    for name, path in paths.items():
        with torch.no_grad():
            output = GraphModule(load(path).proto)({"images": x})["output0"]
        costs[name] = float(loss(output, [truth for _, truth in samples], (160, 256)))
    assert costs["trained"] < 0.97 * costs["untrained"]
    detection_loss.labels_of_files.cache_clear()


def test_scenes_are_labelled_as_they_were_drawn(scenes):
    found = read_labels(scenes / "labels.json")
    for number, image in enumerate(found.images):
        wanted = render(400000 + number).boxes
        low, size = wanted[:, :2], wanted[:, 2:]
        np.testing.assert_allclose(image.truth.boxes, np.concatenate([low, low + size], 1), atol=1e-3)
    assert found.names == ["person"]
