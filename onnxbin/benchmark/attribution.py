"""Which layer of a file a node that ONNX Runtime ran belongs to.

The runtime fuses and renames: a Conv with the activation behind it becomes one node, called after the node or
after its output, with something appended. So, before a model is loaded, every node and every output gets a
label, @number@, which survives in whatever name comes out (`labelled`). Then (`Attribution`):

1. A node that ran belongs to the node of the file whose label it bears. What has none (reordering of memory,
   say) the runtime put in.
2. A layer is a convolution and the activation and normalization behind it, whether fused or not: only so can
   layers be compared across runtimes. A node of that kind belongs to the convolution that its inputs lead
   back to, if they all lead to the same.
3. Where a runtime leaves a convolution without a name (int8 ones in ONNX Runtime 1.17), there is no telling
   which it is: neither it nor its activation is given to a layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto

from onnxbin.large import around
from onnxbin.operator.function import DOMAIN
from onnxbin.operator.qlinear import OPS

_BEHIND = {
    "BatchNormalization", "Clip", "DequantizeLinear", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu",
    "Mish", "Mul", "PRelu", "QuantizeLinear", "Relu", "Selu", "Sigmoid", "Softplus", "Tanh", *OPS,
}  # fmt: skip
"""Ops of rule 2; Mul is in x * sigmoid(x), quantization is what int8 models have in between."""


def labelled(proto: ModelProto, inlined: bool) -> ModelProto:
    """A copy whose nodes, and the outputs of these, bear the label of the node.

    inlined: with functions in place of the nodes that call them. A runtime without our library would do that
    itself, but leaves the nodes without names, and the label is lost where it fuses them.
    """
    model = ModelProto()
    model.CopyFrom(proto)
    del model.graph.value_info[:], model.graph.quantization_annotation[:]
    names: dict[str, str] = {}
    for number, node in enumerate(model.graph.node):
        node.name = f"@{number}@"
        for position, output in enumerate(node.output):
            if output:
                names[output] = f"@{number}@{position}"
    _rename(model.graph, names)
    if inlined:
        model = around(onnx.inliner.inline_local_functions, model)
        for node in model.graph.node:
            if node.output and node.output[0].startswith("@"):
                node.name = node.output[0]
    return model


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors wherever they are written and read; the graphs inside nodes see those around them."""
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                _rename(inner, names)
    for value in graph.output:
        value.name = names.get(value.name, value.name)


class Attribution:
    """The layers of one file, and which of them each node that ran belongs to.

    binary: the names of the layers that are operators of ours.
    """

    def __init__(self, proto: ModelProto) -> None:
        self._nodes = list(proto.graph.node)
        self._producers = {name: n for n, node in enumerate(self._nodes) for name in node.output if name}
        self._layers = {
            number: _folded_name(node, proto)
            for number, node in enumerate(self._nodes)
            if node.domain == DOMAIN or node.op_type in ("Conv", "ConvTranspose")
        }
        self.binary = frozenset(
            name for number, name in self._layers.items() if self._nodes[number].domain == DOMAIN
        )

    def layers(self, ops: Mapping[str, str]) -> dict[str, str | None]:
        """Name of each node that ran -> the name of its layer, None where it belongs to none.

        ops: name of each node that ran -> its type there, in the order in which they ran. A convolution is
        whatever has "Conv" in its type: Conv, FusedConv, QLinearConv, BinaryConvSign.
        """
        labels = {name: re.search(r"@(\d+)@", name) for name in ops}
        found = {name: self._convolution(int(label[1])) if label else None for name, label in labels.items()}
        ran = {found[name] for name, op in ops.items() if "Conv" in op}
        return {
            name: self._layers[number] if number is not None and number in ran else None
            for name, number in found.items()
        }

    def _convolution(self, start: int) -> int | None:
        """The number of the convolution of rule 2, given that of a node."""
        convolutions: set[int] = set()
        seen = {start}
        waiting = [start]
        while waiting:
            number = waiting.pop()
            node = self._nodes[number]
            if number in self._layers:
                convolutions.add(number)
            elif node.op_type in _BEHIND:
                before = {self._producers[name] for name in node.input if name in self._producers} - seen
                waiting.extend(before)
                seen |= before
            elif node.op_type != "Constant":
                return None
        return convolutions.pop() if len(convolutions) == 1 else None


def _folded_name(node: NodeProto, proto: ModelProto) -> str:
    """The name that a layer has in a compressed model too, where batch norms are folded into it."""
    # A convolution may be called what its output is called: that name stays, too.
    if node.name and [other.name for other in proto.graph.node].count(node.name) == 1:
        return node.name
    output: str = node.output[0]
    readers = [other for other in proto.graph.node if output in other.input]
    if len(readers) == 1 and readers[0].op_type == "BatchNormalization":
        output = readers[0].output[0]
    return output
