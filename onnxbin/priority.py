"""Which layer is binarized next, and with how many bases.

`depth` is the paper's: the inverse order of depth (Wang et al., ICIP 2018, section 3). It spends accuracy on
small layers, which save nothing. `damage` measures what binarizing a layer alone, with nothing trained, adds
to the squared error of the outputs (see `output_error`): errors of different layers are nearly independent,
so that their squares add up. Of all ways to reach the goal, with one base or one more for each layer, it
plans the one of least damage in all (`inputs.knapsack`), and takes the layer of that plan that costs least
for each byte it saves. So no layer is taken at the end that saves, and harms, more than is needed; and a
layer that suffers gets a second base, which costs one of the seven eighths that binarizing saves, and takes
away three quarters of its damage.

All are measured at the start; later, only the layer that would be taken is measured again, and goes if it
still would be: damage grows as more is binary, so that the others would rarely win (lazy greedy selection,
Minoux 1978).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence

from onnxbin.binarize import MAX_BASES
from onnxbin.inputs.knapsack import Front, Option
from onnxbin.layers import ConvLayer

MORE_BASES = 1
"""How many bases a layer may have beyond the fewest."""

UNITS = 20_000
"""Bytes are counted in this fraction of what all layers that wait could save, and rounded up."""

Choice = tuple[ConvLayer, int]
"""A layer, and the number of its bases."""

Damages = Callable[[Sequence[Choice]], list[float]]
"""Measures what each of some choices would add to the squared error of the present network's outputs."""


def deepest_first(layers: Iterable[ConvLayer]) -> list[ConvLayer]:
    """The candidates in the inverse order of depth.

    Of layers equally deep, the one with more parameters goes first: it saves most. Layers that are left alone
    are not in the result.
    """
    candidates = [layer for layer in layers if layer.left_alone is None]
    return sorted(candidates, key=lambda layer: (-layer.depth, -layer.parameters))


def largest_first(layers: Iterable[ConvLayer]) -> list[ConvLayer]:
    """The candidates by what they save, the deeper of equals first: what `damage` mostly comes to."""
    candidates = [layer for layer in layers if layer.left_alone is None]
    return sorted(candidates, key=lambda layer: (-layer.bytes_saved(), -layer.depth))


class Queue(ABC):
    """The layers that wait for their turn, each with the numbers of bases that it may get.

    layers: in the order of their turns, where nothing else decides it. bases: the numbers that each may get;
    more, where a turn with them was undone. bytes_saved: of the file, by a layer with so many bases.
    """

    def __init__(
        self, layers: Sequence[ConvLayer], bases: range, bytes_saved: Callable[[ConvLayer, int], float]
    ) -> None:
        self._layers = {layer.name: layer for layer in layers}
        self._bases = bases
        self._waiting = {name: dict.fromkeys(self._bases, math.nan) for name in self._layers}
        self._bytes_saved = bytes_saved

    @abstractmethod
    def take(self, missing: float | None, damages: Damages) -> Choice | None:
        """The next one, which waits no more; None where there is none.

        missing: bytes by which the file is still too large; None where it is to get as small as it can.
        """

    @abstractmethod
    def left(self, missing: float | None) -> int:
        """How many there are to take until the file is small enough, as far as is known now."""

    def put_back(self, name: str, bases: int) -> None:
        """Let a layer that was taken with so many bases wait for a turn with more, if it may have more."""
        most = min(self._bases[0] + MORE_BASES, MAX_BASES)
        if bases < most:
            self._waiting[name] = dict.fromkeys(range(bases + 1, most + 1), math.nan)

    def restart(self, names: Iterable[str]) -> None:
        """Let these wait as at the beginning, whatever was tried."""
        self._waiting |= {name: dict.fromkeys(self._bases, math.nan) for name in names}

    def state(self) -> dict[str, dict[str, float]]:
        """The layers that wait: the damage of each number of bases, NaN where it is not known."""
        return {name: {str(n): damage for n, damage in each.items()} for name, each in self._waiting.items()}

    def restore(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Go on from a `state`."""
        self._waiting = {name: {int(n): damage for n, damage in each.items()} for name, each in state.items()}

    def _saved(self, name: str, bases: int) -> float:
        return self._bytes_saved(self._layers[name], bases)


class FixedQueue(Queue):
    """One after another in the order given, with the fewest bases; after them, those that were put back."""

    def take(self, missing: float | None, damages: Damages) -> Choice | None:  # noqa: ARG002
        """The next one, whatever it saves."""
        names = self._in_order()
        if not names:
            return None
        return self._layers[names[0]], min(self._waiting.pop(names[0]))

    def left(self, missing: float | None) -> int:
        """As many as it takes to save what is missing, all where that is too much."""
        saved, count = 0.0, 0
        for name in self._in_order():
            if missing is not None and saved >= missing:
                break
            saved, count = saved + self._saved(name, min(self._waiting[name])), count + 1
        return count

    def _in_order(self) -> list[str]:
        names = [name for name in self._layers if name in self._waiting]
        return sorted(names, key=lambda name: min(self._waiting[name]))


class DamageQueue(Queue):
    """What does the least damage in all, and of that the least for each byte saved first."""

    def take(self, missing: float | None, damages: Damages) -> Choice | None:
        """The next one; at the first call all are measured, later as few as settle the choice."""
        fresh = [name for name, each in self._waiting.items() if any(map(math.isnan, each.values()))]
        self._measure(fresh, damages)
        while self._waiting:
            plan = self._plan(missing) or self._smallest()
            best = min(plan, key=lambda name: self._score(name, plan[name]))
            if best in fresh:
                del self._waiting[best]
                return self._layers[best], plan[best]
            self._measure([best], damages)
            fresh.append(best)
        return None

    def left(self, missing: float | None) -> int:
        """As many as are planned now."""
        return len(self._plan(missing))

    def _plan(self, missing: float | None) -> dict[str, int]:
        """The layers to take, with their bases: the least damage that saves enough, else all there are."""
        if missing is None:
            return self._smallest()
        most = {name: self._saved(name, bases) for name, bases in self._smallest().items()}
        unit = max(1.0, sum(most.values()) / UNITS)
        # What is bounded is what each layer leaves unsaved, of the most that it could save.
        layers = [
            [(0, Option(math.ceil(most[name] / unit), 0.0))]
            + [
                (bases, Option(math.ceil((most[name] - self._saved(name, bases)) / unit), damage))
                for bases, damage in each.items()
                if math.isfinite(damage)
            ]
            for name, each in self._waiting.items()
        ]
        front = Front([[option for _, option in options] for options in layers])
        position = front.least_damage((sum(most.values()) - missing) / unit)
        if position is None:
            return self._smallest()
        chosen = zip(self._waiting, layers, front.options(position), strict=True)
        plan = {name: options[number][0] for name, options, number in chosen}
        return {name: bases for name, bases in plan.items() if bases}

    def _score(self, name: str, bases: int) -> float:
        # Small layers may save nothing, with all that is stored beside their bits.
        return self._waiting[name][bases] / max(1.0, self._saved(name, bases))

    def _smallest(self) -> dict[str, int]:
        return {name: min(each) for name, each in self._waiting.items()}

    def _measure(self, names: Iterable[str], damages: Damages) -> None:
        choices = [(self._layers[name], bases) for name in names for bases in self._waiting[name]]
        for (layer, bases), damage in zip(choices, damages(choices), strict=True):
            self._waiting[layer.name][bases] = damage
