"""What recognition looks at: the outline of a model, from its image input to the shapes of its outputs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from onnxbin.images.model_input import ImageInput
from onnxbin.operator.function import PARTS
from onnxbin.operator.qlinear import OPS


class Outline:
    """The input, outputs and operators of a model.

    size: as for ImageInput.of. output_shapes: what the outputs measured in a run, for a model that leaves
    their shapes open; an axis that stays open counts as 0.
    Raises OnnxbinError where ImageInput.of does.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        size: tuple[int, int] | None = None,
        output_shapes: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        self.input = ImageInput.of(model, size)
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        types = {node.op_type for node in model.graph.node}
        # Activations that are part of operators of ours count, too.
        parts = {PARTS[op_type][1] for op_type in types & PARTS.keys()}
        self.operators = types | parts | {OPS[op_type] for op_type in types & OPS.keys()}
        self.output_names = [value.name for value in model.graph.output]
        self.outputs: list[tuple[int, ...]] = list(output_shapes or declared_shapes(model))
        self._nodes = model.graph.node

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that computes `tensor`, None for an input."""
        return next((node for node in self._nodes if tensor in node.output), None)

    def readers(self, tensor: str) -> list[str]:
        """The types of the nodes that read `tensor`."""
        return [node.op_type for node in self._nodes if tensor in node.input]

    def cells(self) -> list[int]:
        """Cells of the feature maps at strides 8, 16 and 32."""
        return [(self.input.height // stride) * (self.input.width // stride) for stride in (8, 16, 32)]


def declared_shapes(model: onnx.ModelProto) -> list[tuple[int, ...]]:
    """The shapes of the model's outputs as the graph declares them, 0 for an open axis."""
    return [tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in model.graph.output]
