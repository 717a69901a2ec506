"""A prepared model's graph as reshaping reads it: shapes, constants, who makes and who reads a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto

from onnxbin.errors import OnnxbinError
from onnxbin.layers import names_read
from onnxbin.shapes import with_input_size
from onnxbin.surgery import layer_names

Array = npt.NDArray[np.float32]
Shape = tuple[int, ...]


class Network:
    """The main graph of a prepared model (see onnxbin.prepare), for one image of a fixed size.

    proto: the model, not changed. shapes: tensor -> its sizes, where shape inference knows them all.
    readers: tensor -> the nodes that read it, subgraphs included. outputs: the graph's.
    size: height and width, for models that leave them open; OnnxbinError where they are needed.
    """

    def __init__(self, proto: ModelProto, size: tuple[int, int] | None = None) -> None:
        self.proto = proto
        self.size = size
        self.shapes = _shapes(proto, size)
        self.outputs = {output.name for output in proto.graph.output}
        self.readers: dict[str, list[NodeProto]] = {}
        self.makers: dict[str, NodeProto] = {}
        self._reads: dict[str, list[str]] = {}
        for node in proto.graph.node:
            self._reads[node.output[0]] = _reads(node)
            for name in _reads(node):
                self.readers.setdefault(name, []).append(node)
            self.makers.update((name, node) for name in node.output if name)
        self._names = layer_names(proto)
        self._stored = {tensor.name: tensor for tensor in proto.graph.initializer}
        for node in proto.graph.node:
            if node.op_type == "Constant" and node.attribute[0].HasField("t"):
                self._stored[node.output[0]] = node.attribute[0].t

    @property
    def nodes(self) -> Sequence[NodeProto]:
        """In topological order."""
        nodes: Sequence[NodeProto] = self.proto.graph.node
        return nodes

    def name_of(self, node: NodeProto) -> str:
        """What onnxbin calls a node."""
        return self._names[node.output[0]]

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is stored in the model."""
        return name in self._stored

    def constant(self, name: str) -> npt.NDArray[Any]:
        """The value of a stored tensor."""
        value: npt.NDArray[Any] = onnx.numpy_helper.to_array(self._stored[name])
        return value

    def values_read(self, node: NodeProto) -> list[str]:
        """The tensors that a node reads, in its subgraphs too, other than stored ones."""
        return [name for name in self._reads[node.output[0]] if name not in self._stored]


def _reads(node: NodeProto) -> list[str]:
    inner = [g for a in node.attribute for g in ([a.g] if a.HasField("g") else a.graphs)]
    captured = [name for graph in inner for name in names_read(graph)]
    return [name for name in dict.fromkeys([*node.input, *captured]) if name]


def _shapes(proto: ModelProto, size: tuple[int, int] | None) -> dict[str, Shape]:
    try:
        inferred = onnx.shape_inference.infer_shapes(with_input_size(proto, size), data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise OnnxbinError(f"the shapes of the model's tensors cannot be inferred: {error}") from None
    shapes = {}
    for value in [*inferred.input, *inferred.value_info, *inferred.output]:
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return shapes


def attributes(node: NodeProto) -> dict[str, Any]:
    """A node's attributes by name."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
