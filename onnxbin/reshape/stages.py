"""The stages of a network, and the blocks in them: what depth consists of.

A stage is all convolutions whose outputs have one size and lie behind the same number of changes of size, on
the longest path: a backbone enters a stage where it halves its size, a feature pyramid where it doubles it
again. Its depth is the number of its convolutions on the longest path through it. Convolutions that make
frozen channels (see onnxbin.reshape.channels), such as those that make the outputs, belong to no stage.

A block is a part of a stage with one tensor in and one out, of the same shape: a convolution with its
activation, a residual block, a chain of bottlenecks. It can be dropped: what read its output then reads its
input. Formally, its input dominates its output, all that lies between is read only there, and no
convolution there belongs to another stage (those on single pixels, as in squeeze-and-excitation, excepted).
Blocks lie within blocks; those that hold the same convolutions count as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import NodeProto

from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.network import Network

Key = tuple[int, ...]
"""What tells stages apart: the number of changes of size before it, its height and width."""


@dataclass(frozen=True)
class Block:
    """input, output: tensors of the same shape. convolutions: between them, by output. nodes: how many."""

    input: str
    output: str
    convolutions: frozenset[str]
    nodes: int

    def within(self, other: Block) -> bool:
        """Whether it is a part of the other one."""
        return self.convolutions < other.convolutions


@dataclass(frozen=True)
class Stage:
    """key: see `Key`. convolutions: by output, in order. depth: of them, on the longest path.

    deepest: those on any path as long as that. blocks: see the module.
    """

    key: Key
    convolutions: tuple[str, ...]
    depth: int
    deepest: frozenset[str]
    blocks: tuple[Block, ...]

    def droppable(self, network: Network) -> list[Block]:
        """The blocks without which something is left of the run that they are in, outermost first.

        A run is what comes one after another with one shape: blocks, and convolutions of the stage before
        the first, which brought the channels to this shape.
        """
        found = [
            block for block in self.blocks if self._has_neighbour(block) or self._has_entry(block, network)
        ]
        return sorted(found, key=self.level)

    def level(self, block: Block) -> int:
        """How many blocks of the stage it lies within."""
        return sum(block.within(other) for other in self.blocks)

    def _has_neighbour(self, block: Block) -> bool:
        return any(other.output == block.input or other.input == block.output for other in self.blocks)

    def _has_entry(self, block: Block, network: Network) -> bool:
        """Whether the block continues what convolutions of the stage began, and is alone in that."""
        only = _read_only_through(network, block.input)
        return _reads_alone(network, block) and not only.isdisjoint(self.convolutions)


def find_stages(dependencies: Dependencies) -> list[Stage]:
    """The stages of a network, by the number of changes of size before them."""
    network = dependencies.network
    keys = _keys(network)
    free = {name for group in dependencies.groups if group.frozen is None for name in group.tensors}
    convolutions: dict[Key, list[str]] = {}
    for node in network.nodes:
        if node.op_type == "Conv" and node.output[0] in free:
            convolutions.setdefault(keys[node.output[0]], []).append(node.output[0])
    blocks = _find_blocks(network, {name: key for name, key in keys.items() if name in free})
    stages = []
    for key, names in sorted(convolutions.items(), key=lambda item: item[0][0]):
        depth, deepest = _depth(network, frozenset(names))
        own = [block for block in blocks if keys[block.output] == key]
        stages.append(Stage(key, tuple(names), depth, deepest, tuple(own)))
    return stages


def depth_without(network: Network, stage: Stage, block: Block) -> int:
    """The depth of a stage when one of its blocks is bypassed."""
    left = frozenset(stage.convolutions) - block.convolutions
    return _depth(network, left)[0] if left else 0


def _keys(network: Network) -> dict[str, Key]:
    """Tensor -> the stage that it would belong to; of what has no height and width, that of its source."""
    keys: dict[str, Key] = {}
    for name, shape in network.shapes.items():
        if name not in network.makers and len(shape) == 4:
            keys[name] = (0, *shape[2:])
    for node in network.nodes:
        before = [keys[name] for name in network.values_read(node) if name in keys]
        # Factors for whole channels are no change of size.
        before = [key for key in before if key[1:] != (1, 1)] or before
        for name in node.output:
            shape = network.shapes.get(name, ())
            if len(shape) == 4:
                changes = [key[0] + (key[1:] != shape[2:]) for key in before]
                keys[name] = (max(changes, default=0), *shape[2:])
            elif before:
                keys[name] = max(before)
    return keys


def _depth(network: Network, convolutions: frozenset[str]) -> tuple[int, frozenset[str]]:
    """How many of these convolutions lie on the longest path, and which lie on one of that length."""
    above: dict[str, int] = {}
    for node in network.nodes:
        here = max((above.get(name, 0) for name in network.values_read(node)), default=0)
        above.update((name, here + (name in convolutions)) for name in node.output)
    below: dict[str, int] = {}  # of what reads the tensor
    for node in reversed(network.nodes):
        here = max((below.get(name, 0) + (name in convolutions) for name in node.output), default=0)
        for name in network.values_read(node):
            below[name] = max(below.get(name, 0), here)
    depth = max(above[name] for name in convolutions)
    longest = {name for name in convolutions if above[name] + below.get(name, 0) == depth}
    return depth, frozenset(longest)


def _find_blocks(network: Network, keys: Mapping[str, Key]) -> list[Block]:
    dominators = _dominators(network)
    found: dict[frozenset[str], Block] = {}
    for node in network.nodes:
        output = node.output[0]
        if output not in keys or output in network.outputs or len(network.shapes.get(output, ())) != 4:
            continue
        block = _block_before(network, keys, dominators, output)
        if block is None:
            continue
        rival = found.get(block.convolutions)
        if rival is None or _ends_better(network, block, rival):
            found[block.convolutions] = block
    return list(found.values())


def _block_before(
    network: Network, keys: Mapping[str, Key], dominators: Mapping[str, str], output: str
) -> Block | None:
    """The smallest block with this output."""
    source = dominators.get(output)
    while source is not None and keys.get(source) == keys[output]:
        between = _between(network, source, output)
        if between is None:
            return None
        convolutions = [node.output[0] for node in between if node.op_type == "Conv"]
        own = {name for name in convolutions if keys.get(name) == keys[output]}
        if convolutions:
            others = set(convolutions) - own
            fits = network.shapes.get(source) == network.shapes[output]
            single = all(network.shapes.get(name, ())[2:] == (1, 1) for name in others)
            return Block(source, output, frozenset(own), len(between)) if own and fits and single else None
        source = dominators.get(source)
    return None


def _ends_better(network: Network, block: Block, rival: Block) -> bool:
    """Of two with the same convolutions: the one with the whole of a residual, rather than its branch alone;
    the one that ends as it begins, behind the same op; the larger one.
    """

    def rank(candidate: Block) -> tuple[bool, bool, int]:
        before = network.makers.get(candidate.input)
        alike = before is not None and before.op_type == network.makers[candidate.output].op_type
        return _reads_alone(network, candidate), alike, candidate.nodes

    return rank(block) > rank(rival)


def _reads_alone(network: Network, block: Block) -> bool:
    """Whether nothing but the block reads its input."""
    inside = {node.output[0] for node in _between(network, block.input, block.output) or ()}
    return all(reader.output[0] in inside for reader in network.readers[block.input])


def _between(network: Network, source: str, output: str) -> list[NodeProto] | None:
    """The nodes on the way from one tensor to another that it dominates; None where others read of them."""
    nodes: dict[str, NodeProto] = {}
    waiting = [output]
    while waiting:
        node = network.makers[waiting.pop()]
        if node.output[0] not in nodes:
            nodes[node.output[0]] = node
            waiting += [name for name in network.values_read(node) if name != source]
    inside = {name for node in nodes.values() for name in node.output if name != output}
    read = (reader for name in inside for reader in network.readers.get(name, []))
    closed = inside.isdisjoint(network.outputs) and all(reader.output[0] in nodes for reader in read)
    return list(nodes.values()) if closed else None


def _read_only_through(network: Network, tensor: str) -> set[str]:
    """The tensors that reach the network's outputs only through this one, itself among them."""
    only = {tensor}
    for node in reversed(network.nodes):
        others = [name for name in node.output if name not in only]
        readers = [reader for name in others for reader in network.readers.get(name, [])]
        leads_on = bool(readers) or not only.isdisjoint(node.output)
        ends = not network.outputs.isdisjoint(others)
        if leads_on and not ends and all(reader.output[0] in only for reader in readers):
            only.update(node.output)
    return only


def _dominators(network: Network) -> dict[str, str]:
    """Tensor -> the nearest one that every path to it from the network's inputs passes; inputs have none.

    In a graph without cycles that is the nearest common ancestor, in the tree built so far, of what it is
    computed from (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm, 2001).
    """
    parent: dict[str, str] = {}
    rank: dict[str, int] = {}
    for node in network.nodes:
        read = network.values_read(node)
        common: str | None = read[0] if read else None
        for name in read[1:]:
            other: str | None = name
            while common != other:
                if common is None or other is None:
                    common = other = None
                elif rank.get(common, 0) > rank.get(other, 0):
                    common = parent.get(common)
                else:
                    other = parent.get(other)
        for name in node.output:
            if common is not None:
                parent[name] = common
            rank[name] = rank.get(common, 0) + 1 if common is not None else 0
    return parent
