"""Street scenes with pedestrians, drawn from a seed: pictures and labels for the example detector.

    python examples/street/scenes.py FOLDER --count 48

A scene is planned in metres (a street, a camera in it, what stands there), painted as coloured polygons from
far to near at twice the size of the picture, and developed: reduced, blurred, lit and given the noise of a
sensor. The same seed gives the same picture; a pedestrian's box is the least one around its polygons.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import furniture
import numpy as np
import numpy.typing as npt
from backdrop import Street, ground, houses
from camera import Camera
from pedestrian import Person, pedestrian
from PIL import Image, ImageDraw, ImageFilter
from shapes import Colour, Figure, Patch, shade

HEIGHT, WIDTH = 160, 256
"""Size of a picture, in pixels."""

OVERSAMPLING = 2
"""Scenes are planned and painted in pixels so many times smaller than the picture's."""

SHORTEST, TALLEST = 20, 150
"""Pixels of the picture: how tall a grown-up appears."""

GROWN_UP = 1.72
"""Metres."""

MIN_VISIBLE = 0.4
"""A pedestrian of whom less is seen, behind others or outside the picture, is left out."""

HELD_OUT = 1_000_000_000
"""Seeds from here on are never trained on: those of scenes to measure a detector with."""

SKIES = (
    ((96, 146, 206), (196, 214, 230)),
    ((168, 174, 182), (206, 208, 210)),
    ((120, 150, 196), (238, 206, 168)),
)


@dataclass(frozen=True)
class Film:
    """How a picture is taken: gain per channel, contrast, blur (pixels), noise (levels of 255), its seed."""

    gain: tuple[float, float, float]
    contrast: float
    blur: float
    noise: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """A planned scene. sky: its colours above and at the horizon (row). figures: from far to near."""

    sky: tuple[Colour, Colour]
    horizon: float
    backdrop: list[Patch]
    figures: list[Figure]
    film: Film


@dataclass(frozen=True)
class Picture:
    """A rendered scene: image uint8 [HEIGHT, WIDTH, 3] RGB, boxes float32 [n, 4] = x, y, width, height."""

    image: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]


def render(seed: int) -> Picture:
    """The street scene of this seed."""
    scene = plan(seed)
    return Picture(develop(paint(scene), scene.film), boxes(scene))


def plan(seed: int) -> Scene:
    """Choose a street, a camera, what stands there and who walks by."""
    rng = np.random.default_rng(seed)
    street = Street(road=rng.uniform(2.6, 5.0), pavement=rng.uniform(2.0, 4.5))
    reach = street.road + 0.6 * street.pavement
    camera = Camera(
        focal=OVERSAMPLING * rng.uniform(190, 330),
        horizon=OVERSAMPLING * rng.uniform(0.3, 0.5) * HEIGHT,
        centre=OVERSAMPLING * rng.uniform(0.4, 0.6) * WIDTH,
        height=rng.uniform(1.2, 2.6),
        x=rng.uniform(-reach, reach),
        yaw=rng.uniform(-0.4, 0.4),
    )
    light = rng.uniform(-1, 1)
    above, at_horizon = SKIES[rng.integers(len(SKIES))]
    sky = shade(above, rng.uniform(0.85, 1.1)), shade(at_horizon, rng.uniform(0.9, 1.1))
    backdrop = ground(rng, camera, street) + houses(rng, camera, street, sky[1], light)
    figures = _things(rng, camera, street, light) + _people(rng, camera, street, light)
    figures.sort(key=lambda figure: -figure.distance)
    return without_hidden(Scene(sky, camera.horizon, backdrop, figures, _film(rng)))


