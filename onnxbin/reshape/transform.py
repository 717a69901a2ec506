"""A network made shallower and wider, and what became of each stage.

Depth-Width Reshaping: Xue, Lu, Chang, Wei, Wei, "Boosting Binary Neural Networks via Depth-Width Reshaping",
AAAI 2023. First blocks are dropped (onnxbin.reshape.depth), then what is left is widened until the
multiply-accumulates are what they were (onnxbin.reshape.widths, onnxbin.reshape.rewrite).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from onnxbin.errors import OnnxbinError
from onnxbin.reshape.channels import Dependencies, Group
from onnxbin.reshape.depth import Agreement, Dropped, shallower
from onnxbin.reshape.network import Network
from onnxbin.reshape.rewrite import Change, Conflict, rewritten
from onnxbin.reshape.stages import Key, Stage, find_stages
from onnxbin.reshape.widths import Cost, Costs, widened

NOISE = 0.1
"""See onnxbin.reshape.rewrite.Change."""


@dataclass(frozen=True)
class StageState:
    """depth: convolutions on the longest path. width: channels of its widest convolution. cost: of all."""

    depth: int
    width: int
    cost: Cost


@dataclass(frozen=True)
class StageChange:
    """A stage before and after. size: height and width of its tensors.

    own: whether it has a width of its own; else its channels are those of another stage. deeper: why its
    depth stayed above what was asked for; None where it did not.
    """

    size: tuple[int, ...]
    own: bool
    before: StageState
    after: StageState
    deeper: str | None


@dataclass(frozen=True, eq=False)
class Transformed:
    """proto: the network reshaped. stages: what changed. before, after: the cost of all Convs.

    dropped: the blocks that are gone. left_alone: reason -> the convolutions whose channels stay as they are.
    """

    proto: ModelProto
    stages: tuple[StageChange, ...]
    before: Cost
    after: Cost
    dropped: tuple[Dropped, ...]
    left_alone: Mapping[str, tuple[str, ...]]


def transform(
    network: Network,
    agreement: Agreement,
    *,
    factor: float = 2.0,
    widths: Sequence[int] | None = None,
    seed: int = 0,
) -> Transformed:
    """Divide the depth of every stage by `factor`, and widen what is left.

    agreement: of a changed network with the original, to choose the blocks that go. widths: of the stages
    that have one of their own, in order, instead of those by formula. seed: of the noise on weights.
    Raises OnnxbinError where there is nothing to reshape, or the widths do not fit the network.
    """
    original = Dependencies(network)
    network, dropped = shallower(network, factor, agreement)
    if not dropped and widths is None:
        raise OnnxbinError(
            f"nothing to reshape: no stage of the network has a block that can go at --factor {factor:g}; "
            "--dry-run --factor 1 lists its stages"
        )
    frozen: dict[int, str] = {}
    stages = find_stages(Dependencies(network))
    while True:
        dependencies = Dependencies(network, frozen)
        table = _Table(original, dependencies, stages)
        sizes = table.widths(widths)
        try:
            proto = rewritten(dependencies, _copies(dependencies, sizes, seed))
            break
        except Conflict as conflict:
            frozen.update(dict.fromkeys(conflict.channels, conflict.reason))
    before, after = table.costs(sizes)
    return Transformed(
        proto, table.changes(sizes, factor), before, after, tuple(dropped), left_alone(dependencies)
    )


def left_alone(dependencies: Dependencies) -> dict[str, tuple[str, ...]]:
    """Why widths stay as they are -> the names of the convolutions whose they are."""
    names: dict[str, dict[str, None]] = {}
    network = dependencies.network
    for group in dependencies.groups:
        for maker in group.makers if group.frozen else ():
            if maker in network.makers and network.makers[maker].op_type == "Conv":
                names.setdefault(str(group.frozen), {})[network.name_of(network.makers[maker])] = None
    return {reason: tuple(convolutions) for reason, convolutions in names.items()}


class _Table:
    """The stages of a network before and after blocks were dropped."""

    def __init__(self, before: Dependencies, after: Dependencies, left: Sequence[Stage]) -> None:
        self._before, self._after = before, after
        kept = {stage.key: stage for stage in left}
        self._stages = {stage.key: (stage, kept[stage.key]) for stage in find_stages(before)}
        self._costs_before, self._costs_after = Costs(before), Costs(after)
        self._sizes = [len(group.bundles) for group in after.groups]
        self._owners = self._find_owners([stage for stage, _ in self._stages.values()])

    def widths(self, wanted: Sequence[int] | None) -> list[int]:
        """The width of each group: as wanted, a number for each stage that has its own, or by formula."""
        own = [key for key in self._stages if key in self._owners.values()]
        if wanted is None:
            factors = {}
            for key in own:
                before, after = self._stages[key]
                if after.depth < before.depth:
                    factors[key] = math.sqrt(before.depth / after.depth)
            by_group = {group: factors[key] for group, key in self._owners.items() if key in factors}
            target = self._costs_before.macs([len(group.bundles) for group in self._before.groups])
            return widened(self._after.groups, by_group, self._costs_after, target)
        if len(wanted) != len(own):
            found = ", ".join(str(self._width(self._stages[key][0], self._before)) for key in own)
            raise OnnxbinError(
                f"--widths: {len(wanted)} numbers, expected {len(own)}, one for each stage that has its own "
                f"width; they are {found} wide now"
            )
        scale = {
            key: width / self._width(self._stages[key][1], self._after)
            for key, width in zip(own, wanted, strict=True)
        }
        return [
            max(2, round(size * scale[self._owners[group]])) if group in self._owners else size
            for group, size in enumerate(self._sizes)
        ]

    def changes(self, sizes: Sequence[int], factor: float) -> tuple[StageChange, ...]:
        """What becomes of the stages with groups of these widths."""
        before = self._costs_before.of([len(group.bundles) for group in self._before.groups])
        after = self._costs_after.of(sizes)
        changes = []
        for key, (old, new) in self._stages.items():
            was, now = (
                StageState(stage.depth, width, sum((costs[name] for name in stage.convolutions), Cost()))
                for stage, costs, width in (
                    (old, before, self._width(old, self._before)),
                    (new, after, self._width(new, self._after, sizes)),
                )
            )
            target = math.ceil(old.depth / factor)
            deeper = None
            if new.depth > target:
                deeper = f"nothing more in it can be bypassed; {target} was asked for"
            changes.append(StageChange(key[1:], key in self._owners.values(), was, now, deeper))
        return tuple(changes)

    def costs(self, sizes: Sequence[int]) -> tuple[Cost, Cost]:
        """Of the whole network, before and after."""
        before = self._costs_before.of([len(group.bundles) for group in self._before.groups])
        return sum(before.values(), Cost()), sum(self._costs_after.of(sizes).values(), Cost())

    def _find_owners(self, stages: Sequence[Stage]) -> dict[int, Key]:
        """Group that is not frozen -> the stage most of whose convolutions made it; the last of several."""
        homes = {
            name: (place, stage.key) for place, stage in enumerate(stages) for name in stage.convolutions
        }
        owners: dict[int, Key] = {}  # of what was a bundle before
        for group in self._before.groups:
            counts = Counter(homes[name] for name in group.makers if name in homes)
            if counts and group.frozen is None:
                home = max(counts, key=lambda home: (counts[home], home[0]))
                owners |= dict.fromkeys(group.bundles, home[1])
        found = {}
        for number, group in enumerate(self._after.groups):
            if group.frozen is None and len(group.bundles) > 1:
                made = self._after.bundle(self._after.made[group.makers[0]]).tolist()
                old = self._before.made[group.makers[0]][[made.index(group.bundles[0])]]
                bundle = int(self._before.bundle(old)[0])
                if bundle in owners:
                    found[number] = owners[bundle]
        return found

    def _width(self, stage: Stage, dependencies: Dependencies, sizes: Sequence[int] | None = None) -> int:
        if sizes is None:
            sizes = [len(group.bundles) for group in dependencies.groups]
        channels: Counter[str] = Counter()
        for group, size in zip(dependencies.groups, sizes, strict=True):
            for name, count in group.tensors.items():
                if name in stage.convolutions:
                    channels[name] += count * size // len(group.bundles)
        return max(channels.values())


def _copies(dependencies: Dependencies, sizes: Sequence[int], seed: int) -> Change:
    """Every channel as often as its group's new width allows; the strongest once more, or alone.

    A channel's strength is the sum of its filters' magnitudes (Li et al., Pruning Filters for Efficient
    ConvNets, ICLR 2017).
    """
    counts: dict[int, int] = {}
    for group, size in zip(dependencies.groups, sizes, strict=True):
        if size != len(group.bundles):
            each, more = divmod(size, len(group.bundles))
            ranked = sorted(group.bundles, key=strengths(dependencies, group).__getitem__, reverse=True)
            counts |= {bundle: each + (rank < more) for rank, bundle in enumerate(ranked)}
    return Change(counts, noise=NOISE, seed=seed)


def strengths(dependencies: Dependencies, group: Group) -> dict[int, float]:
    """The sum of magnitudes of the filters that make each bundle of a group."""
    found = dict.fromkeys(group.bundles, 0.0)
    network = dependencies.network
    for maker in group.makers:
        node = network.makers[maker]
        if node.op_type == "Conv":
            weight = np.abs(network.constant(node.input[1]))
            sums = weight.sum(tuple(range(1, weight.ndim))).tolist()
            bundles = dependencies.bundle(dependencies.made[maker]).tolist()
            for bundle, strength in zip(bundles, sums, strict=True):
                if bundle in found:
                    found[bundle] += strength
    return found
