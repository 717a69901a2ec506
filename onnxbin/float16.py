"""A float16 model in float32, but for its inputs and outputs: the operators, and their training, are float32.

ONNX Runtime computes float16 models in float32 on a CPU too, and rounds where a tensor is handed on. Here
nothing is rounded in between.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from onnxbin.large import around, array_of

_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")
"""Attributes that name the type of an output."""


def in_float32(proto: ModelProto) -> ModelProto:
    """The model itself where no Conv has float16 weights, else a copy in float32, with Casts at its ends."""
    halves = {tensor.name for tensor in proto.graph.initializer if tensor.data_type == _HALF}
    if not any(_is_conv(node) and node.input[1] in halves for node in proto.graph.node):
        return proto
    model = ModelProto()
    model.CopyFrom(around(onnx.inliner.inline_local_functions, proto) if proto.functions else proto)
    graph = model.graph
    # The ends keep their names and types; what the nodes read and write there gets new names.
    inputs, outputs = ([v.name for v in values if _is_half(v)] for values in (graph.input, graph.output))
    wide = _fresh_names(graph, [*inputs, *outputs])
    _widen(graph)
    _rename(graph, wide)
    before = [helper.make_node("Cast", [n], [wide[n]], f"{wide[n]}.cast", to=_FLOAT) for n in inputs]
    after = [helper.make_node("Cast", [wide[n]], [n], f"{wide[n]}.cast", to=_HALF) for n in outputs]
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*before, *nodes, *after])
    return model


def _is_conv(node: NodeProto) -> bool:
    return node.op_type == "Conv" and node.domain in ("", "ai.onnx")


def _is_half(value: ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == _HALF)


def _fresh_names(graph: GraphProto, names: list[str]) -> dict[str, str]:
    taken = {name for node in _nodes(graph) for name in (*node.input, *node.output)}
    fresh = {}
    for name in names:
        candidates = (
            f"{name}.float32{suffix}" for suffix in itertools.chain([""], map(str, itertools.count(2)))
        )
        fresh[name] = next(candidate for candidate in candidates if candidate not in taken)
    return fresh


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes, those of subgraphs too."""
    for node in graph.node:
        yield node
        for inner in _subgraphs(node):
            yield from _nodes(inner)


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _widen(graph: GraphProto, outermost: bool = True) -> None:
    """Every stored tensor, noted type and type attribute, in place; not the ends of the outermost graph."""
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    ends = () if outermost else (*graph.input, *graph.output)
    for value in (*graph.value_info, *ends):
        if _is_half(value):
            value.type.tensor_type.elem_type = _FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen_tensor(attribute.t)
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i == _HALF:
                attribute.i = _FLOAT
        for inner in _subgraphs(node):
            _widen(inner, outermost=False)


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == _HALF:
        values = array_of(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """What nodes read and write, in place; notes on types follow."""
    for node in _nodes(graph):
        for ports in (node.input, node.output):
            for index, name in enumerate(ports):
                ports[index] = names.get(name, name)
    for value in graph.value_info:
        value.name = names.get(value.name, value.name)
