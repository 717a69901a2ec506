"""Graphs inside of nodes: the branches of If, the bodies of Loop and Scan.

Such a body reads tensors of the graph around it by name. They become further inputs of its node, behind the
node's own, so that the order of execution and the life of tensors know of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto


@dataclass(frozen=True)
class Body:
    """One graph inside of a node, ready to run.

    run: a dict of tensors by name -> a dict of the outputs by name.
    inputs, outputs: their names, in order.
    """

    run: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __call__(self, around: Mapping[str, Any], *values: Any) -> tuple[Any, ...]:
        """The outputs for these inputs, and tensors of the graph around it by name."""
        found = self.run({**around, **dict(zip(self.inputs, values, strict=True))})
        return tuple(found[name] for name in self.outputs)


@dataclass(frozen=True)
class WithBodies:
    """A function of the op table that has bodies for attributes.

    captured: the tensors that the bodies read from around the node, which are inputs behind the node's own.
    """

    function: Callable[..., Any]
    bodies: Mapping[str, Body]
    captured: tuple[str, ...]

    def __call__(self, *arguments: Any) -> Any:
        """The function's result; arguments: the node's own inputs, then the captured ones."""
        own = len(arguments) - len(self.captured)
        around = dict(zip(self.captured, arguments[own:], strict=True))
        return self.function(
            *arguments[:own], **{name: partial(body, around) for name, body in self.bodies.items()}
        )


def bodies(node: NodeProto) -> dict[str, GraphProto]:
    """The graphs inside of a node, by the name of the attribute."""
    return {attribute.name: attribute.g for attribute in node.attribute if attribute.HasField("g")}


def captured(graph: GraphProto) -> tuple[str, ...]:
    """The tensors that a graph, or one inside of it, reads from around it."""
    known = {"", *(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    known.update(name for node in graph.node for name in node.output)
    read: dict[str, None] = {}
    for node in graph.node:
        read.update(dict.fromkeys(node.input))
        for body in bodies(node).values():
            read.update(dict.fromkeys(captured(body)))
    read.update((value.name, None) for value in graph.output)
    return tuple(name for name in read if name not in known)


def as_model(graph: GraphProto, opsets: Iterable[OperatorSetIdProto]) -> ModelProto:
    """A model of a body alone: what it reads from around it are inputs like its own."""
    model = ModelProto(ir_version=10, opset_import=opsets)
    model.graph.CopyFrom(graph)
    model.graph.input.extend(ValueInfoProto(name=name) for name in captured(graph))
    return model
