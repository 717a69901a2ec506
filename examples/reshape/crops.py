"""Small pictures of things in a street, to classify: what the scenes of examples/street are made of.

A crop is 32x32 pixels of a rendered scene around one thing: a pedestrian, a tree, a lamp post, a traffic
sign, a bin or a car. It is cut roughly, may show parts of others, and is as blurred and noisy as the scenes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "street"))

import furniture
from camera import Camera
from pedestrian import Person, pedestrian
from scenes import HEIGHT, OVERSAMPLING, WIDTH, develop, paint, plan
from shapes import Figure

SIZE = 32
"""Pixels of a crop's side."""

CLASSES = ("pedestrian", "tree", "lamp post", "sign", "bin", "car")

THINGS = 6
"""In each scene."""

HELD_OUT = 1_000_000
"""Seeds of scenes from here on are for measuring."""


@dataclass(frozen=True)
class Crops:
    """pixels: float32 [n, 3, SIZE, SIZE], 0 to 1. labels: int64 [n], positions in CLASSES."""

    pixels: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def render(scenes: int, first_seed: int) -> Crops:
    """The crops of so many scenes."""
    pictures, labels = [], []
    for seed in range(first_seed, first_seed + scenes):
        rng = np.random.default_rng((seed, 1))
        things = [_thing(rng, place) for place in range(THINGS)]
        figures = sorted((figure for figure, _ in things), key=lambda figure: -figure.distance)
        scene = replace(plan(seed), figures=figures)
        image = Image.fromarray(develop(paint(scene), scene.film))
        for figure, label in things:
            pictures.append(_crop(rng, image, figure))
            labels.append(label)
    return Crops(np.stack(pictures), np.array(labels, np.int64))


def _thing(rng: np.random.Generator, place: int) -> tuple[Figure, int]:
    """A thing of any class, in its sixth of the picture."""
    label = int(rng.integers(len(CLASSES)))
    light, ahead = rng.uniform(-1, 1), rng.uniform(7, 30)
    camera = Camera(
        focal=OVERSAMPLING * rng.uniform(190, 330),
        horizon=OVERSAMPLING * rng.uniform(0.3, 0.5) * HEIGHT,
        centre=OVERSAMPLING * WIDTH * (place + rng.uniform(0.3, 0.7)) / THINGS,
        height=rng.uniform(1.2, 2.6),
        x=rng.choice([-3.0, 3.0]),
        yaw=0.0,
    )
    x, z = camera.ground(rng.uniform(-0.3, 0.3), ahead)
    if label == 0:
        person = Person.any(rng, rng.random() < 0.13)
        foot = camera.project(np.array([[x, 0.0, z]]))[0]
        height = camera.focal * rng.uniform(1.1, 1.9) / ahead
        return pedestrian(person, (float(foot[0]), float(foot[1])), height, light, ahead), label
    if label == 1:
        return furniture.tree(rng, camera, x, z, light), label
    if label == 5:
        return furniture.car(rng, camera, x, z, light), label
    make = (furniture.lamp_post, furniture.sign_post, furniture.bin_or_bollard)[label - 2]
    return make(rng, camera, x, z), label


def _crop(rng: np.random.Generator, image: Image.Image, figure: Figure) -> npt.NDArray[np.float32]:
    left, top, right, bottom = (edge / OVERSAMPLING for edge in figure.bounds())
    side = max(right - left, bottom - top) * rng.uniform(0.7, 1.3)
    x, y = ((left + right) / 2, (top + bottom) / 2) + rng.normal(0, 0.12, 2) * side
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    small = image.transform((SIZE, SIZE), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32).transpose(2, 0, 1) / 255
