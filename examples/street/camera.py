"""A pinhole camera in a street: metres in, pixels out.

World axes, in metres: x to the right of the road's middle, y up from the ground, z along the street. The
camera stands at (x, height, 0), looks along the street turned by `yaw`, and is held level, so that verticals
stay vertical and the horizon is one row of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""[n, 2] pixels (column, row) or [n, 3] metres (x, y, z)."""

NEAR = 0.6
"""Metres. What is nearer to the camera than this is cut off."""


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and how it looks.

    focal, horizon (row) and centre (column) are in pixels; height and x in metres; yaw in radians, positive
    when the camera is turned to the right.
    """

    focal: float
    horizon: float
    centre: float
    height: float
    x: float
    yaw: float

    @cached_property
    def _eye(self) -> Points:
        return np.array([self.x, self.height, 0.0])

    @cached_property
    def _turn(self) -> Points:
        sin, cos = np.sin(self.yaw), np.cos(self.yaw)
        return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])

    def view(self, world: Points) -> Points:
        """World points [n, 3] as seen from the camera: right, up, ahead."""
        return (world - self._eye) @ self._turn

    def ground(self, right: float, ahead: float) -> tuple[float, float]:
        """The point (x, z) of the ground that is `right` of the camera and `ahead` of it, in metres."""
        x, _, z = self._eye + self._turn @ (right, 0.0, ahead)
        return float(x), float(z)

    def distance(self, x: float, z: float) -> float:
        """Metres straight ahead to the point of the ground (x, z); negative behind the camera."""
        return float(self.view(np.array([[x, 0.0, z]]))[0, 2])

    @cached_property
    def _middle(self) -> Points:
        return np.array([self.centre, self.horizon])

    @cached_property
    def _scale(self) -> Points:
        return np.array([self.focal, -self.focal])

    def project(self, world: Points) -> Points:
        """The polygon `world` [n, 3], cut at NEAR, in pixels [m, 2]; m = 0 where all of it is behind."""
        view = self.view(world)
        if view[:, 2].min() < NEAR:
            view = _cut(view)
        return self._middle + view[:, :2] * self._scale / view[:, 2:]


def _cut(polygon: Points) -> Points:
    """The part of a polygon [n, 3] ahead of the plane z = NEAR (Sutherland and Hodgman, one plane)."""
    kept: list[Points] = []
    if polygon[:, 2].max() < NEAR:
        return np.empty((0, 3))
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
    return np.array(kept)