def paint(scene: Scene) -> Image.Image:
    """The scene in clean colours, OVERSAMPLING times the size of the picture."""
    height = np.arange(HEIGHT * OVERSAMPLING)[:, None] / scene.horizon
    above, at_horizon = np.array(scene.sky)
    rows = above + (at_horizon - above) * height.clip(0, 1)
    image = Image.fromarray(np.repeat(rows[:, None].astype(np.uint8), WIDTH * OVERSAMPLING, axis=1))
    draw = ImageDraw.Draw(image, "RGBA")
    for patch in [*scene.backdrop, *(patch for figure in scene.figures for patch in figure.patches)]:
        draw.polygon(patch.points.ravel().tolist(), fill=patch.colour)
    return image


def develop(image: Image.Image, film: Film) -> npt.NDArray[np.uint8]:
    """The painted image through lens and sensor: uint8 [HEIGHT, WIDTH, 3]."""
    image = image.reduce(OVERSAMPLING).filter(ImageFilter.GaussianBlur(film.blur))
    rng = np.random.default_rng(film.seed)
    grain = rng.standard_normal((HEIGHT, WIDTH, 1), np.float32)
    stains = Image.fromarray(rng.normal(0, 0.8, (6, 9)).astype(np.float32)).resize((WIDTH, HEIGHT))
    pixels = np.array(image, np.float32) * (1 + 0.025 * (grain + np.array(stains, np.float32)[..., None]))
    pixels = ((pixels - 128) * film.contrast + 128) * np.array(film.gain, np.float32)
    pixels += film.noise * rng.standard_normal((HEIGHT, WIDTH, 3), np.float32)
    return pixels.clip(0, 255).astype(np.uint8)


def boxes(scene: Scene) -> npt.NDArray[np.float32]:
    """Boxes of the scene's pedestrians, cut at the picture: [n, 4] left, top, width, height in pixels."""
    corners = [figure.bounds() for figure in scene.figures if figure.pedestrian]
    cut = (np.array(corners, np.float32).reshape(-1, 4) / OVERSAMPLING).clip(
        0, (WIDTH, HEIGHT, WIDTH, HEIGHT)
    )
    return np.concatenate([cut[:, :2], cut[:, 2:] - cut[:, :2]], axis=1).astype(np.float32)


def _film(rng: np.random.Generator) -> Film:
    brightness, warmth = rng.uniform(0.6, 1.25), rng.uniform(-0.08, 0.08)
    return Film(
        gain=(brightness * (1 + warmth), brightness, brightness * (1 - warmth)),
        contrast=rng.uniform(0.75, 1.15),
        blur=max(0.0, rng.uniform(-0.8, 0.9)),
        noise=rng.uniform(1, 8),
        seed=int(rng.integers(2**32)),
    )


def _things(rng: np.random.Generator, camera: Camera, street: Street, light: float) -> list[Figure]:
    """Trees, lamps, signs and bins along the kerbs, cars beside them and perhaps one on the road."""
    things: list[Figure] = []

    def row(x: float, chance: float, spacing: float, make: Callable[[float, float], Figure]) -> None:
        for z in np.arange(rng.uniform(0, spacing), 50, spacing):
            if rng.random() < chance and camera.distance(x, z) > 2.5:
                things.append(make(x, z))

    def parked(x: float, z: float) -> Figure:
        return furniture.car(rng, camera, x, z, light)

    for side in (-1, 1):
        kerb = side * (street.road + rng.uniform(0.4, 0.8))
        row(kerb, rng.choice([0, 0.5]), 9.0, lambda x, z: furniture.tree(rng, camera, x, z, light))
        row(kerb, 0.8, 16.0, lambda x, z: furniture.lamp_post(rng, camera, x, z))
        row(kerb, 0.4, 12.0, lambda x, z: furniture.sign_post(rng, camera, x, z))
        row(kerb, 0.5, 7.0, lambda x, z: furniture.bin_or_bollard(rng, camera, x, z))
        row(side * (street.road - 1.0), rng.choice([0, 0.55], p=[0.4, 0.6]), 6.2, parked)
    if rng.random() < 0.35:
        things.append(parked(rng.choice([-0.5, 0.5]) * street.road, rng.uniform(9, 40)))
    return [thing for thing in things if thing.patches]


