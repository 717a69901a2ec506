"""What a graph computes from its constants alone, computed once.

Exporters leave a weight as arithmetic on stored tensors: unpacked bits, quantised floats, a product of signs
and scales. ONNX Runtime evaluates that part of the graph here as it would at load, where that takes no more
than weights can: two stored vectors multiply to a terabyte.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, helper

from onnxbin.agreement import run
from onnxbin.large import array_of, as_message, element_bytes
from onnxbin.operator import stock_session
from onnxbin.surgery import exported, imported

LARGEST, LARGEST_TOGETHER = 2**29, 2**32
"""Bytes of one tensor that is computed here, and of all; what is larger stays as it is."""
SMALL = 2**12
"""Bytes of a tensor that may say how large others are."""

_STANDARD = ("", "ai.onnx")
_RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}


def constant_values(
    proto: ModelProto, names: Iterable[str], ops: Collection[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The values of those of the named tensors that depend on nothing but constants, and are not too large.

    ops: go through nodes of these ops only; None: through all whose result is always the same.
    """
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    values = {name: array_of(stored[name]) for name in set(names) & stored.keys()}
    producers = _constant_producers(proto, set(stored), ops)
    wanted = set(names) & producers.keys()
    if wanted:
        too_large = _too_large(_part_of(proto, sorted(wanted), producers))
        producers = _constant_producers(proto, set(stored), ops, too_large)
    computed = sorted(wanted & producers.keys())
    if computed:
        part = _part_of(proto, computed, producers)
        results = run(stock_session(part), computed, {})
        values |= {name: np.asarray(result) for name, result in zip(computed, results, strict=True)}
    return values


def with_stored_weights(proto: ModelProto, ops: Collection[str] | None = None) -> ModelProto:
    """The model with the parameters of Convs and batch normalizations stored, where `ops` compute them.

    ops: see `constant_values`. A Conv whose weight becomes stored also states its kernel's shape, which
    OpenCV 4 asks for.
    """
    readers = [node for node in proto.graph.node if _is_conv(node) or _is_norm(node)]
    stored = {tensor.name for tensor in proto.graph.initializer}
    values = constant_values(proto, {name for node in readers for name in node.input[1:]} - stored, ops)
    if not values:
        return proto
    model = ModelProto()
    model.CopyFrom(proto)
    kept = [node for node in proto.graph.node if not values.keys() & set(node.output)]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    for node in model.graph.node:
        if _is_conv(node) and node.input[1] in values and not _has(node, "kernel_shape"):
            node.attribute.append(helper.make_attribute("kernel_shape", values[node.input[1]].shape[2:]))
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in sorted(values.items())
    )
    graph = imported(model)
    graph.cleanup(remove_unused_graph_inputs=False)
    return exported(graph, model)


def _is_conv(node: NodeProto) -> bool:
    return node.op_type == "Conv" and node.domain in _STANDARD


def _is_norm(node: NodeProto) -> bool:
    return node.op_type == "BatchNormalization" and node.domain in _STANDARD


def _has(node: NodeProto, attribute: str) -> bool:
    return any(a.name == attribute for a in node.attribute)


def _constant_producers(
    proto: ModelProto, constants: set[str], ops: Collection[str] | None, without: frozenset[str] = frozenset()
) -> dict[str, NodeProto]:
    """Tensor -> the node that computes it from constants alone, `without` some. Nodes come in order."""
    producers: dict[str, NodeProto] = {}
    known = {*constants, ""}
    for node in proto.graph.node:
        has_graph = any(a.HasField("g") or a.graphs for a in node.attribute)
        foreign = node.domain not in _STANDARD
        fixed = node.op_type not in _RANDOM if ops is None else node.op_type in ops
        wanted = fixed and not foreign and without.isdisjoint(node.output)
        if wanted and not has_graph and known.issuperset(node.input):
            producers.update((name, node) for name in node.output if name)
            known.update(node.output)
    return producers


def _too_large(part: ModelProto) -> frozenset[str]:
    """The tensors of a model without inputs that are not to be computed: too large, or of unknown size."""
    # The sizes of some follow from the values of others, all of them small: these first.
    stored = {tensor.name for tensor in part.graph.initializer}
    small = _constant_producers(part, stored, None, _larger_than(SMALL, part))
    if not small:
        return _larger_than(LARGEST, part)
    names = sorted(small)
    values = run(stock_session(_part_of(part, names, small)), names, {})
    rest = ModelProto()
    rest.CopyFrom(part)
    del rest.graph.node[:]
    rest.graph.node.extend(node for node in part.graph.node if small.keys().isdisjoint(node.output))
    rest.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name)
        for name, value in zip(names, values, strict=True)
    )
    return _larger_than(LARGEST, rest)


def _larger_than(limit: int, part: ModelProto) -> frozenset[str]:
    inferred = onnx.shape_inference.infer_shapes(as_message(part), data_prop=True).graph
    sizes = {value.name: _bytes(value) for value in (*inferred.value_info, *inferred.output)}
    computed = [name for node in part.graph.node for name in node.output if name]
    if sum(sizes.get(name) or 0 for name in computed) > LARGEST_TOGETHER:
        return frozenset(computed)
    return frozenset(name for name in computed if (sizes.get(name) or limit + 1) > limit)


def _bytes(value: onnx.ValueInfoProto) -> int | None:
    """None where the shape is not known."""
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return element_bytes(kind.elem_type) * math.prod(int(dim.dim_value) for dim in kind.shape.dim)


def _part_of(proto: ModelProto, outputs: list[str], producers: dict[str, NodeProto]) -> ModelProto:
    """A model without inputs that computes the named tensors."""
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(producers[name].input if name in producers else ())
    nodes = [node for node in proto.graph.node if any(producers.get(name) is node for name in node.output)]
    graph = helper.make_graph(
        [node for node in nodes if needed & set(node.output)],
        "constants",
        [],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [tensor for tensor in proto.graph.initializer if tensor.name in needed],
    )
    standard = [entry for entry in proto.opset_import if entry.domain in _STANDARD]
    return helper.make_model(graph, ir_version=proto.ir_version, opset_imports=standard)
