"""Making stages shallower: blocks are dropped, one after another, each time the one that is missed least.

A stage of depth D keeps ceil(D / factor) convolutions on its longest path. Outer blocks go before the blocks
within them: a whole residual block rather than one of its convolutions. Of every run of blocks something is
left, see onnxbin.reshape.stages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from onnx import ModelProto

from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.network import Network
from onnxbin.reshape.stages import Block, Key, depth_without, find_stages
from onnxbin.surgery import exported, imported

Agreement = Callable[[ModelProto], float]
"""How well a model agrees with the original, see onnxbin.agreement."""

LookedAt = Callable[[Key, int, int], None]
"""Is told how many of how many blocks of a stage were looked at, to choose the next that goes."""


@dataclass(frozen=True)
class Dropped:
    """A block that is gone.

    stage: whose it was. agreement: of the network without it; None where there was no choice.
    """

    stage: Key
    convolutions: tuple[str, ...]
    agreement: float | None


def without_block(network: Network, block: Block) -> ModelProto:
    """The model with a block bypassed: what read its output reads its input."""
    graph = imported(network.proto)
    tensors = graph.tensors()
    old, new = tensors[block.output], tensors[block.input]
    for reader in list(old.outputs):
        reader.inputs = [new if tensor is old else tensor for tensor in reader.inputs]
    graph.cleanup(remove_unused_graph_inputs=False)
    return exported(graph, network.proto)


def shallower(
    network: Network, factor: float, agreement: Agreement, looked_at: LookedAt
) -> tuple[Network, list[Dropped]]:
    """The network with stages of a `factor`-th of their depth, as far as blocks can be dropped."""
    dropped: list[Dropped] = []
    for key, depth in [(stage.key, stage.depth) for stage in find_stages(Dependencies(network))]:
        while blocks := _next_blocks(network, key, math.ceil(depth / factor)):
            found: list[float] = []
            for block in blocks if len(blocks) > 1 else []:
                looked_at(key, len(found), len(blocks))
                found.append(agreement(without_block(network, block)))
            best = found.index(max(found)) if found else 0
            names = tuple(sorted(blocks[best].convolutions))
            dropped.append(Dropped(key, names, found[best] if found else None))
            network = Network(without_block(network, blocks[best]), network.size)
    return network, dropped


def _next_blocks(network: Network, key: Key, target: int) -> list[Block]:
    """The outermost blocks of a stage of which one can go next; none where its depth is the target's."""
    stage = next((stage for stage in find_stages(Dependencies(network)) if stage.key == key), None)
    if stage is None or stage.depth <= target:
        return []
    blocks = [
        block
        for block in stage.droppable(network)
        if not block.convolutions.isdisjoint(stage.deepest) and depth_without(network, stage, block) >= target
    ]
    return [block for block in blocks if stage.level(block) == stage.level(blocks[0])]
