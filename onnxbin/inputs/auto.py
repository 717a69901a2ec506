"""A width for each layer's input from measured damage and measured time: `--inputs auto`.

1. Damage. Each binary layer's input gets each width alone, calibrated (see `network`), nothing trained. What
   that changes in the outputs of the network (see onnxbin.output_error) is that choice's damage. Squares add
   up where changes are small and independent of each other: see docs/profile.md.
2. Time. What each layer takes in each width, within the network, see onnxbin.benchmark.costs.
3. Choice. The least sum of damages whose sum of times meets the goal, see `knapsack`. With no goal for the
   time, the fastest of those that are best for their time and lose, untrained, no more than may be lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from onnx import ModelProto

from onnxbin.benchmark.costs import WIDTHS, Costs, LayerCost
from onnxbin.inputs.knapsack import Front, Option
from onnxbin.inputs.network import BinaryNetwork
from onnxbin.inputs.widths import Widths
from onnxbin.surgery import with_layers

ROUNDED = 1e-6
"""Milliseconds that sums may be off by."""

Damages = Mapping[str, Mapping[int | None, float]]
"""Layer name -> width -> damage."""

ErrorAgainst = Callable[[ModelProto], Callable[[ModelProto], float]]
"""For a model, what says how much others change of its outputs: `Measures.error_against` is one."""


@dataclass(frozen=True)
class LayerWidth:
    """bits: of the input, None where it stays real. damage: of that. Times in milliseconds.

    milliseconds: in this width. real: with a real input.
    """

    name: str
    bits: int | None
    damage: float
    milliseconds: float
    real: float


@dataclass(frozen=True)
class WidthChoice:
    """What was chosen, and why. Times are of a whole run, in milliseconds.

    original: the original's. goal: what the network may take at most, None where none was stated. predicted:
    what it takes, the sum of its parts. fastest: what it could take. threads: that all of this is for.
    """

    layers: tuple[LayerWidth, ...]
    original: float
    goal: float | None
    predicted: float
    fastest: float
    threads: int

    @property
    def widths(self) -> dict[str, int | None]:
        """Of all binary layers."""
        return {layer.name: layer.bits for layer in self.layers}

    @property
    def reached(self) -> bool:
        """Whether the goal is met."""
        return self.goal is None or self.predicted <= self.goal + ROUNDED

    def to_json(self) -> str:
        """All of it, for machines."""
        return json.dumps({**asdict(self), "reached": self.reached}, indent=2)


def damages(network: BinaryNetwork, error_against: ErrorAgainst, tell: Callable[[int, int], None]) -> Damages:
    """The damage of every width to every layer's input alone; 0 where it stays real.

    tell: is told how many of how many have been measured.
    """
    error = error_against(network.model)
    found: dict[str, dict[int | None, float]] = {name: {None: 0.0} for name in network.binary}
    total, done = len(network.binary) * (len(WIDTHS) - 1), 0
    for bits in WIDTHS:
        if bits is None:
            continue
        for name, layer in network.with_inputs(dict.fromkeys(network.binary, bits)).items():
            found[name][bits] = error(with_layers(network.model, {name: layer}))
            done += 1
            tell(done, total)
    return found


def choose(
    costs: Costs,
    damages: Damages,
    *,
    speedup: float | None = None,
    fits: Callable[[Widths], bool] = lambda _: True,
) -> WidthChoice:
    """The best width for each layer.

    costs: of these layers. speedup: times as fast as the original, at least; where nothing is, the fastest
    there is. fits: with no `speedup`, whether no more is lost than may be.
    """
    layers = costs.of(list(damages))
    fixed = costs.latency({}) - sum(layer.conv for layer in layers)
    front = Front(
        [
            [Option(_microseconds(layer.milliseconds(bits)), damages[layer.name][bits]) for bits in WIDTHS]
            for layer in layers
        ]
    )
    goal = None if speedup is None else costs.original / speedup
    if goal is None:
        position = _fastest(front, lambda position: fits(_widths(front, layers, position)))
    else:
        position = front.least_damage(1000 * (goal - fixed + ROUNDED)) or 0
    widths = _widths(front, layers, position)
    return WidthChoice(
        layers=tuple(
            LayerWidth(
                layer.name,
                widths[layer.name],
                damages[layer.name][widths[layer.name]],
                layer.milliseconds(widths[layer.name]),
                layer.milliseconds(None),
            )
            for layer in layers
        ),
        original=costs.original,
        goal=goal,
        predicted=fixed + int(front.times[position]) / 1000,
        fastest=fixed + int(front.times[0]) / 1000,
        threads=costs.threads,
    )


def _microseconds(milliseconds: float) -> int:
    """The unit that the profiler counts in."""
    return round(1000 * milliseconds)


def _widths(front: Front, layers: Sequence[LayerCost], position: int) -> dict[str, int | None]:
    chosen = front.options(position)
    return {layer.name: WIDTHS[number] for layer, number in zip(layers, chosen, strict=True)}


def _fastest(front: Front, fits: Callable[[int], bool]) -> int:
    """The first position that fits, where those behind it do too; the last does."""
    low, high = 0, len(front.times) - 1
    while low < high:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle + 1
    return high
