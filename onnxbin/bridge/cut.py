"""Where a graph stops being differentiable, and so what to compare of teacher and student.

A detector may end in non-maximum suppression, a selection, or control flow. The tensors to distil are then
the last ones before that: walking back from the graph outputs, the first tensors whose value depends on
trained weights through supported, differentiable ops alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto, NodeProto, TensorProto

from onnxbin.bridge import ops
from onnxbin.bridge.module import TRAINED_INPUTS
from onnxbin.bridge.upgrade import upgrade
from onnxbin.errors import OnnxbinError
from onnxbin.operator import DOMAIN

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def targets(model: ModelProto) -> list[str]:
    """The names of the tensors to distil: the graph outputs where they all qualify, else the last that do.

    Raises OnnxbinError where no output depends on weights in a differentiable way.
    """
    graph = upgrade(model).graph
    producer = {name: node for node in graph.node for name in node.output if name}
    trained = _trained(graph.node)
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [output.name for output in reversed(graph.output)]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in producer:
            continue
        seen.add(name)
        if name in trained:
            found[name] = None
        else:
            waiting.extend(reversed(_value_inputs(producer[name])))
    if not found:
        raise OnnxbinError(
            "no output of the model depends on weights in a differentiable way: nothing to distil"
        )
    return list(found)


def _trained(nodes: Sequence[NodeProto]) -> set[str]:
    """The tensors that trained weights reach through differentiable ops alone. Nodes come in order."""
    trained: set[str] = set()
    blocked: set[str] = set()  # depends on weights, but not differentiably
    for node in nodes:
        inputs = _value_inputs(node)
        has_weights = node.domain == DOMAIN or any(
            s < len(node.input) for s in TRAINED_INPUTS.get(node.op_type, ())
        )
        if not has_weights and trained.isdisjoint(inputs) and blocked.isdisjoint(inputs):
            continue
        passes = _differentiable(node) and blocked.isdisjoint(inputs)
        (trained if passes else blocked).update(node.output)
    return trained


def _value_inputs(node: NodeProto) -> list[str]:
    """The inputs whose values flow into the outputs, not those that are only measured or only choose."""
    if node.op_type in ("Shape", "Size"):
        return []
    inputs = node.input[1:] if node.op_type == "Where" else node.input
    captured = [
        name for attribute in node.attribute for inner in attribute.g.node for name in inner.input
    ]  # a branch of If or the body of Loop reads tensors of the graph around it
    return [name for name in (*inputs, *captured) if name]


def _differentiable(node: NodeProto) -> bool:
    if node.domain == DOMAIN:
        return True
    known = ops.find(node.op_type) if node.domain in ("", "ai.onnx") else None
    if known is None or not known.differentiable:
        return False
    return node.op_type != "Cast" or any(a.name == "to" and a.i in _FLOATS for a in node.attribute)
