"""What stands in a street besides people: cars, trees, lamp posts, signs, bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from camera import Camera, Points
from shapes import (
    Colour,
    Figure,
    Patch,
    any_colour,
    capsule,
    choose,
    ellipse,
    rectangle,
    shade,
)

PAINT = (
    (188, 190, 194),
    (34, 36, 40),
    (230, 230, 228),
    (120, 22, 24),
    (30, 52, 104),
    (92, 98, 104),
    (60, 80, 62),
)
METAL = ((70, 74, 76), (44, 50, 48), (128, 130, 130), (36, 52, 46))
BARK = ((84, 68, 52), (62, 52, 44), (104, 94, 82))
LEAVES = ((58, 88, 40), (78, 98, 44), (44, 76, 48), (150, 104, 40))
GLASS, TYRE, HUB, PLATE = (46, 58, 68), (22, 22, 24), (120, 122, 124), (220, 220, 206)
HEADLIGHT, TAIL_LIGHT = (232, 228, 206), (150, 26, 24)


def car(rng: np.random.Generator, camera: Camera, x: float, z: float, light: float) -> Figure:
    """A car along the street, its middle at x and the end towards the camera at z (metres)."""
    drawing = _Car(rng, camera, x, z, light)
    drawing.underneath()
    drawing.body()
    drawing.end()
    drawing.side()
    return Figure(drawing.patches, camera.distance(drawing.near, z))


class _Car:
    """Collects the patches of a car: a profile of height over length, drawn out to the width of the car."""

    WIDTH = 1.75
    WHEELS = (0.17, 0.8)  # shares of the length

    def __init__(self, rng: np.random.Generator, camera: Camera, x: float, z: float, light: float) -> None:
        self.length = rng.uniform(3.6, 4.8)
        self.waist, self.roof = rng.uniform(0.82, 1.0), rng.uniform(1.38, 1.75)
        self.paint, self.coming = choose(rng, PAINT), rng.random() < 0.5
        self.camera, self.x, self.z, self.light = camera, x, z, light
        self.left, self.right = x - self.WIDTH / 2, x + self.WIDTH / 2
        on_the_left = camera.view(np.array([[x, 0.0, z]]))[0, 0] < 0
        self.near = self.right if on_the_left else self.left
        self.patches: list[Patch] = []

        low, bonnet = 0.3, self.waist - 0.12
        self.heights = [low, bonnet, self.waist, self.roof, self.roof, self.waist, bonnet, low]
        shares = np.array([0, 0, 0.04, 0.2, 0.62, 0.8, 1, 1])
        self.along = z + self.length * (1 - shares if self.coming else shares)

    def add(self, corners: Points | Sequence[Sequence[float]], colour: Colour) -> None:
        """One polygon in metres (x, y, z)."""
        points = self.camera.project(np.array(corners))
        if len(points):
            self.patches.append(Patch(points, colour))

    def across(self, left: float, right: float, bottom: float, top: float, colour: Colour) -> None:
        """A rectangle on the end towards the camera."""
        z = self.z - 0.01
        self.add([(left, bottom, z), (right, bottom, z), (right, top, z), (left, top, z)], colour)

    def wheel(self, x: float, share: float, radius: float, colour: Colour) -> None:
        """A disc on the side at x."""
        disc = ellipse(self.z + share * self.length, 0.32, radius, radius)
        self.add([(x, y, z) for z, y in disc], colour)

    def underneath(self) -> None:
        """The shadow, and the wheels as seen under the car."""
        left, right, near, far = self.left - 0.15, self.right + 0.15, self.z - 0.1, self.z + self.length
        self.add([(left, 0, near), (right, 0, near), (right, 0, far), (left, 0, far)], (0, 0, 0, 120))
        for x in (self.left + 0.1, self.right - 0.1):
            for share in self.WHEELS:
                self.wheel(x, share, 0.32, TYRE)

    def body(self) -> None:
        """The surfaces across the car from far to near, steep ones darker; those up to the roof are glass."""
        strips = list(zip(self.heights, self.along, self.heights[1:], self.along[1:], strict=False))
        left, right = self.left, self.right
        for y1, z1, y2, z2 in sorted(strips, key=lambda strip: -(strip[1] + strip[3])):
            face = np.array([(left, y1, z1), (right, y1, z1), (right, y2, z2), (left, y2, z2)])
            steep = abs(y1 - y2) / (abs(y1 - y2) + abs(z1 - z2))
            self.add(face, shade(self.paint, 1.1 - 0.45 * steep))
            if {y1, y2} == {self.waist, self.roof}:
                centre = face.mean(axis=0)
                self.add(centre + 0.84 * (face - centre), GLASS)

    def end(self) -> None:
        """Lights and number plate."""
        for x in (self.left + 0.22, self.right - 0.22):
            colour = HEADLIGHT if self.coming else TAIL_LIGHT
            self.across(x - 0.17, x + 0.17, self.waist - 0.3, self.waist - 0.16, colour)
        self.across(self.x - 0.26, self.x + 0.26, 0.45, 0.57, PLATE)

    def side(self) -> None:
        """The side towards the camera: panel, windows, wheels."""
        facing = 1.0 + 0.2 * self.light * np.sign(self.near - self.x)
        panel = [(self.near, y, z) for y, z in zip(self.heights, self.along, strict=True)]
        self.add(panel, shade(self.paint, 0.85 * facing))
        first, last = (0.3, 0.88) if self.coming else (0.12, 0.7)
        low, high = self.waist, self.roof - 0.08
        windows = [(first, low), (first + 0.1, high), (last - 0.1, high), (last, low)]
        self.add([(self.near, y, self.z + share * self.length) for share, y in windows], GLASS)
        for share in self.WHEELS:
            self.wheel(self.near, share, 0.32, TYRE)
            self.wheel(self.near, share, 0.17, HUB)


class _Upright:
    """Collects flat patches that face the camera, in metres to the right of and up from a place."""

    def __init__(self, camera: Camera, x: float, z: float) -> None:
        self.distance = camera.distance(x, z)
        self.foot = camera.project(np.array([[x, 0.0, z]]))[0]
        self.scale = camera.focal / self.distance
        self.patches: list[Patch] = []

    def add(self, points: Points, colour: Colour) -> None:
        """One patch."""
        self.patches.append(Patch(self.foot + points * (self.scale, -self.scale), colour))

    def figure(self) -> Figure:
        """The whole thing."""
        return Figure(self.patches, self.distance)


def tree(rng: np.random.Generator, camera: Camera, x: float, z: float, light: float) -> Figure:
    """A street tree: a trunk, and a crown of blots of leaves, the farther ones darker."""
    at, bark, leaves = _Upright(camera, x, z), choose(rng, BARK), choose(rng, LEAVES)
    height, spread, trunk = rng.uniform(4.0, 8.0), rng.uniform(1.0, 2.0), rng.uniform(0.08, 0.17)
    lit = 0.3 * trunk * light
    at.add(ellipse(0, 0, 0.7, 0.09), (0, 0, 0, 80))
    at.add(capsule((0, 0), (0, height * 0.6), trunk, trunk * 0.7), shade(bark, 0.75))
    at.add(capsule((lit, 0), (lit, height * 0.55), trunk * 0.55, trunk * 0.4), bark)
    for depth in np.linspace(0.5, 1.2, 26):
        right, up = rng.normal(0, 0.42, 2)
        tone = depth * (1 + 0.25 * up + 0.25 * right * light)
        blot = ellipse(right * spread, height * (0.72 + 0.22 * up), *spread * rng.uniform(0.25, 0.55, 2))
        at.add(blot, shade(leaves, tone))
    return at.figure()


def lamp_post(rng: np.random.Generator, camera: Camera, x: float, z: float) -> Figure:
    """A lamp post with its arm over the road."""
    at, metal = _Upright(camera, x, z), choose(rng, METAL)
    height, arm = rng.uniform(4.5, 7.0), -np.sign(x) * rng.uniform(0.5, 1.4)
    at.add(capsule((0, 0), (0, 0.9), 0.11, 0.09), shade(metal, 0.8))
    at.add(capsule((0, 0.8), (0, height), 0.065, 0.045), metal)
    at.add(capsule((0, height), (arm, height + 0.25), 0.045, 0.04), metal)
    at.add(ellipse(arm, height + 0.2, 0.28, 0.09), (226, 220, 196))
    return at.figure()


def sign_post(rng: np.random.Generator, camera: Camera, x: float, z: float) -> Figure:
    """A traffic sign, round, square or three-cornered, about as tall as a person or taller."""
    at, height = _Upright(camera, x, z), rng.uniform(1.5, 2.6)
    rim = choose(rng, ((176, 28, 30), (30, 66, 140), (230, 190, 40)))
    face = choose(rng, ((232, 232, 228), (40, 80, 150)))
    at.add(capsule((0, 0), (0, height), 0.035, 0.035), (112, 114, 114))
    triangle = np.array([(-1, -0.8), (1, -0.8), (0, 0.95)])
    outline = [ellipse(0, 0, 1, 1), rectangle(-1, -1, 1, 1), triangle][rng.integers(3)]
    for size, colour in ((0.3, rim), (0.22, face)):
        at.add(outline * size + np.array([0, height]), colour)
    return at.figure()


def bin_or_bollard(rng: np.random.Generator, camera: Camera, x: float, z: float) -> Figure:
    """Something upright, narrow and lower than a person: a bin, a bollard, a post box, a hydrant."""
    at, colour = _Upright(camera, x, z), choose(rng, (*METAL, (150, 30, 30), (40, 84, 52), (190, 150, 40)))
    height, radius = rng.uniform(0.7, 1.45), rng.uniform(0.08, 0.3)
    at.add(ellipse(0, 0, 1.5 * radius, 0.06), (0, 0, 0, 90))
    at.add(rectangle(-radius, 0, radius, height), shade(colour, 0.8))
    at.add(rectangle(-0.5 * radius, 0, 0.6 * radius, height), colour)
    at.add(ellipse(0, height, radius * 1.06, radius * rng.uniform(0.3, 1.0)), shade(colour, 1.15))
    if rng.random() < 0.5:
        at.add(rectangle(-radius, 0.7 * height, radius, 0.8 * height), any_colour(rng))
    return at.figure()
