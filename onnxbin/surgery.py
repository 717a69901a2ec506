"""Graph surgery: an ONNX model into onnx-graphsurgeon, and out again with nothing lost.

graphsurgeon drops what its own data structures have no place for: metadata, doc strings, quantisation
annotations, the value_info of outputs and initializers, initializers listed as inputs, the model's own
fields, its functions. `exported` puts all of that back from the model the graph was imported from; nodes are
matched by their first output, which survives surgery on the node itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs
from onnx import ModelProto, NodeProto
from onnx.external_data_helper import uses_external_data
from onnx_graphsurgeon.ir.tensor import LazyValues
from onnx_graphsurgeon.logger import G_LOGGER

from onnxbin.errors import OnnxbinError, first_line
from onnxbin.large import array_of
from onnxbin.model import opset
from onnxbin.operator import OP_TYPES, BinaryWeight, QuantInput, Quantizer, SignInput, functions
from onnxbin.operator.function import DOMAIN, PARTS, QUANT, REAL, SIGN, VERSION

LOWEST_IR_WITH_FUNCTIONS = 8

G_LOGGER.severity = G_LOGGER.CRITICAL  # graphsurgeon writes its remarks to standard output, where JSON goes

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class BinaryLayer:
    """What replaces one Conv: weight, bias (float32 [M]) and how it sees its input (None: as it is)."""

    weight: BinaryWeight
    bias: Array
    quantizer: Quantizer = None


def imported(proto: ModelProto) -> gs.Graph:
    """The model as a graphsurgeon graph, to be edited and given to `exported`.

    Raises OnnxbinError where graphsurgeon cannot read it.
    """
    try:
        graph = gs.import_onnx(proto)
    except Exception as error:
        raise _not_editable(error) from None
    tensors = graph.tensors()
    for tensor in proto.graph.initializer:
        if uses_external_data(tensor) and tensor.name in tensors:
            tensors[tensor.name].values = _Outside(tensor)
    return graph


def _not_editable(error: Exception) -> OnnxbinError:
    """Of what graphsurgeon raises, and does not say that it does: UnicodeDecodeError, KeyError, ..."""
    return OnnxbinError(f"the model's graph cannot be edited: {type(error).__name__}: {first_line(error)}")


class _Outside(LazyValues):  # type: ignore[misc]
    """The values of a tensor in a file of external data, see onnxbin.large."""

    def load(self) -> npt.NDArray[Any]:
        """Read them."""
        return array_of(self.tensor)


def is_standard(node: gs.Node, op: str) -> bool:
    """Whether a node is this op of the standard domain; a local function may have the same name."""
    return node.op == op and node.domain in (None, "", "ai.onnx")


def exported(graph: gs.Graph, original: ModelProto) -> ModelProto:
    """The edited graph as a model, with all that graphsurgeon does not carry taken from `original`.

    Raises OnnxbinError where graphsurgeon cannot write it.
    """
    try:
        graph.toposort()
        result: ModelProto = gs.export_onnx(graph, do_type_check=False)
    except Exception as error:
        raise _not_editable(error) from None
    model = ModelProto()
    model.CopyFrom(original)
    del model.functions[:], model.opset_import[:]
    model.functions.extend(original.functions)
    model.opset_import.extend(result.opset_import)
    model.graph.CopyFrom(result.graph)
    _carry_graph_fields(original.graph, model.graph)
    return model


def _carry_graph_fields(old: onnx.GraphProto, new: onnx.GraphProto) -> None:
    if old.doc_string:
        new.doc_string = old.doc_string
    new.metadata_props.extend(old.metadata_props)

    initializers = {tensor.name for tensor in new.initializer}
    present = initializers | {name for node in new.node for name in node.output}
    new.quantization_annotation.extend(a for a in old.quantization_annotation if a.tensor_name in present)
    listed = {value.name for value in new.input}
    new.input.extend(v for v in old.input if v.name in initializers and v.name not in listed)
    known = {value.name for value in [*new.value_info, *new.output, *new.input]}
    new.value_info.extend(v for v in old.value_info if v.name in present and v.name not in known)

    new.sparse_initializer.extend(old.sparse_initializer)
    before = {(node.output[0], node.op_type): node for node in old.node if node.output}
    renamed = {node.name: node for node in old.node if node.output and node.name}
    for node in new.node:
        twin = before.get((node.output[0], node.op_type)) or renamed.get(node.name) if node.output else None
        if twin is not None:
            if twin.doc_string:
                node.doc_string = twin.doc_string
            del node.metadata_props[:]
            node.metadata_props.extend(twin.metadata_props)
            _carry_overload(twin, node)
    docs = {tensor.name: tensor.doc_string for tensor in old.initializer if tensor.doc_string}
    for tensor in new.initializer:
        if tensor.name in docs:
            tensor.doc_string = docs[tensor.name]
    _carry_value_docs(old, new)


def _carry_overload(old: NodeProto, new: NodeProto) -> None:
    if old.overload and (old.domain, old.op_type) == (new.domain, new.op_type):
        new.overload = old.overload


def _carry_value_docs(old: onnx.GraphProto, new: onnx.GraphProto) -> None:
    """Inputs, outputs and value_info keep the original's words: type details and doc strings too."""
    for kind in ("input", "output", "value_info"):
        originals = {value.name: value for value in getattr(old, kind)}
        for value in getattr(new, kind):
            if value.name in originals:
                value.CopyFrom(originals[value.name])


