"""The street itself: the ground with its road and pavements, and the houses on either side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from camera import Camera
from pedestrian import TROUSERS
from shapes import Colour, Patch, any_colour, choose, mix, shade

FAR = 90.0
"""Metres to the end of the street."""

WINDOWS_END = 30.0
"""Metres: farther away the windows of a house cannot be told apart, and are not drawn."""

WALLS = (
    (176, 152, 128),
    (150, 92, 70),
    (198, 190, 174),
    (122, 118, 116),
    (206, 180, 134),
    (168, 176, 180),
    (140, 120, 104),
)
PAVING = ((150, 146, 140), (168, 160, 148), (128, 126, 124), (158, 148, 138))
ASPHALT = ((84, 84, 88), (66, 66, 70), (102, 100, 98))
GRASS = ((86, 104, 58), (104, 116, 70))
PANES = ((60, 70, 80), (96, 110, 122), (40, 44, 50), (190, 170, 120))


@dataclass(frozen=True)
class Street:
    """Half the width of the road and the width of a pavement, in metres; x = 0 is the middle of the road."""

    road: float
    pavement: float

    @property
    def edge(self) -> float:
        """From the middle of the road to the houses."""
        return self.road + self.pavement


def ground(rng: np.random.Generator, camera: Camera, street: Street) -> list[Patch]:
    """Pavements, road, kerbs and the paint on the road."""
    patches: list[Patch] = []

    def strip(left: float, right: float, near: float, far: float, colour: Colour) -> None:
        corners = [(left, 0.0, near), (right, 0.0, near), (right, 0.0, far), (left, 0.0, far)]
        patches.extend(_flat(camera, corners, colour))

    paving, asphalt = choose(rng, PAVING), choose(rng, ASPHALT)
    strip(-60, 60, -30, 400, shade(paving, 0.9))
    strip(-street.edge, street.edge, -30, FAR, paving)
    for z in np.arange(-2, 24, rng.uniform(0.8, 2.5)):
        strip(-street.edge, street.edge, z, z + 0.05, shade(paving, 0.88))
    if rng.random() < 0.3:
        for side in (-1, 1):
            strip(
                side * street.road, side * (street.road + 0.3 * street.pavement), -30, FAR, choose(rng, GRASS)
            )
    strip(-street.road - 0.2, street.road + 0.2, -30, FAR, shade(paving, 1.15))
    strip(-street.road, street.road, -30, FAR, asphalt)
    line = mix(asphalt, (225, 225, 218), rng.uniform(0.4, 0.9))
    for z in np.arange(rng.uniform(-3, 0), 60, 5.0):
        strip(-0.07, 0.07, z, z + 2.5, line)
    if rng.random() < 0.4:
        crossing = rng.uniform(4, 16)
        for x in np.arange(-street.road + 0.3, street.road - 0.3, 1.0):
            strip(x, x + 0.5, crossing, crossing + 2.6, line)
    return patches


def houses(
    rng: np.random.Generator, camera: Camera, street: Street, haze: Colour, light: float
) -> list[Patch]:
    """The houses at the end of the street and a row on either side, which pale into the haze far away."""
    patches: list[Patch] = []
    x = -40.0
    while x < 40:
        width, height = rng.uniform(5, 12), rng.uniform(5, 18)
        front = [(x, 0, FAR), (x + width, 0, FAR), (x + width, height, FAR), (x, height, FAR)]
        patches += _flat(camera, front, mix(choose(rng, WALLS), haze, 0.55))
        x += width
    for side in (-1, 1):
        row: list[list[Patch]] = []
        z = -12.0
        while z < FAR:
            far = z + rng.uniform(6, 14)
            if rng.random() < 0.93 and camera.distance(side * street.edge, far) > 0:
                row.append(_house(rng, camera, side * street.edge, z, far, haze, 1 - 0.22 * side * light))
            z = far
        patches += [patch for house in reversed(row) for patch in house]
    return patches


def _house(
    rng: np.random.Generator, camera: Camera, x: float, near: float, far: float, haze: Colour, lit: float
) -> list[Patch]:
    """A house whose front stands along the street at x, from `near` to `far`: walls, windows, a door."""
    storeys, storey = int(rng.integers(2, 6)), rng.uniform(2.8, 3.4)
    height, bays = storeys * storey + 0.5, int((far - near) / rng.uniform(1.7, 3.2))
    fade = float(np.clip(near / FAR, 0, 1)) * 0.55
    wall = mix(shade(choose(rng, WALLS), lit), haze, fade)
    pane = mix(choose(rng, PANES), haze, fade)
    trim = mix(wall, (236, 232, 222), rng.uniform(0.1, 0.6))
    shop, sign, door = rng.random() < 0.4, any_colour(rng), choose(rng, TROUSERS)

    back = x + np.sign(x) * 10
    patches = _flat(
        camera, [(x, 0, near), (back, 0, near), (back, height, near), (x, height, near)], shade(wall, 0.8)
    )

    def panel(bottom: float, top: float, start: float, end: float, colour: Colour) -> None:
        corners = [(x, bottom, start), (x, bottom, end), (x, top, end), (x, top, start)]
        patches.extend(_flat(camera, corners, colour))

    panel(0, height, near, far, wall)
    panel(height - 0.35, height, near, far, trim)
    panel(0, 0.4, near, far, shade(wall, 0.7))
    if near > WINDOWS_END:
        return patches
    if shop:
        panel(2.5, 3.0, near + 0.2, far - 0.2, sign)
    for bay in range(bays):
        start = near + (bay + 0.5) * (far - near) / bays - 0.5
        if shop:
            panel(0.45, 2.3, start - 0.3, start + 1.2, pane)
        elif bay == 0:
            panel(0, 2.1, start, start + 1.0, door)
        else:
            panel(0.95, 2.3, start, start + 1.0, pane)
        for floor in range(1, storeys):
            sill = floor * storey + 0.95
            panel(sill - 0.12, sill, start - 0.1, start + 1.1, trim)
            panel(sill, sill + 1.5, start, start + 1.0, pane)
    return patches


def _flat(camera: Camera, corners: list[tuple[float, float, float]], colour: Colour) -> list[Patch]:
    """One polygon in metres, or nothing where it lies behind the camera."""
    points = camera.project(np.array(corners))
    return [Patch(points, colour)] if len(points) else []
