"""Activations become part of the binary convolutions before them: one pass over memory less for each.

`fused` takes the activation, of one node or two, into the node before it where

1. the convolution's output goes there and nowhere else: no other node, subgraph or output of the model sees
   it;
2. it is one that the operators have (onnxbin.operator.activation), with bounds and slopes that are constants:

       Relu, LeakyRelu, HardSwish        as they are
       Clip                              one side may be missing: it stands for the largest float
       HardSigmoid(1/6, 1/2), then Mul   HardSwish
       Sigmoid, then Mul                 Silu

The node keeps its name and has the activation's output; `unfused` puts the nodes back.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, inliner, numpy_helper

from onnxbin.large import around
from onnxbin.layers import names_read
from onnxbin.operator import DOMAIN, Activation
from onnxbin.operator.function import PARTS
from onnxbin.surgery import layer_names, provide_functions

_LARGEST = float(np.finfo(np.float32).max)
_STANDARD = ("", "ai.onnx")


def fused(proto: ModelProto) -> ModelProto:
    """A copy of the model with activations as part of the binary convolutions before them."""
    model = ModelProto()
    model.CopyFrom(proto)
    names = layer_names(model)
    graph = Readers(model)
    gone: list[NodeProto] = []
    for node in model.graph.node:
        if node.domain != DOMAIN or PARTS.get(node.op_type, ("", "any"))[1]:
            continue
        activation, nodes = graph.activation_of(node.output[0])
        if activation is None:
            continue
        node.name = names[node.output[0]]
        node.op_type += activation.name
        node.output[0] = nodes[-1].output[0]
        node.attribute.extend(helper.make_attribute(*item) for item in activation.attributes.items())
        gone.extend(nodes)
    if gone:
        remove(model, gone)
        provide_functions(model)
    return model


def unfused(proto: ModelProto) -> ModelProto:
    """The model itself, or a copy in which activations are nodes of their own again."""
    ops = [op for op, (_, activation) in PARTS.items() if activation]
    names = layer_names(proto)
    nodes = [node for node in proto.graph.node if node.domain == DOMAIN and node.op_type in ops]
    if not nodes:
        return proto
    named = {node.input[1]: names[node.output[0]] for node in nodes}
    model = ModelProto()
    model.CopyFrom(proto)
    provide_functions(model)
    chosen = [(DOMAIN, op) for op in ops]
    inlined = around(lambda whole: inliner.inline_selected_functions(whole, chosen), model)
    for node in inlined.graph.node:
        if node.domain == DOMAIN and node.input[1] in named:
            node.name = named[node.input[1]]
    return inlined


class Readers:
    """Which nodes read a tensor of the main graph, and the values of constants."""

    def __init__(self, model: ModelProto) -> None:
        self._uses = Counter(names_read(model.graph))  # outputs and subgraphs count too
        self._readers: dict[str, list[NodeProto]] = defaultdict(list)
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            for name in node.input:
                self._readers[name].append(node)
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t

    def only_reader(self, name: str) -> NodeProto | None:
        """The node that reads a tensor, where nothing else does."""
        readers = self._readers[name]
        return readers[0] if len(readers) == self._uses[name] == 1 else None

    def activation_of(self, name: str) -> tuple[Activation | None, list[NodeProto]]:
        """The activation that a tensor goes through and nowhere else, and its nodes."""
        readers = self._readers[name]
        if len(readers) != self._uses[name] or any(node.domain not in _STANDARD for node in readers):
            return None, []
        if len(readers) == 1:
            return self._of_one(readers[0]), readers
        gates = [node for node in readers if node.op_type in ("Sigmoid", "HardSigmoid")]
        products = [node for node in readers if node.op_type == "Mul"]
        if len(readers) != 2 or not gates or not products:
            return None, []
        gate, product = gates[0], products[0]
        if self._uses[gate.output[0]] != 1 or set(product.input) != {name, gate.output[0]}:
            return None, []
        return _of_gate(gate), [gate, product]

    def _of_one(self, node: NodeProto) -> Activation | None:
        if node.op_type in ("Relu", "HardSwish"):
            return Activation(node.op_type)
        if node.op_type == "LeakyRelu":
            return _checked("LeakyRelu", alpha=_attributes(node).get("alpha", 0.01))
        if node.op_type == "Clip":
            low, high = (self._scalar(node, slot) for slot in (1, 2))
            if low is not None and high is not None:
                return _checked("Clip", min=max(low, -_LARGEST), max=min(high, _LARGEST))
        return None

    def _scalar(self, node: NodeProto, slot: int) -> float | None:
        """A bound of Clip: infinite where there is none, None where it is no constant."""
        if slot >= len(node.input) or not node.input[slot]:
            return math.inf if slot == 2 else -math.inf
        tensor = self._constants.get(node.input[slot])
        if tensor is None or math.prod(tensor.dims) != 1:
            return None
        return float(numpy_helper.to_array(tensor).item())


def _of_gate(gate: NodeProto) -> Activation | None:
    if gate.op_type == "Sigmoid":
        return Activation("Silu")
    attributes = {"alpha": 0.2, "beta": 0.5} | _attributes(gate)
    sixth = math.isclose(attributes["alpha"], 1 / 6, rel_tol=1e-6)
    return Activation("HardSwish") if sixth and attributes["beta"] == 0.5 else None


def _checked(name: str, **attributes: float) -> Activation | None:
    """The activation, or None where no kernel takes these numbers."""
    sound = all(map(math.isfinite, attributes.values()))
    ordered = attributes.get("min", 0.0) <= attributes.get("max", math.inf)
    return Activation(name, attributes) if sound and ordered else None


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def remove(model: ModelProto, gone: list[NodeProto]) -> None:
    """Take these nodes out, and the constants and notes on shapes that were there for them alone."""
    graph = model.graph
    for node in gone:
        graph.node.remove(node)
    names = {name for node in gone for name in (*node.input, *node.output)}
    names -= {*names_read(graph), *(name for node in graph.node for name in node.output)}
    for kind in (graph.initializer, graph.value_info):
        for item in [item for item in kind if item.name in names]:
            kind.remove(item)
