"""What became of each stage of a network: depth, width, cost, before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.cost import Cost, costs_of
from onnxbin.reshape.network import Network
from onnxbin.reshape.stages import Key, find_stages


@dataclass(frozen=True)
class StageState:
    """depth: convolutions on the longest path. width: channels of its widest convolution. cost: of all."""

    depth: int
    width: int
    cost: Cost


@dataclass(frozen=True)
class StageChange:
    """A stage before and after. size: height and width of its tensors.

    deeper: why its depth stayed above what was asked for; None where it did not.
    """

    size: tuple[int, ...]
    before: StageState
    after: StageState
    deeper: str | None


@dataclass(frozen=True)
class Changes:
    """stages: in order. before, after: the cost of all Convs, in stages or not."""

    stages: tuple[StageChange, ...]
    before: Cost
    after: Cost


def changes(before: Network, after: Network, factor: float) -> Changes:
    """What a network became whose stages were to have a `factor`-th of their depth."""
    olds, news = states(before), states(after)
    stages = []
    for key, old in olds.items():
        new, target = news[key], math.ceil(old.depth / factor)
        missed = f"nothing more in it can be bypassed; {target} was asked for"
        stages.append(StageChange(key[1:], old, new, missed if new.depth > target else None))
    return Changes(tuple(stages), *(sum(costs_of(n).values(), Cost()) for n in (before, after)))


def states(network: Network) -> Mapping[Key, StageState]:
    """The stages of a network as they are."""
    costs = costs_of(network)
    return {
        stage.key: StageState(
            stage.depth,
            max(network.shapes[name][1] for name in stage.convolutions),
            sum((costs[name] for name in stage.convolutions), Cost()),
        )
        for stage in find_stages(Dependencies(network))
    }
