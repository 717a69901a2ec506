"""The renderer: the same seed, the same scene; and labels that are where the pedestrians are."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import scenes
from PIL import Image
from scenes import HEIGHT, OVERSAMPLING, WIDTH

SEEDS = range(70, 82)


def clean(scene):
    """The scene without blur and noise, as float [HEIGHT, WIDTH, 3]."""
    return np.asarray(scenes.paint(scene).reduce(OVERSAMPLING), float)


def pedestrians(scene):
    return [figure for figure in scene.figures if figure.pedestrian]


def extent(changed):
    """Left, top, right, bottom of the pixels that are set."""
    rows, columns = np.nonzero(changed)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_same_seed_gives_the_same_picture():
    first, second = scenes.render(7), scenes.render(7)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.boxes, second.boxes)


def test_every_seed_gives_another_picture():
    assert len({hashlib.sha256(scenes.render(seed).image).digest() for seed in SEEDS}) == len(SEEDS)


def test_shapes_and_types():
    picture = scenes.render(3)
    assert picture.image.shape == (HEIGHT, WIDTH, 3)
    assert picture.image.dtype == np.uint8
    assert picture.boxes.dtype == np.float32


def test_boxes_lie_inside_the_picture_and_are_as_tall_as_promised():
    boxes = np.concatenate([scenes.boxes(scenes.plan(seed)) for seed in range(60)])
    assert len(boxes) > 60
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] > 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= WIDTH).all()
    assert (boxes[:, 1] + boxes[:, 3] <= HEIGHT).all()
    assert boxes[:, 3].max() < 1.1 * scenes.TALLEST


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_pedestrian_the_picture_differs_only_in_its_box_and_the_shadow_at_its_feet(seed):
    scene = scenes.plan(seed)
    with_all = clean(scene)
    for figure in pedestrians(scene):
        rest = replace(scene, figures=[other for other in scene.figures if other is not figure])
        changed = (clean(rest) != with_all).any(axis=2)
        left, top, right, bottom = np.array(figure.bounds()) / OVERSAMPLING
        height = bottom - top
        seen = extent(changed)
        # A pixel for the rounding of polygons; the shadow is at most 0.27 of the height to either side.
        assert seen[1] >= top - 1
        assert seen[3] <= bottom + 0.06 * height + 1
        above_feet = changed.copy()
        above_feet[max(0, int(bottom - 0.06 * height - 1)) :] = False
        if above_feet.any():
            seen = extent(above_feet)
            assert seen[0] >= left - 1
            assert seen[2] <= right + 1


def test_box_is_tight_around_a_pedestrian_in_front_of_all_others():
    for seed in SEEDS:
        scene = scenes.plan(seed)
        for figure in pedestrians(scene):
            body = [patch for patch in figure.patches if len(patch.colour) == 3]
            alone = replace(scene, figures=[replace(figure, patches=body)])
            changed = (clean(alone) != clean(replace(scene, figures=[]))).any(axis=2)
            box = scenes.boxes(alone)[0]
            corners = (box[0], box[1], box[0] + box[2], box[1] + box[3])
            np.testing.assert_allclose(extent(changed), corners, atol=1.6)


def test_hidden_pedestrian_is_left_out():
    scene = scenes.plan(next(seed for seed in SEEDS if len(scenes.boxes(scenes.plan(seed)))))
    person = pedestrians(scene)[-1]
    left, top, right, bottom = person.bounds()
    wall = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    hoarding = replace(person, patches=[scenes.Patch(wall, (90, 90, 90))], pedestrian=False)
    hidden = scenes.without_hidden(replace(scene, figures=[*scene.figures, hoarding]))
    assert person not in hidden.figures
    half = replace(hoarding, patches=[scenes.Patch(wall + np.array([(right - left) * 0.7, 0]), (90, 90, 90))])
    assert person in scenes.without_hidden(replace(scene, figures=[*scene.figures, half])).figures


def test_number_of_pedestrians_varies():
    counts = {len(scenes.boxes(scenes.plan(seed))) for seed in range(40)}
    assert {0, 1, 2, 3} <= counts


def test_images_of_the_repository_are_street_scenes_of_the_right_size(street):
    files = sorted((street / "images").glob("*.jpg"))
    assert len(files) == 64
    assert sum(file.stat().st_size for file in files) < 1_000_000
    seed = int(files[0].stem.split("-")[1])
    stored = np.asarray(Image.open(files[0]), float)
    # JPEG changes a pixel by a few levels; another scene would differ by dozens.
    assert np.abs(stored - scenes.render(seed).image).mean() < 8