def _people(rng: np.random.Generator, camera: Camera, street: Street, light: float) -> list[Figure]:
    """Pedestrians, alone or in twos, on the pavements and now and then on the road."""
    people: list[Figure] = []
    wanted = rng.choice([0, 1, 2, 3, 4, 6, 8], p=[0.06, 0.16, 0.2, 0.2, 0.18, 0.12, 0.08])
    for _ in range(40):  # places tried: the camera may see little but road
        if len(people) >= wanted:
            break
        height = OVERSAMPLING * np.exp(rng.uniform(np.log(SHORTEST), np.log(TALLEST)))
        ahead = camera.focal * GROWN_UP / height
        column = OVERSAMPLING * WIDTH * rng.uniform(0.02, 0.98)
        row = camera.horizon + camera.focal * camera.height / ahead
        x, _ = camera.ground((column - camera.centre) / camera.focal * ahead, ahead)
        on_road = abs(x) < street.road + 0.3
        feet_in_picture = row < OVERSAMPLING * HEIGHT + 0.25 * height
        if abs(x) > street.edge - 0.3 or not feet_in_picture or (on_road and rng.random() < 0.75):
            continue
        for beside in range(rng.choice([1, 2], p=[0.75, 0.25])):
            child = rng.random() < 0.13
            size = height * (rng.uniform(0.6, 0.8) if child else rng.uniform(0.9, 1.08))
            foot = (column + beside * rng.uniform(0.25, 0.5) * height, row)
            # The second of two is painted over the first.
            people.append(pedestrian(Person.any(rng, child), foot, size, light, ahead - 0.01 * beside))
    return people


def without_hidden(scene: Scene) -> Scene:
    """The scene without the pedestrians of whom less than MIN_VISIBLE is seen."""
    owner = Image.new("I", (WIDTH, HEIGHT))  # for each pixel, the number of the nearest figure
    draw = ImageDraw.Draw(owner)
    farthest = max((figure.distance for figure in scene.figures if figure.pedestrian), default=0.0)
    whole: dict[int, int] = {}
    for number, figure in enumerate(scene.figures, start=1):
        for patch in figure.patches:
            if len(patch.colour) == 3 and figure.distance <= farthest:
                draw.polygon((patch.points / OVERSAMPLING).ravel().tolist(), fill=number)
        if figure.pedestrian:
            whole[number] = int(np.count_nonzero(np.asarray(owner) == number))
    seen = np.bincount(np.asarray(owner).ravel(), minlength=len(scene.figures) + 1)

    def visible(number: int, figure: Figure) -> bool:
        left, _, right, _ = np.array(figure.bounds()) / OVERSAMPLING
        inside = (min(right, WIDTH) - max(left, 0.0)) / (right - left)
        return bool(inside > 0.5 and whole[number] > 0 and seen[number] >= MIN_VISIBLE * whole[number])

    numbered = enumerate(scene.figures, start=1)
    return replace(scene, figures=[f for number, f in numbered if not f.pedestrian or visible(number, f)])


def main() -> None:
    """Write pictures as JPEG files, for `onnxbin compress --images`, and labels, for `evaluate --data`."""
    parser = argparse.ArgumentParser(description="Render street scenes as JPEG files, with labels.json.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0, help="of the first; the next ones follow")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        name = f"street-{seed:05}.jpg"
        pictures[name] = render(seed)
        Image.fromarray(pictures[name].image).save(arguments.folder / name, quality=88)
    (arguments.folder / "labels.json").write_text(json.dumps(_coco(pictures)))


def _coco(pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """The labels of pictures, by their files' names, in COCO's form."""
    images, annotations = [], []
    for number, (name, picture) in enumerate(pictures.items()):
        height, width = picture.image.shape[:2]
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for box in picture.boxes.tolist():
            entry = {"id": len(annotations), "image_id": number, "category_id": 0, "bbox": box}
            annotations.append({**entry, "area": box[2] * box[3], "iscrowd": 0})
    return {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "person"}]}


if __name__ == "__main__":
    main()
