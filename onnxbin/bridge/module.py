"""An ONNX graph as a PyTorch module: an interpreter with trainable weights.

The graph stays the program: `GraphModule` runs its nodes in order with the functions of `bridge/ops`. Nothing
is translated that would have to be translated back: a parameter is an initializer under another name, and
what training made of it is written back under its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import AttributeProto, GraphProto, NodeProto
from torch import Tensor, nn

from onnxbin.bridge import ops, subgraph
from onnxbin.bridge.binary import BinaryConv2d
from onnxbin.bridge.tensors import is_numeric, single_precision, to_tensor
from onnxbin.bridge.upgrade import upgrade
from onnxbin.cut import WEIGHT_INPUTS
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.operator import DOMAIN, BinaryWeight, QuantInput, Quantizer, SignInput
from onnxbin.surgery import BinaryLayer, layer_names


@dataclass(frozen=True)
class _Node:
    """One node, ready to run. `run` is None where the op is not supported."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[..., Any] | None
    attributes: dict[str, Any] = field(default_factory=dict)
    reads: Collection[int] = ()  # inputs whose values go into Python


@dataclass(frozen=True)
class _Step:
    """A node in a plan, with the tensors that nothing later needs."""

    node: _Node
    done_with: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """What to run for a set of tensors: the constants and graph inputs to start from, then the steps."""

    constants: tuple[str, ...]
    inputs: tuple[str, ...]
    steps: tuple[_Step, ...]


