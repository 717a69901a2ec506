"""Coloured polygons: what everything in a scene is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from camera import Points

Colour = tuple[int, ...]
"""Red, green, blue and, where it is shadow, opacity; 0 to 255."""


class Patch(NamedTuple):
    """A polygon [n, 2] in pixels and its colour."""

    points: Points
    colour: Colour


@dataclass(frozen=True)
class Figure:
    """One thing in the street: its patches in the order of painting, and its distance in metres ahead."""

    patches: list[Patch]
    distance: float
    pedestrian: bool = False

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the opaque patches, in pixels; a shadow is not part of a figure."""
        points = np.concatenate([patch.points for patch in self.patches if len(patch.colour) == 3])
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour, `factor` times as bright."""
    return tuple(min(255, int(c * factor)) for c in colour)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """(1 - share) of `a` and `share` of `b`."""
    return tuple(int(p + (q - p) * share) for p, q in zip(a, b, strict=True))


def any_colour(rng: np.random.Generator) -> Colour:
    """A colour of clothes or paint: more often muted than not."""
    value, saturation = rng.uniform(40, 245), rng.beta(1.1, 1.8)
    hue = rng.uniform(0, 1, 3)
    hue = (hue - hue.min()) / (np.ptp(hue) + 1e-6)
    return tuple(int(c) for c in value * (1 - saturation * (1 - hue)))


def choose(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """One of the colours, a little brighter or darker."""
    return shade(colours[int(rng.integers(len(colours)))], rng.uniform(0.85, 1.15))


def ellipse(x: float, y: float, rx: float, ry: float) -> Points:
    """An ellipse about (x, y) as a polygon [14, 2]."""
    return np.array([x, y]) + _CIRCLE * (rx, ry)


def capsule(a: tuple[float, float], b: tuple[float, float], ra: float, rb: float) -> Points:
    """A limb [12, 2]: half circles of radius ra about `a` and rb about `b`, joined."""
    turn = np.arctan2(b[1] - a[1], b[0] - a[0]) + np.pi / 2 + _HALF_TURN
    half = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return np.concatenate([half * ra + a, -half * rb + b])


def rectangle(left: float, bottom: float, right: float, top: float) -> Points:
    """A rectangle as a polygon [4, 2]."""
    return np.array([(left, bottom), (right, bottom), (right, top), (left, top)])


_ANGLES = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_HALF_TURN = np.linspace(0, np.pi, 6)
