"""What became of each stage of a network: depth, width, cost, before and after."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass

from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.cost import Cost, costs_of
from onnxbin.reshape.network import Network
from onnxbin.reshape.stages import Key, find_stages


@dataclass(frozen=True)
class StageState:
    """depth: convolutions on the longest path. width: channels of its widest convolution that is not dropped.
    cost: of all.
    """

    depth: int
    width: int
    cost: Cost


@dataclass(frozen=True)
class StageChange:
    """A stage before and after. size: height and width of its tensors.

    wanted: the depth that was asked for; it stays above that where nothing more can be bypassed.
    """

    size: tuple[int, ...]
    before: StageState
    after: StageState
    wanted: int


@dataclass(frozen=True)
class Changes:
    """stages: in order. before, after: the cost of all Convs, in stages or not."""

    stages: tuple[StageChange, ...]
    before: Cost
    after: Cost


def changes(before: Network, after: Network, factor: float) -> Changes:
    """What a network became whose stages were to have a `factor`-th of their depth."""
    olds, news = states(before, after.makers), states(after, after.makers)
    stages = (StageChange(k[1:], o, news[k], math.ceil(o.depth / factor)) for k, o in olds.items())
    return Changes(tuple(stages), *(sum(costs_of(n).values(), Cost()) for n in (before, after)))


def states(network: Network, kept: Container[str]) -> Mapping[Key, StageState]:
    """The stages of a network as they are. kept: the tensors that are still made after the reshaping."""
    costs = costs_of(network)
    return {
        stage.key: StageState(
            stage.depth,
            max(network.shapes[name][1] for name in stage.convolutions if name in kept),
            sum((costs[name] for name in stage.convolutions), Cost()),
        )
        for stage in find_stages(Dependencies(network))
    }