class GraphModule(nn.Module):
    """The graph of an ONNX model, differentiable and trainable.

    model: any opset; it is not changed. 16-bit floats compute in float32.
    outputs: names of the tensors to compute, by default the graph's outputs. Only what they need is run, so a
    graph whose tail is not supported can be run up to there (`onnxbin.bridge.targets` says up to where).

    The initializers in weight slots (`WEIGHT_INPUTS`) and the parts of binary layers are parameters, all
    other constants buffers. Raises OnnxbinError where a needed op is not supported.
    """

    def __init__(self, model: onnx.ModelProto, outputs: Sequence[str] | None = None) -> None:
        super().__init__()
        upgraded = upgrade(model)
        graph = upgraded.graph
        self._stored_as: dict[str, str] = {}  # tensor name -> attribute name: PyTorch forbids "." in one
        self._add_constants(graph, trainable=_constant_names(model.graph))
        self._graph_inputs = {i.name: i for i in graph.input if i.name not in self._stored_as}
        self.layers = nn.ModuleList()
        self._nodes = self._build_nodes(upgraded, layer_names(model))
        self.outputs = tuple(outputs if outputs is not None else (o.name for o in graph.output))
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._plan(self.outputs)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The graph inputs that the outputs depend on."""
        return self._plan(self.outputs).inputs

    def forward(self, inputs: Mapping[str, Tensor], also: Collection[str] = ()) -> dict[str, Tensor]:
        """The outputs by name, and the intermediate tensors named in `also`.

        inputs: a tensor for each of `input_names`. Raises OnnxbinError where one is missing, and where a node
        cannot run on what it gets.
        """
        wanted = tuple(dict.fromkeys((*self.outputs, *also)))
        plan = self._plan(wanted)
        values: dict[str, Any] = {name: getattr(self, self._stored_as[name]) for name in plan.constants}
        for name in plan.inputs:
            if name not in inputs:
                raise OnnxbinError(f"input {name!r} is missing: the graph needs {list(plan.inputs)}")
            values[name] = single_precision(inputs[name])
        for step in plan.steps:
            node = step.node
            arguments = [_value(values, name) if name else None for name in node.inputs]
            arguments = _on_one_device(arguments, node.reads)
            try:
                result = node.run(*arguments)  # type: ignore[misc]
            except Exception as error:  # whatever an op raises: the message names the node
                raise OnnxbinError(f"{_title(node)} cannot run: {first_line(error)}") from error
            results = result if isinstance(result, tuple) else (result,)
            values.update(zip(node.outputs, results, strict=False))
            for name in step.done_with:
                values.pop(name, None)
        return {name: _value(values, name) for name in wanted}

    def initializers(self) -> dict[str, npt.NDArray[Any]]:
        """The current value of every trained initializer, by its name in the ONNX graph."""
        return {
            name: getattr(self, stored).detach().cpu().numpy().copy()
            for name, stored in self._stored_as.items()
            if stored in self._parameters
        }

    def initializer(self, name: str) -> npt.NDArray[Any]:
        """The current value of one constant, by its name in the ONNX graph."""
        value: Tensor = getattr(self, self._stored_as[name])
        return value.detach().cpu().numpy().copy()

    def load_initializers(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Set constants (trained ones or others, such as statistics) by their names in the ONNX graph."""
        for name, value in values.items():
            if name not in self._stored_as:
                raise OnnxbinError(f"the graph has no initializer {name!r}")
            stored: Tensor = getattr(self, self._stored_as[name])
            if tuple(stored.shape) != value.shape:
                raise OnnxbinError(
                    f"initializer {name!r} has shape {list(stored.shape)}, not {list(value.shape)}"
                )
            with torch.no_grad():
                stored.copy_(torch.from_numpy(np.array(value)))

    def freeze(self, names: Iterable[str]) -> None:
        """Keep the initializers of these names as they are in training."""
        for name in names:
            getattr(self, self._stored_as[name]).requires_grad_(False)

    def binarize(self, layer: str, weight: BinaryWeight) -> None:
        """Replace a Conv by a `BinaryConv2d` that starts from this binary weight and the Conv's own bias.

        layer: the node's name, or its output's where the name is empty or not unique. A weight that no other
        node uses is no initializer of this module any more. Raises OnnxbinError where there is no such Conv,
        where its weight is computed in the graph, or where the shapes disagree.
        """
        place = next((i for i, n in enumerate(self._nodes) if n.name == layer and n.op == "Conv"), None)
        if place is None:
            raise OnnxbinError(f"the graph has no Conv {layer!r}")
        node = self._nodes[place]
        constants = [self._constant(name) for name in node.inputs[1:] if name]
        if any(constant is None for constant in constants):
            raise OnnxbinError(f"{_title(node)}: its weight is computed in the graph, not stored")
        real, bias = constants[0], constants[1] if len(constants) > 1 else None
        assert real is not None
        if tuple(real.shape) != weight.shape:
            shapes = f"{list(real.shape)}, the binary one {list(weight.shape)}"
            raise OnnxbinError(f"{_title(node)}: its weight has shape {shapes}")
        if bias is None:
            bias = torch.zeros(len(real))
        module = BinaryConv2d(
            weight, bias.detach().cpu().numpy(), real=real.detach().cpu(), **node.attributes
        ).to(real.device)
        self.layers.append(module)
        self._nodes[place] = replace(node, op="BinaryConv", inputs=node.inputs[:1], run=module)
        self._plans.clear()
        self._drop_unused(node.inputs[1:])

    def binary_layers(self) -> dict[str, BinaryLayer]:
        """What each binary layer computes now, by its name, in the order of the graph."""
        return {node.name: node.run.layer() for node in self._nodes if isinstance(node.run, BinaryConv2d)}

    def binary_outputs(self) -> list[str]:
        """The output tensors of the binary layers, in the order of the graph."""
        return [node.outputs[0] for node in self._nodes if isinstance(node.run, BinaryConv2d)]

    def binary_layer(self, name: str) -> BinaryConv2d:
        """The module of a binary layer."""
        return next(
            node.run for node in self._nodes if node.name == name and isinstance(node.run, BinaryConv2d)
        )

    # Construction

    def _add_constants(self, graph: GraphProto, trainable: Collection[str]) -> None:
        """Weights become parameters, other real constants buffers.

        Integers, and what is only read into Python, are neither: they stay on the CPU, where shapes are.
        """
        uses = [
            (name, known is not None and place in known.reads)
            for node in graph.node
            for known in [ops.find(node.op_type)]
            for place, name in enumerate(node.input)
        ]
        computed_with = {name for name, read in uses if not read}
        weights = {
            node.input[slot]
            for node in graph.node
            for slot in WEIGHT_INPUTS.get(node.op_type, ())
            if node.domain in ("", "ai.onnx") and slot < len(node.input)
        } & set(trainable)
        for name, value in _constants(graph):
            stored = f"constant_{len(self._stored_as)}"
            self._stored_as[name] = stored
            if name in weights and value.is_floating_point():
                self.register_parameter(stored, nn.Parameter(value))
            elif name in computed_with and value.is_floating_point():
                self.register_buffer(stored, value)
            else:
                setattr(self, stored, value)

    def _constant(self, name: str) -> Tensor | None:
        return getattr(self, self._stored_as[name]) if name in self._stored_as else None

    def _build_nodes(self, model: onnx.ModelProto, names: Mapping[str, str]) -> list[_Node]:
        nodes = []
        for proto in model.graph.node:
            if proto.op_type == "Constant":
                continue
            name = names.get(proto.output[0]) or proto.name or next(filter(None, proto.output), "")
            node = _Node(name, proto.op_type, tuple(proto.input), tuple(proto.output), None)
            if proto.domain == DOMAIN:
                module = self._binary_module(node, _attributes(proto))
                self.layers.append(module)
                node = replace(node, inputs=node.inputs[:1], run=module)
            elif proto.domain in ("", "ai.onnx") and (known := ops.find(proto.op_type)):
                attributes = _attributes(proto)
                if known.counts_outputs:
                    attributes["outputs"] = len(proto.output)
                run = partial(known.function, **attributes)
                node = replace(node, run=run, attributes=attributes, reads=known.reads)
                if graphs := subgraph.bodies(proto):
                    node = self._with_bodies(node, graphs, model.opset_import)
            nodes.append(node)
        return nodes

    def _with_bodies(self, node: _Node, graphs: Mapping[str, GraphProto], opsets: Any) -> _Node:
        """The node with modules for the graphs inside of it, or not supported where one of them is not.

        Nothing in them trains: a name in there is not one that weights can be written back by.
        """
        try:
            modules = {
                name: GraphModule(subgraph.as_model(body, opsets)).requires_grad_(False)
                for name, body in graphs.items()
            }
        except OnnxbinError:
            return replace(node, run=None)
        self.layers.extend(modules.values())
        captured = tuple(dict.fromkeys(name for body in graphs.values() for name in subgraph.captured(body)))
        assert node.run is not None
        bodies = {
            name: subgraph.Body(module, tuple(value.name for value in graphs[name].input), module.outputs)
            for name, module in modules.items()
        }
        run = subgraph.WithBodies(node.run, bodies, captured)
        return replace(node, inputs=(*node.inputs, *captured), run=run)

    def _binary_module(self, node: _Node, attributes: dict[str, Any]) -> BinaryConv2d:
        constants = [self._constant(name) for name in node.inputs[1:]]
        if any(constant is None for constant in constants):
            raise OnnxbinError(
                f"{_title(node)}: W, scale, bias and the quantiser's inputs must be initializers"
            )
        arrays = [constant.numpy() for constant in constants if constant is not None]
        quantizer: Quantizer = None
        if node.op == "BinaryConvSign":
            quantizer = SignInput(arrays[3], arrays[4])
        elif node.op == "BinaryConvQuant":
            quantizer = QuantInput(arrays[3], arrays[4], attributes.pop("x_bits"))
        weight = BinaryWeight.from_packed(arrays[0], arrays[1], tuple(attributes.pop("weight_shape")))
        return BinaryConv2d(weight, arrays[2], quantizer=quantizer, **attributes)

    def _drop_unused(self, candidates: Iterable[str]) -> None:
        used = {name for node in self._nodes for name in node.inputs}
        for name in set(candidates) - used - set(self.outputs):
            delattr(self, self._stored_as.pop(name))

    # Planning

    def _plan(self, wanted: tuple[str, ...]) -> _Plan:
        """The nodes that the wanted tensors need, in order, with each tensor's last use."""
        if wanted in self._plans:
            return self._plans[wanted]
        needed, chosen = set(wanted), []
        for node in reversed(self._nodes):
            if needed.isdisjoint(node.outputs):
                continue
            if node.run is None:
                raise OnnxbinError(
                    f"{_title(node)} is not supported in fine-tuning: choose outputs before it"
                )
            chosen.append(node)
            needed.update(i for i in node.inputs if i)
        chosen.reverse()

        made = {name for node in chosen for name in node.outputs}
        unknown = needed - made - self._stored_as.keys() - self._graph_inputs.keys()
        if unknown:
            raise OnnxbinError(f"the graph has no tensor {min(unknown)!r}, or it is not numeric")
        last_use = {name: i for i, node in enumerate(chosen) for name in (*node.outputs, *node.inputs)}
        done: list[list[str]] = [[] for _ in chosen]
        for name, i in last_use.items():
            if name not in wanted:
                done[i].append(name)
        self._plans[wanted] = _Plan(
            constants=tuple(name for name in self._stored_as if name in needed),
            inputs=tuple(name for name in self._graph_inputs if name in needed),
            steps=tuple(_Step(node, tuple(names)) for node, names in zip(chosen, done, strict=True)),
        )
        return self._plans[wanted]