def layer_names(proto: ModelProto) -> dict[str, str]:
    """First output of every named or unnamed node of the main graph -> the name onnxbin calls the node by.

    That is the node's own name where it has one that no other node has, else its first output's name.
    """
    counts: dict[str, int] = {}
    for node in proto.graph.node:
        counts[node.name] = counts.get(node.name, 0) + 1
    return {
        node.output[0]: node.name if node.name and counts[node.name] == 1 else node.output[0]
        for node in proto.graph.node
        if node.output
    }


class TensorNames:
    """The tensor names of a graph, for finding new ones."""

    def __init__(self, graph: gs.Graph) -> None:
        self._taken = {name for part in [graph, *graph.subgraphs(recursive=True)] for name in part.tensors()}

    def fresh(self, base: str) -> str:
        """A name that no tensor had so far, see `fresh_name`."""
        return fresh_name(base, self._taken)


def fresh_name(base: str, taken: set[str]) -> str:
    """`base`, or `base.2`, `base.3`, ... : a name that is not yet taken, and is from now on."""
    name = base
    for number in itertools.count(2):
        if name not in taken:
            break
        name = f"{base}.{number}"
    taken.add(name)
    return name


def with_values(proto: ModelProto, values: Mapping[str, Array]) -> ModelProto:
    """A copy of the model with new values for initializers and Constant nodes, each in its own element type.

    Raises OnnxbinError where a name is unknown or a shape differs.
    """
    model = ModelProto()
    model.CopyFrom(proto)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            stored[node.output[0]] = node.attribute[0].t
    for name, value in values.items():
        if name not in stored:
            raise OnnxbinError(f"the graph has no initializer {name!r}")
        tensor = stored[name]
        if tuple(tensor.dims) != value.shape:
            raise OnnxbinError(f"initializer {name!r} has shape {list(tensor.dims)}, not {list(value.shape)}")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        changed = onnx.numpy_helper.from_array(value.astype(dtype, copy=False), tensor.name)
        changed.doc_string = tensor.doc_string
        tensor.CopyFrom(changed)
    return model


def with_binary_layers(proto: ModelProto, layers: Mapping[str, BinaryLayer]) -> ModelProto:
    """A copy of the model in which the named Convs are nodes of our operator family.

    The Convs have explicit pads (see onnxbin.prepare), the model's opset is 13 or later. Function bodies for
    the ops used are added, and the IR version is raised to 8 if it is below.
    """
    names = layer_names(proto)
    graph = imported(proto)
    convs = {names[node.outputs[0].name]: node for node in graph.nodes if is_standard(node, "Conv")}
    tensors = TensorNames(graph)
    for name, layer in layers.items():
        _turn_binary(convs[name], layer, tensors)
    graph.cleanup(remove_unused_graph_inputs=False)
    model = exported(graph, proto)
    provide_functions(model)
    return model


def binary_layers(proto: ModelProto) -> dict[str, BinaryLayer]:
    """The nodes of our operator family in the main graph: what `with_binary_layers` wrote.

    An activation that has become part of a node is not part of the layer.
    Raises OnnxbinError where one has inputs that are not stored in the model, or do not fit each other.
    """
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    names = layer_names(proto)
    layers = {}
    for node in proto.graph.node:
        if node.domain != DOMAIN:
            continue
        missing = [name for name in node.input[1:] if name not in stored]
        if node.op_type not in OP_TYPES or missing:
            raise OnnxbinError(
                f"node {names[node.output[0]]!r}: expected one of {', '.join(OP_TYPES)} with stored weights, "
                f"found {node.op_type} with {', '.join(missing) or 'stored ones'} computed"
            )
        w, scale, bias, *quantizer = (array_of(stored[name]) for name in node.input[1:])
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        layers[names[node.output[0]]] = BinaryLayer(
            BinaryWeight.from_packed(w, scale, tuple(attributes["weight_shape"])),
            bias,
            _quantizer(node.op_type, quantizer, attributes),
        )
    return layers


