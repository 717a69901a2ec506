"""Pedestrians: who they are and what they wear, and how that is drawn.

A body is drawn in units of its height: x to the right, y up, (0, 0) on the ground between the feet. People
are seen from the side, from the front or from behind, standing or in the middle of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from camera import Points
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

SKIN = ((244, 212, 186), (226, 184, 150), (198, 146, 108), (152, 104, 72), (104, 70, 48), (70, 46, 34))
HAIR = ((24, 20, 18), (54, 36, 24), (98, 66, 36), (176, 136, 76), (150, 70, 36), (168, 164, 160))
TROUSERS = (
    (30, 34, 48),
    (44, 60, 98),
    (24, 24, 26),
    (96, 86, 70),
    (92, 94, 98),
    (150, 134, 108),
    (70, 40, 36),
)
SHOES = ((24, 22, 22), (60, 44, 34), (216, 214, 208), (110, 30, 34))

HIP, KNEE, ANKLE = 0.49, 0.27, 0.035
"""Their heights."""

Joint = tuple[float, float]


@dataclass(frozen=True)
class Person:
    """Someone, as chosen at random. Lengths are in heights of the body, angles in radians.

    heading: -1 to the left, +1 to the right. stride: how far the legs swing; 0 is standing. build: breadth, 1
    is average. head: half its height. hem: where the upper garment ends. phone: one hand is raised.
    """

    seen_from: Literal["side", "front", "behind"]
    heading: float
    stride: float
    build: float
    skin: Colour
    hair: Colour
    lower: Colour
    upper: Colour
    outfit: Literal["shirt", "coat", "dress", "shorts"]
    head: float
    lean: float
    shoes: Colour
    phone: bool
    bare_arms: bool
    elbow: float
    pack: Colour | None
    hem: float
    bag: Colour | None
    long_hair: bool
    hat: Colour | None

    @classmethod
    def any(cls, rng: np.random.Generator, child: bool) -> Person:
        """Someone at random."""

        def maybe(chance: float, possible: bool = True) -> Colour | None:
            return any_colour(rng) if possible and rng.random() < chance else None

        side_on = rng.random() < 0.5
        heading = float(rng.choice([-1.0, 1.0]))
        behind = not side_on and rng.random() < 0.45
        stride = float(rng.choice([0.0, rng.uniform(0.1, 0.3), rng.uniform(0.3, 0.5)], p=[0.3, 0.4, 0.3]))
        build = rng.uniform(0.82, 1.3)
        skin, hair, lower, upper = (
            choose(rng, SKIN),
            choose(rng, HAIR),
            choose(rng, TROUSERS),
            any_colour(rng),
        )
        outfit = rng.choice(["shirt", "coat", "dress", "shorts"], p=[0.5, 0.24, 0.13, 0.13])
        head = rng.uniform(0.078, 0.09) if child else rng.uniform(0.062, 0.07)
        lean = heading * 0.05 * stride if side_on else rng.uniform(-0.015, 0.015)
        shoes, phone = choose(rng, SHOES), rng.random() < 0.2
        bare_arms = outfit in ("dress", "shorts") and rng.random() < 0.6
        elbow = rng.uniform(0.01, 0.04)
        pack = maybe(0.3, side_on)
        hems = {
            "shirt": 0.44,
            "shorts": 0.44,
            "coat": rng.uniform(0.24, 0.4),
            "dress": rng.uniform(0.22, 0.34),
        }
        pack = pack or maybe(0.3, behind)
        bag, long_hair, hat = maybe(0.25), rng.random() < 0.25, maybe(0.2)
        return cls(
            seen_from="side" if side_on else "behind" if behind else "front",
            heading=heading,
            stride=stride,
            build=build,
            skin=skin,
            hair=hair,
            lower=lower,
            upper=upper,
            outfit=outfit,
            head=head,
            lean=lean,
            shoes=shoes,
            phone=phone,
            bare_arms=bare_arms,
            elbow=elbow,
            pack=pack,
            hem=hems[outfit],
            bag=bag,
            long_hair=long_hair,
            hat=hat,
        )


def pedestrian(
    person: Person, foot: tuple[float, float], height: float, light: float, distance: float
) -> Figure:
    """The person at `foot` (column, row), `height` pixels tall, lit from the left (-1) to the right (1)."""
    drawing = _Drawing(person, foot, height, light)
    drawing.shadow()
    drawing.arm(-1, 0.75)
    drawing.leg(-1, 0.78)
    drawing.leg(1, 1.0)
    drawing.torso()
    drawing.arm(1, 1.0)
    drawing.bag()
    drawing.head()
    return Figure(drawing.patches, distance, pedestrian=True)


class _Drawing:
    """Collects the patches of a person, from the farther side of the body to the nearer."""

    def __init__(self, person: Person, foot: tuple[float, float], height: float, light: float) -> None:
        self.person, self.foot, self.height, self.light = person, foot, height, light
        self.patches: list[Patch] = []
        self.side_on = person.seen_from == "side"
        self.neck = 1.0 - 2.15 * person.head
        self.shoulder = self.neck - 0.02
        self.half_shoulder = person.build * (0.062 if self.side_on else 0.105)
        self.half_hip = person.build * (0.058 if self.side_on else 0.078)

    def add(self, points: Points, colour: Colour) -> None:
        """One patch, given in units of the body."""
        self.patches.append(Patch(self.foot + points * (self.height, -self.height), colour))

    def limb(self, joints: list[Joint], radii: list[float], colour: Colour) -> None:
        """A chain of capsules, darker on the side away from the light."""
        for tone, thin, shift in ((0.78, 1.0, 0.0), (1.0, 0.62, 0.3 * self.light)):
            for (a, b), (ra, rb) in zip(pairwise(joints), pairwise(radii), strict=True):
                moved = capsule((a[0] + shift * ra, a[1]), (b[0] + shift * rb, b[1]), ra * thin, rb * thin)
                self.add(moved, shade(colour, tone))

    def shadow(self) -> None:
        """On the ground, away from the light."""
        self.add(ellipse(-0.07 * self.light, 0, 0.2, 0.035), (0, 0, 0, 90))

    def leg(self, side: int, tone: float) -> None:
        """The farther (-1) or the nearer (1) leg, with its shoe."""
        person, swing = self.person, side * self.person.stride
        if self.side_on:
            back = max(0.0, -swing * person.heading)  # the leg behind is bent
            knee = (person.lean + 0.25 * np.sin(swing) + person.heading * 0.02 * person.stride, KNEE)
            ankle = (knee[0] + 0.23 * np.sin(swing - person.heading * 0.35 * back), ANKLE)
            toe = (ankle[0] + person.heading * 0.06, 0.015)
            top = (person.lean, HIP)
        else:
            knee = (0.05 * person.build * side + 0.02 * swing, KNEE)
            ankle = (0.9 * knee[0], ANKLE + max(0.0, 0.05 * swing))
            toe = (ankle[0] * 1.2, ankle[1] - 0.02)
            top = (person.lean + 0.045 * person.build * side, HIP)
        thigh, calf, shin = 0.055 * person.build, 0.042 * person.build, 0.03 * person.build
        bare = person.outfit in ("dress", "shorts")
        self.limb([top, knee, ankle], [thigh, calf, shin], shade(person.skin if bare else person.lower, tone))
        if person.outfit == "shorts":
            middle = ((top[0] + knee[0]) / 2, (top[1] + knee[1]) / 2 - 0.03)
            self.limb([top, middle], [thigh * 1.1, calf * 1.25], shade(person.lower, tone))
        self.add(capsule(ankle, toe, 0.026, 0.02), shade(person.shoes, tone))

    def arm(self, side: int, tone: float) -> None:
        """The farther (-1) or the nearer (1) arm; it swings with the leg of the other side of the body."""
        person, swing = self.person, side * self.person.stride
        if self.side_on:
            start = (person.lean, self.shoulder - 0.03)
            elbow = (start[0] + 0.17 * np.sin(swing), start[1] - 0.165)
            raised, hanging = person.heading * 0.09, 0.15 * np.sin(swing + person.heading * 0.35)
        else:
            start = (person.lean + side * self.half_shoulder * 1.02, self.shoulder - 0.03)
            elbow = (start[0] + side * person.elbow, start[1] - 0.165)
            raised, hanging = -side * 0.05, 0.0
        if person.phone and side > 0:
            hand = (elbow[0] + raised, elbow[1] + 0.13)
        else:
            hand = (elbow[0] + hanging, elbow[1] - 0.145)
        sleeve = person.skin if person.bare_arms else person.upper
        self.limb(
            [start, elbow, hand], [0.036 * person.build, 0.03 * person.build, 0.022], shade(sleeve, tone)
        )
        self.add(ellipse(*hand, 0.022, 0.022), shade(person.skin, tone))

    def torso(self) -> None:
        """The upper garment from the neck to its hem, and a pack on the back."""
        person, lean = self.person, self.person.lean
        if person.pack and self.side_on:
            x = lean - person.heading * (self.half_shoulder + 0.05)
            self.add(ellipse(x, self.shoulder - 0.14, 0.06, 0.12), person.pack)
        flare = {"shirt": 1.0, "shorts": 1.0, "coat": 1.25, "dress": 1.6}[person.outfit]
        right = np.array(
            [
                (self.half_shoulder * 0.55, self.neck),
                (self.half_shoulder * 1.08, self.shoulder - 0.02),
                (self.half_hip * 0.95, HIP + 0.1),
                (self.half_hip * flare, person.hem),
            ]
        )
        outline = np.concatenate([right, right[::-1] * (-1, 1)])
        self.add(outline + np.array([lean, 0]), shade(person.upper, 0.8))
        self.add(
            outline * (0.68, 1) + np.array([lean + 0.3 * self.half_shoulder * self.light, 0]), person.upper
        )
        if person.outfit == "coat" and person.seen_from == "front":
            self.add(rectangle(lean - 0.01, person.hem, lean + 0.01, self.neck), shade(person.upper, 0.55))
        if person.pack and person.seen_from == "behind":
            self.add(ellipse(lean, self.shoulder - 0.13, 0.08 * person.build, 0.11), person.pack)

    def bag(self) -> None:
        """At the hand that is ahead."""
        if self.person.bag:
            x = self.person.heading * (self.half_hip + 0.05)
            self.add(rectangle(x - 0.055, 0.34, x + 0.055, 0.46), self.person.bag)

    def head(self) -> None:
        """Neck, hair, face and hat."""
        person, size = self.person, self.person.head
        x, y = person.lean * 1.6, 1.0 - size
        self.add(capsule((x, self.neck - 0.01), (x, y), 0.03, 0.03), shade(person.skin, 0.75))
        if person.long_hair:
            self.add(ellipse(x, y - 0.5 * size, size, size * 1.4), shade(person.hair, 0.85))
        self.add(ellipse(x, y, size * 0.86, size), person.hair)
        if person.seen_from != "behind":
            ahead = person.heading * 0.28 * size if self.side_on else 0.0
            self.add(ellipse(x + ahead, y - 0.18 * size, size * 0.68, size * 0.8), person.skin)
        if person.hat:
            self.add(ellipse(x, y + 0.38 * size, size * 0.95, size * 0.58), person.hat)
        if person.hat and self.side_on:
            brim = ellipse(x + person.heading * size, y + 0.25 * size, size * 0.5, size * 0.12)
            self.add(brim, shade(person.hat, 0.7))