_CONSTANT_TYPES = {
    "value_float": torch.float32,
    "value_floats": torch.float32,
    "value_int": torch.int64,
    "value_ints": torch.int64,
}


def _constants(graph: GraphProto) -> list[tuple[str, Tensor]]:
    """Initializers and the outputs of Constant nodes, except texts and the like, which no op here reads."""
    found = [(tensor.name, to_tensor(tensor)) for tensor in graph.initializer if is_numeric(tensor)]
    for node in graph.node:
        if node.op_type == "Constant":
            (attribute,) = node.attribute
            if attribute.name == "value" and is_numeric(attribute.t):
                found.append((node.output[0], to_tensor(attribute.t)))
            elif attribute.name in _CONSTANT_TYPES:
                value = onnx.helper.get_attribute_value(attribute)
                found.append((node.output[0], torch.tensor(value, dtype=_CONSTANT_TYPES[attribute.name])))
    return found


def _constant_names(graph: GraphProto) -> set[str]:
    """The constants that training may write back: those that the user's own graph names."""
    return {tensor.name for tensor in graph.initializer} | {
        node.output[0] for node in graph.node if node.op_type == "Constant"
    }


def _attributes(node: NodeProto) -> dict[str, Any]:
    """A node's attributes as the functions of the op table take them; graphs come another way, types not."""
    return {
        attribute.name: _attribute_value(attribute)
        for attribute in node.attribute
        if attribute.type not in (AttributeProto.GRAPH, AttributeProto.TYPE_PROTO)
    }


def _attribute_value(attribute: AttributeProto) -> Any:
    if attribute.type == AttributeProto.TENSOR:
        return to_tensor(attribute.t)
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (int, float)):
        return value
    return [item.decode() if isinstance(item, bytes) else item for item in value]


def _value(values: Mapping[str, Any], name: str) -> Any:
    try:
        return values[name]
    except KeyError:  # such as the indices of MaxPool, or the mean of LayerNormalization
        raise OnnxbinError(
            f"tensor {name!r} is an optional output that fine-tuning does not provide"
        ) from None


def _on_one_device(arguments: list[Any], reads: Collection[int]) -> list[Any]:
    """The arguments, all on the accelerator if one of them is; those that Python reads stay put."""
    moved = [x for place, x in enumerate(arguments) if isinstance(x, Tensor) and place not in reads]
    device = next((x.device for x in moved if x.device.type != "cpu"), None)
    if device is None:
        return arguments
    return [
        x.to(device) if isinstance(x, Tensor) and place not in reads else x
        for place, x in enumerate(arguments)
    ]


def _title(node: _Node) -> str:
    return f"node {node.name!r} ({node.op})"
