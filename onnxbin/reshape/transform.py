"""A network made shallower and wider for the same multiply-accumulates.

Depth-Width Reshaping: Xue, Lu, Chang, Wei, Wei, AAAI 2023. First blocks are dropped (onnxbin.reshape.depth),
then what is left is widened until it costs what the network did (onnxbin.reshape.widths): channels are copied
in a way that keeps what is computed (onnxbin.reshape.rewrite).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxbin.errors import OnnxbinError
from onnxbin.reshape.changes import states
from onnxbin.reshape.channels import Dependencies, Group
from onnxbin.reshape.cost import MacsByWidth, costs_of
from onnxbin.reshape.depth import Agreement, Dropped, LookedAt, shallower
from onnxbin.reshape.network import Network
from onnxbin.reshape.rewrite import Change, Conflict, rewritten
from onnxbin.reshape.stages import Key, find_stages
from onnxbin.reshape.widths import widened

NOISE = 0.1
"""See onnxbin.reshape.rewrite.Change."""


@dataclass(frozen=True, eq=False)
class Transformed:
    """network: reshaped. dropped: the blocks that are gone.

    left_alone: reason -> the names of the convolutions whose channels stay as they are.
    """

    network: Network
    dropped: tuple[Dropped, ...]
    left_alone: Mapping[str, tuple[str, ...]]


def transform(
    network: Network,
    agreement: Agreement,
    looked_at: LookedAt = lambda *_: None,
    *,
    factor: float = 2.0,
    widths: Sequence[int] | None = None,
    seed: int = 0,
) -> Transformed:
    """Divide the depth of every stage by `factor`, and widen what is left.

    agreement: of a changed network with the original, to choose the blocks that go. looked_at: is told how
    far that is. widths: of the stages that have a width of their own, in order, instead of those by formula;
    others have the channels of these. seed: of the noise on weights.
    Raises OnnxbinError where the widths do not fit the network.
    """
    original = network
    network, dropped = shallower(original, factor, agreement, looked_at)
    homes = _homes(Dependencies(original))
    frozen: dict[int, str] = {}
    while True:
        dependencies = Dependencies(network, frozen)
        stages = _owners(dependencies, homes)
        if widths is None:
            sizes = _by_formula(original, dependencies, stages)
        else:
            sizes = _as_wanted(original, dependencies, stages, widths)
        try:
            proto = rewritten(dependencies, _copies(dependencies, sizes, seed))
            return Transformed(Network(proto, network.size), tuple(dropped), left_alone(dependencies))
        except Conflict as conflict:
            frozen.update(dict.fromkeys(conflict.channels, conflict.reason))


def left_alone(dependencies: Dependencies) -> dict[str, tuple[str, ...]]:
    """Why channels stay as they are -> the names of the convolutions that make them."""
    names: dict[str, dict[str, None]] = {}
    network = dependencies.network
    for group in dependencies.groups:
        for maker in group.makers if group.frozen else ():
            if maker in network.makers and network.makers[maker].op_type == "Conv":
                names.setdefault(str(group.frozen), {})[network.name_of(network.makers[maker])] = None
    return {reason: tuple(convolutions) for reason, convolutions in names.items()}


def _homes(dependencies: Dependencies) -> dict[str, list[Key | None]]:
    """Convolution -> the stage to which each of its channels belongs; None for those that are frozen.

    That is the stage most of whose convolutions make the channel, the last of several: the stem of a ResNet
    makes channels of the first stage of residual blocks.
    """
    places = {
        name: (place, stage.key)
        for place, stage in enumerate(find_stages(dependencies))
        for name in stage.convolutions
    }
    homes: dict[int, Key] = {}
    for group in dependencies.groups:
        counts = Counter(places[name] for name in group.makers if name in places)
        if counts and group.frozen is None:
            _, key = max(counts, key=lambda place: (counts[place], place[0]))
            homes |= dict.fromkeys(group.bundles, key)
    made = dependencies.made.items()
    return {name: [homes.get(b) for b in dependencies.bundle(numbers).tolist()] for name, numbers in made}


def _owners(dependencies: Dependencies, homes: Mapping[str, Sequence[Key | None]]) -> dict[int, Key]:
    """Group whose width may change -> the stage that it belongs to."""
    owners = {}
    for number, group in enumerate(dependencies.groups):
        if group.frozen is None and len(group.bundles) > 1:
            made = dependencies.bundle(dependencies.made[group.makers[0]]).tolist()
            key = homes[group.makers[0]][made.index(group.bundles[0])]
            if key is not None:
                owners[number] = key
    return owners


def _by_formula(original: Network, dependencies: Dependencies, owners: Mapping[int, Key]) -> list[int]:
    kept = dependencies.network.makers
    before, after = states(original, kept), states(dependencies.network, kept)
    factors = {
        group: math.sqrt(before[key].depth / after[key].depth)
        for group, key in owners.items()
        if after[key].depth < before[key].depth
    }
    target = sum(cost.macs for cost in costs_of(original).values())
    return widened(dependencies.groups, factors, MacsByWidth(dependencies), target)


def _as_wanted(
    original: Network, dependencies: Dependencies, owners: Mapping[int, Key], widths: Sequence[int]
) -> list[int]:
    kept = dependencies.network.makers
    before, after = states(original, kept), states(dependencies.network, kept)
    own = [key for key in before if key in owners.values()]
    if len(widths) != len(own):
        found = ", ".join(str(after[key].width) for key in own)
        raise OnnxbinError(
            f"--widths: {len(widths)} numbers, expected {len(own)}, one for each stage that has a width of "
            f"its own; they are {found} wide now"
        )
    scale = {key: width / after[key].width for key, width in zip(own, widths, strict=True)}
    sizes = [len(group.bundles) for group in dependencies.groups]
    for group, key in owners.items():
        sizes[group] = max(2, round(sizes[group] * scale[key]))
    return sizes


def _copies(dependencies: Dependencies, sizes: Sequence[int], seed: int) -> Change:
    """Every channel as often as its group's new width allows; the strongest once more, or alone."""
    counts: dict[int, int] = {}
    for group, size in zip(dependencies.groups, sizes, strict=True):
        if size != len(group.bundles):
            each, more = divmod(size, len(group.bundles))
            strengths = _strengths(dependencies, group)
            ranked = sorted(group.bundles, key=strengths.__getitem__, reverse=True)
            counts |= {bundle: each + (rank < more) for rank, bundle in enumerate(ranked)}
    return Change(counts, noise=NOISE, seed=seed)


def _strengths(dependencies: Dependencies, group: Group) -> dict[int, float]:
    """The sum of magnitudes of the filters that make each bundle of a group.

    What is weakest by this measure is missed least (Li et al., Pruning Filters for Efficient ConvNets, ICLR
    2017, section 3.1).
    """
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
