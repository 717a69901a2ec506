"""One meaning per op: a model as the interpreter wants it.

1. Activations are taken out of BinaryConv operators; model-local functions are inlined, except those of these
   operators, which the bridge knows.
2. The graph is raised to opset 21. Later opsets change nothing that the op table knows, and are left alone.
3. What the version converter leaves with the wrong meaning is mended.
4. Ops that are not in the op table but that the ONNX standard itself defines by simpler ops are expanded.
5. A batch of one that is spelled out in constant shapes is freed, so that training may use larger ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    inliner,
    version_converter,
)

from onnxbin.bridge import ops
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.fusion import unfused
from onnxbin.large import around, array_of, as_message
from onnxbin.operator import DOMAIN
from onnxbin.prepare import mend_resize

OPSET = 21

_OLD = "onnxbin.old"
_UNCONVERTED = {"Hardmax": 13, "Scan": 9}
"""Ops whose form before this opset means something else, which the version converter does not know."""


def upgrade(model: ModelProto) -> ModelProto:
    """A copy of the model after the steps above; the names of nodes and tensors that were there stay.

    Raises OnnxbinError where the ONNX version converter cannot read the model.
    """
    result = ModelProto()
    result.CopyFrom(unfused(model))
    if any(function.domain != DOMAIN for function in model.functions):
        ours = [(function.domain, function.name) for function in model.functions if function.domain == DOMAIN]
        result = around(lambda m: inliner.inline_selected_functions(m, ours, exclude=True), result)
    del result.functions[:]  # the converter drops the remaining ones, and keeps their nodes

    opset = next((o.version for o in result.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset is None:
        raise OnnxbinError("the model imports no opset of the standard ONNX domain: run onnx.checker on it")
    _set_aside_old_forms(result, opset)
    if opset < OPSET:
        try:
            result = around(lambda m: version_converter.convert_version(m, OPSET), result)
        except Exception as error:  # the converter raises whatever its C++ adapters raise
            reason = first_line(error)
            raise OnnxbinError(f"cannot raise the model from opset {opset} to {OPSET}: {reason}") from error
    if opset < 11:
        mend_resize(result)
    result = _expand(result)
    _free_batch(result)
    return result


def _set_aside_old_forms(model: ModelProto, opset: int) -> None:
    """Make unknown, and so not supported where they are needed, what the converter would misread."""
    old = [node for node in _all_nodes(model.graph) if opset < _UNCONVERTED.get(node.op_type, 0)]
    for node in old:
        node.domain = _OLD
    if old:
        model.opset_import.append(helper.make_opsetid(_OLD, 1))


def _expand(model: ModelProto) -> ModelProto:
    """The model with the function bodies of the ONNX standard in place of the ops that the table lacks.

    Left as it is where a body depends on types that ONNX cannot infer: the op may not be needed.
    """
    lacking = [node for node in _all_nodes(model.graph) if ops.find(node.op_type) is None]
    if not lacking:
        return model
    # The inliner drops attributes that are not given, and wants a type of optional inputs that are not.
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    for node in lacking:
        if node.domain in opsets and onnx.defs.has(node.op_type, opsets[node.domain], node.domain):
            _spell_out_defaults(node, onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain))
    model.graph.value_info.append(ValueInfoProto(name=""))
    known = [("", name) for name in ops.names()]
    try:
        return inliner.inline_selected_functions(model, known, exclude=True, inline_schema_functions=True)
    except Exception:  # the inliner asserts in C++
        return model


def _spell_out_defaults(node: NodeProto, schema: onnx.defs.OpSchema) -> None:
    given = {attribute.name for attribute in node.attribute}
    node.attribute.extend(
        attribute.default_value
        for name, attribute in schema.attributes.items()
        if name not in given and attribute.default_value.type
    )


def _all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of a graph and of the graphs inside of them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _all_nodes(attribute.g)


def _free_batch(model: ModelProto) -> None:
    """Let nodes whose constant shapes count on one image take more; for one, nothing changes."""
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(as_message(model)).graph
    batch = {
        value.name: value.type.tensor_type.shape.dim[0].dim_value
        for value in (*inferred.input, *inferred.value_info)
        if value.type.tensor_type.shape.dim
    }
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] in constants:
            target = _free_reshape(array_of(constants[node.input[1]]).tolist(), batch.get(node.input[0]))
            _set_input(graph, node, 1, target)
        elif node.op_type == "Resize" and len(node.input) == 4 and node.input[3] in constants:
            sizes = array_of(constants[node.input[3]]).tolist()
            named = {attribute.name for attribute in node.attribute}
            if sizes[0] == batch.get(node.input[0]) == 1 and "axes" not in named:
                node.attribute.append(helper.make_attribute("axes", range(1, len(sizes))))
                _set_input(graph, node, 3, sizes[1:])


def _free_reshape(target: list[int], batch: int | None) -> list[int]:
    """A Reshape target that leaves the batch open; `batch` is the first axis of the input, if known.

    A full target has one redundant entry: the first one gives way, be it `[1, ...]` or, in channel shuffles,
    `[groups, ...]`. With a -1 elsewhere, a leading 1 copies the input's batch instead.
    """
    if target and batch and not {0, -1} & set(target):
        return [-1, *target[1:]]
    if target and target[0] == batch == 1 and 0 not in target:
        return [0, *target[1:]]
    return target


def _set_input(graph: GraphProto, node: NodeProto, slot: int, values: list[int]) -> None:
    """Give the node an int64 constant of its own: the old one may be shared."""
    name = f"{node.output[0]}/{node.op_type.lower()}"
    graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
    node.input[slot] = name
