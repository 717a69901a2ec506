"""Where a graph can be compared or trained up to: the last tensors that depend on weights in a usable way.

A detector may end in non-maximum suppression, a selection, or control flow. What to compare of two networks
are then the last tensors before that: walking back from the graph's outputs, the first ones whose values
depend on weights through usable nodes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from onnxbin.errors import OnnxbinError
from onnxbin.operator.function import DOMAIN

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)

WEIGHT_INPUTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
}
"""The inputs of each op that hold weights. All other constants (anchors, statistics) stay as they are."""

_SELECTING = {
    "ArgMax", "ArgMin", "Compress", "If", "Loop", "MaxRoiPool", "NonMaxSuppression", "NonZero", "RoiAlign",
    "Scan", "StringNormalizer", "TopK", "Unique",
}  # fmt: skip
"""Ops whose outputs are chosen, ordered or sized by values: two networks' cannot be subtracted."""

_DISCRETE = {
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Not",
    "And",
    "Or",
    "IsNaN",
    "IsInf",
}


def compared_tensors(model: ModelProto) -> list[str]:
    """The float tensors in which a compressed network is compared with its original; mostly the outputs."""
    return last_tensors(model, lambda node: node.op_type not in _SELECTING | _DISCRETE)


def last_tensors(model: ModelProto, usable: Callable[[NodeProto], bool]) -> list[str]:
    """Walking back from the outputs, the first tensors that weights reach through usable nodes alone.

    The graph outputs themselves where they all qualify. Raises OnnxbinError where nothing does.
    """
    graph = model.graph
    producer = {name: node for node in graph.node for name in node.output if name}
    reached = _reached(graph.node, usable)
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [output.name for output in reversed(graph.output)]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in producer:
            continue
        seen.add(name)
        if name in reached:
            found[name] = None
        else:
            waiting.extend(reversed(_value_inputs(producer[name])))
    if not found:
        raise OnnxbinError(
            "no output of the model depends on weights in a way that two networks can be compared"
        )
    return list(found)


def _reached(nodes: Sequence[NodeProto], usable: Callable[[NodeProto], bool]) -> set[str]:
    """The tensors that weights reach through usable nodes alone. Nodes come in order."""
    reached: set[str] = set()
    blocked: set[str] = set()  # depends on weights, but through something unusable
    for node in nodes:
        inputs = _value_inputs(node)
        slots = WEIGHT_INPUTS.get(node.op_type, ())
        has_weights = node.domain == DOMAIN or any(slot < len(node.input) for slot in slots)
        if not has_weights and reached.isdisjoint(inputs) and blocked.isdisjoint(inputs):
            continue
        passes = usable(node) and _keeps_floats(node) and blocked.isdisjoint(inputs)
        (reached if passes else blocked).update(node.output)
    return reached


def _value_inputs(node: NodeProto) -> list[str]:
    """The inputs whose values flow into the outputs, not those that are only measured or only choose."""
    if node.op_type in ("Shape", "Size"):
        return []
    inputs = node.input[1:] if node.op_type == "Where" else node.input
    captured = [
        name for attribute in node.attribute for inner in attribute.g.node for name in inner.input
    ]  # a branch of If or the body of Loop reads tensors of the graph around it
    return [name for name in (*inputs, *captured) if name]


def _keeps_floats(node: NodeProto) -> bool:
    return node.op_type != "Cast" or onnx.helper.get_node_attr_value(node, "to") in FLOATS