def with_quantizers(proto: ModelProto, quantizers: Mapping[str, Quantizer]) -> ModelProto:
    """A copy of the model whose named binary layers see their inputs in these ways."""
    model = ModelProto()
    model.CopyFrom(proto)
    names = layer_names(model)
    binary = {names[node.output[0]]: node for node in model.graph.node if node.domain == DOMAIN}
    _drop_quantizers(model, [binary[name] for name in quantizers])
    taken = {tensor.name for tensor in model.graph.initializer} | {
        name for node in model.graph.node for name in (*node.input, *node.output)
    }
    for name, quantizer in quantizers.items():
        node = binary[name]
        node.op_type = op_type(quantizer) + PARTS[node.op_type][1]
        if quantizer is not None:
            weight = node.input[1].removesuffix(".signs")
            for slot, value in (("x_step", quantizer.step), ("x_zero", quantizer.zero)):
                node.input.append(fresh_name(f"{weight}.{slot}", taken))
                model.graph.initializer.append(onnx.numpy_helper.from_array(value, node.input[-1]))
        if isinstance(quantizer, QuantInput):
            node.attribute.append(onnx.helper.make_attribute("x_bits", quantizer.bits))
    others = [function for function in model.functions if function.domain != DOMAIN]
    del model.functions[:]
    model.functions.extend(others)
    provide_functions(model)
    return model


def with_layers(proto: ModelProto, layers: Mapping[str, BinaryLayer]) -> ModelProto:
    """A copy of the model whose named binary layers have these quantisers, scales and biases."""
    model = with_quantizers(proto, {name: layer.quantizer for name, layer in layers.items()})
    names = layer_names(model)
    values: dict[str, Array] = {}
    for node in model.graph.node:
        if node.domain == DOMAIN and names[node.output[0]] in layers:
            layer = layers[names[node.output[0]]]
            values |= {node.input[2]: layer.weight.scale, node.input[3]: layer.bias}
    return with_values(model, values)


def _drop_quantizers(model: ModelProto, nodes: Sequence[NodeProto]) -> None:
    """Take inputs and attributes of these nodes' quantizers away, and what nobody reads then."""
    unread: set[str] = set()
    for node in nodes:
        unread.update(node.input[4:])
        del node.input[4:]
        kept = [attribute for attribute in node.attribute if attribute.name != "x_bits"]
        del node.attribute[:]
        node.attribute.extend(kept)
    unread -= {name for node in model.graph.node for name in node.input}
    stored = [tensor for tensor in model.graph.initializer if tensor.name not in unread]
    del model.graph.initializer[:]
    model.graph.initializer.extend(stored)


def _quantizer(op: str, constants: Sequence[Array], attributes: Mapping[str, Any]) -> Quantizer:
    base, _ = PARTS[op]
    if base == REAL:
        return None
    step, zero = constants
    return SignInput(step, zero) if base == SIGN else QuantInput(step, zero, attributes["x_bits"])


def op_type(quantizer: Quantizer) -> str:
    """The op of the family that sees its input this way."""
    if quantizer is None:
        return REAL
    return QUANT if isinstance(quantizer, QuantInput) else SIGN


def _turn_binary(node: gs.Node, layer: BinaryLayer, names: TensorNames) -> None:
    inputs = {"signs": layer.weight.packed(), "scale": layer.weight.scale, "bias": layer.bias}
    attributes = {
        "weight_shape": list(layer.weight.shape),
        "strides": list(node.attrs.get("strides", [1, 1])),
        "pads": list(node.attrs.get("pads", [0, 0, 0, 0])),
        "dilations": list(node.attrs.get("dilations", [1, 1])),
        "group": int(node.attrs.get("group", 1)),
    }
    if layer.quantizer is not None:
        inputs |= {"x_step": layer.quantizer.step, "x_zero": layer.quantizer.zero}
    if isinstance(layer.quantizer, QuantInput):
        attributes["x_bits"] = layer.quantizer.bits
    node.op, node.domain, node.attrs = op_type(layer.quantizer), DOMAIN, attributes
    weight = node.inputs[1].name
    constants = [gs.Constant(names.fresh(f"{weight}.{slot}"), value) for slot, value in inputs.items()]
    node.inputs = [node.inputs[0], *constants]


def provide_functions(model: ModelProto) -> None:
    """Let `model`, in place, run the ops of ours in its main graph, also where there is no library.

    That takes their functions, our domain, and an IR version that has functions.
    """
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    present = {function.name for function in model.functions if function.domain == DOMAIN}
    needed = functions(used, opset(model))
    model.functions.extend(function for function in needed if function.name not in present)
    if used and not any(entry.domain == DOMAIN for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    if used:
        model.ir_version = max(model.ir_version, LOWEST_IR_WITH_FUNCTIONS)
