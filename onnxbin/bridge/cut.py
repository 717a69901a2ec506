"""Where a graph stops being differentiable, and so which tensors of teacher and student to compare."""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from onnxbin.bridge import ops
from onnxbin.bridge.upgrade import upgrade
from onnxbin.cut import last_tensors
from onnxbin.operator import DOMAIN


def targets(model: ModelProto) -> list[str]:
    """The names of the tensors to distil: the graph outputs where they all qualify, else the last that do.

    A tensor qualifies if trained weights reach it through supported, differentiable ops alone; a detector may
    end in non-maximum suppression, a selection, or control flow. Raises OnnxbinError where none does.
    """
    return last_tensors(upgrade(model), _differentiable)


def _differentiable(node: NodeProto) -> bool:
    if node.domain == DOMAIN:
        return True
    known = ops.find(node.op_type) if node.domain in ("", "ai.onnx") else None
    return known is not None and known.differentiable
