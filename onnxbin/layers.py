"""The inventory of a model's convolutions: depth, size, cost, and for each one left alone the reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto

from onnxbin.errors import OnnxbinError
from onnxbin.large import array_of
from onnxbin.operator.function import DOMAIN
from onnxbin.operator.weight import packed_bytes
from onnxbin.shapes import spatial_sizes, with_input_size
from onnxbin.surgery import layer_names

_EIGHT_BITS = "8-bit already; compress the float model that it was quantised from"
_OPTIMIZED = "written by ONNX Runtime's optimizer; compress the model as it was exported"
_OTHERS = {
    "CausalConvWithState": "1-D convolution with a state: the operator family is 2-D, without",
    "ConvInteger": _EIGHT_BITS,
    "ConvTranspose": "the operator family has no transposed convolution",
    "DeformConv": "the operator family has no deformable convolution",
    "FusedConv": _OPTIMIZED,
    "NhwcFusedConv": _OPTIMIZED,
    "QLinearConv": _EIGHT_BITS,
}
"""Convolutions that none of our operators can stand for, and why; those of ONNX Runtime among them."""

CONVOLUTIONS = ("Conv", *_OTHERS)

_DOMAINS = ("", "ai.onnx", "com.microsoft")
_WEIGHT_INPUT = {"QLinearConv": 3}
"""Which input holds the weight, where it is not number 1."""

_BIASED = ("Conv", "ConvTranspose")
"""The convolutions whose bias, if any, is input 2."""

_FULLY_CONNECTED = ("Gemm", "MatMul")


@dataclass(frozen=True)
class ConvLayer:
    """One convolution of a prepared model.

    name: the node's name, or its first output's where that is empty or not unique.
    shape: of the weight, (M, C/group, kh, kw) for a Conv; () where it is not a constant of the model.
    out_channels: M; 0 where it is not known.
    depth: convolutions on the longest path from an input to here, this one included.
    macs: multiply-accumulates for one image; None where the input's size is not known.
    last: no convolution is behind it.
    fixed: its weight is part of the decoding, not learned, and must not be trained.
    left_alone: why it is not binarized; None for a candidate.
    """

    name: str
    output: str
    weight: str
    bias: str | None
    shape: tuple[int, ...]
    out_channels: int
    group: int
    strides: tuple[int, ...]
    depth: int
    macs: int | None
    last: bool
    fixed: bool
    left_alone: str | None

    @property
    def in_channels(self) -> int:
        """C."""
        return self.shape[1] * self.group

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        weights = int(np.prod(self.shape)) if self.shape else 0
        return weights + (self.out_channels if self.bias else 0)

    def bytes_saved(self, bases: int = 1, stored: int | None = None) -> int:
        """Bytes that binarizing saves: of the weight against bits, and a scale and a bias per channel.

        stored: what the weight takes otherwise; as float32, where this is not given.
        """
        m, k = self.shape[0], int(np.prod(self.shape[1:]))
        bias_added = 0 if self.bias else 4 * m
        before = 4 * m * k if stored is None else stored
        return before - (bases * m * (packed_bytes(k) + 4) + bias_added)


def inventory(
    proto: ModelProto,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    input_size: tuple[int, int] | None = None,
) -> list[ConvLayer]:
    """Every convolution of a prepared model (see onnxbin.prepare), in the graph's order.

    include, exclude: regular expressions searched in layer names. `include` makes a layer a candidate that
    would be left alone by judgement (first, head, depthwise, ...), not where it is impossible; `exclude` wins
    over it.
    input_size: height and width of the image input, for models whose own are dynamic.
    Raises OnnxbinError for a pattern that is not a regular expression or matches no layer.
    """
    sizes = spatial_sizes(proto if input_size is None else with_input_size(proto, input_size))
    layers = list(_convolutions(proto, sizes))
    included = _compiled("--include", include, layers)
    excluded = _compiled("--exclude", exclude, layers)
    return [_overridden(layer, impossible, included, excluded) for layer, impossible in layers]


def binary_inventory(proto: ModelProto, *, input_size: tuple[int, int] | None = None) -> list[ConvLayer]:
    """Every node of our operator family in a compressed model, in the graph's order; see `inventory`."""
    sizes = spatial_sizes(proto if input_size is None else with_input_size(proto, input_size))
    names, depths = layer_names(proto), _depths(proto.graph)
    ends = _without_convolution_behind(proto.graph, set())
    layers = []
    for node in proto.graph.node:
        if node.domain != DOMAIN:
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        shape, output = tuple(attributes["weight_shape"]), node.output[0]
        layers.append(
            ConvLayer(
                name=names[output],
                output=output,
                weight=node.input[1],
                bias=node.input[3],
                shape=shape,
                out_channels=shape[0],
                group=attributes["group"],
                strides=tuple(attributes["strides"]),
                depth=depths[output],
                macs=_macs(node, shape, sizes),
                last=output in ends,
                fixed=False,
                left_alone="binary already",
            )
        )
    return layers


def fully_connected(proto: ModelProto) -> tuple[int, int]:
    """How many Gemm and MatMul nodes have stored weights, and how many weights these are together."""
    stored = {tensor.name: int(np.prod(tensor.dims)) for tensor in proto.graph.initializer}
    counts = [
        sum(stored.get(name, 0) for name in node.input)
        for node in proto.graph.node
        if node.op_type in _FULLY_CONNECTED
    ]
    return sum(count > 0 for count in counts), sum(counts)


def _compiled(
    option: str, patterns: Sequence[str], layers: Sequence[tuple[ConvLayer, bool]]
) -> list[re.Pattern[str]]:
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise OnnxbinError(f"{option} {pattern!r}: not a regular expression: {error}") from None
        if not any(compiled[-1].search(layer.name) for layer, _ in layers):
            raise OnnxbinError(
                f"{option} {pattern!r}: matches no convolution; `onnxbin inspect` lists their names"
            )
    return compiled


def _overridden(
    layer: ConvLayer, impossible: bool, include: list[re.Pattern[str]], exclude: list[re.Pattern[str]]
) -> ConvLayer:
    if any(pattern.search(layer.name) for pattern in exclude):
        return layer if impossible else replace(layer, left_alone="excluded by --exclude")
    if not impossible and any(pattern.search(layer.name) for pattern in include):
        return replace(layer, left_alone=None)
    return layer


def _convolutions(proto: ModelProto, sizes: Mapping[str, Sequence[int]]) -> Iterator[tuple[ConvLayer, bool]]:
    """Each convolution, and whether it is impossible (not just unwise) to binarize it."""
    graph = proto.graph
    names = layer_names(proto)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: inner.op_type for inner in graph.node for name in inner.output}
    uses = Counter(names_read(graph))
    depths = _depths(graph)
    expectations = {node.output[0] for node in graph.node if _is_expectation(node, initializers)}
    ends = _without_convolution_behind(graph, expectations)

    for node in graph.node:
        yield from ((layer, True) for layer in _in_subgraphs(node, names))
        if not _is_known_convolution(node):
            continue
        weight_name = node.input[_WEIGHT_INPUT.get(node.op_type, 1)]
        weight = initializers.get(weight_name)
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        shape = tuple(weight.dims) if weight is not None else ()
        group = attributes.get("group", 1)
        output = node.output[0]
        layer = ConvLayer(
            name=names[output],
            output=output,
            weight=weight_name,
            bias=node.input[2] if node.op_type in _BIASED and len(node.input) > 2 and node.input[2] else None,
            shape=shape,
            out_channels=_out_channels(node, shape, group),
            group=group,
            strides=tuple(attributes.get("strides", (1, 1))),
            depth=depths[output],
            macs=_macs(node, shape, sizes),
            last=output in ends,
            fixed=output in expectations,
            left_alone=None,
        )
        impossible = _impossible(node, layer, initializers, uses, attributes, producers)
        unwise = None if impossible else _unwise(layer)
        yield replace(layer, left_alone=impossible or unwise), impossible is not None


def _impossible(
    node: NodeProto,
    layer: ConvLayer,
    initializers: Mapping[str, onnx.TensorProto],
    uses: Counter[str],
    attributes: Mapping[str, object],
    producers: Mapping[str, str],
) -> str | None:
    """Why no BinaryConv can stand here, or None."""
    if node.op_type in _OTHERS:
        return f"{node.op_type}: {_OTHERS[node.op_type]}"
    if producers.get(layer.weight) == "DequantizeLinear":
        return f"quantised weight (QDQ): {_EIGHT_BITS}"
    if layer.weight not in initializers:
        return f"dynamic weight: {_where_from(layer.weight, producers)}, not stored"
    if layer.bias is not None and layer.bias not in initializers:
        return "dynamic bias: computed in the graph, not stored"
    dtype = initializers[layer.weight].data_type
    if dtype != onnx.TensorProto.FLOAT:
        return f"weight is {onnx.TensorProto.DataType.Name(dtype).lower()}, only float32 is binarized"
    if len(layer.shape) != 4:
        return f"{len(layer.shape) - 2}-D convolution: the operator family is 2-D"
    if uses[layer.weight] > 1:
        return f"weight {layer.weight!r} is shared with something else"
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        return "auto_pad with a stride: its pads depend on the input size, which the model does not fix"
    return None


def _unwise(layer: ConvLayer) -> str | None:
    """Why a BinaryConv should not stand here unless asked for, or None."""
    if layer.fixed:
        return "fixed decoding: the expectation over box-distance bins, not learned"
    if layer.depth == 1:
        return "first convolution: sees the image"
    if layer.last:
        return "head: no convolution behind it"
    if layer.shape[1] == 1 and layer.group > 1:
        return f"depthwise: {int(np.prod(layer.shape[1:]))} weights a filter, nothing to gain"
    if layer.bytes_saved() <= 0:
        return "would not get smaller"
    return None


def _where_from(name: str, producers: Mapping[str, str]) -> str:
    return f"computed in the graph, by {producers[name]}" if name in producers else "an input of the model"


def _is_known_convolution(node: NodeProto) -> bool:
    return node.op_type in CONVOLUTIONS and node.domain in _DOMAINS


def _in_subgraphs(node: NodeProto, names: Mapping[str, str]) -> Iterator[ConvLayer]:
    """The convolutions in the branches of an If, the body of a Loop: left alone, whatever they are."""
    for inner in _inner_nodes(node):
        if _is_known_convolution(inner):
            yield ConvLayer(
                name=f"{names[node.output[0]]}/{inner.name or inner.output[0]}",
                output=inner.output[0],
                weight=inner.input[1],
                bias=None,
                shape=(),
                out_channels=0,
                group=1,
                strides=(1, 1),
                depth=0,
                macs=None,
                last=False,
                fixed=False,
                left_alone=f"in a subgraph of {node.op_type}, which is left as it is",
            )


def _inner_nodes(node: NodeProto) -> Iterator[NodeProto]:
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                yield inner
                yield from _inner_nodes(inner)


def _out_channels(node: NodeProto, shape: Sequence[int], group: int) -> int:
    if not shape:
        return 0
    return shape[1] * group if node.op_type == "ConvTranspose" else shape[0]


def _is_expectation(node: NodeProto, initializers: Mapping[str, onnx.TensorProto]) -> bool:
    """A 1x1 Conv that weighs bins by 0, 1, 2, ...: how distribution-focal-loss heads (YOLOv8) decode."""
    if node.op_type != "Conv" or node.input[1] not in initializers:
        return False
    weight = initializers[node.input[1]]
    count = int(np.prod(weight.dims))
    if weight.dims[0] != 1 or weight.dims[1] != count or count < 2:
        return False
    # Nearly is enough: files that went through 8 bits hold 0.987 for 1.
    return bool(np.allclose(array_of(weight).ravel(), np.arange(count), atol=0.05))


def names_read(graph: GraphProto) -> Iterator[str]:
    """The tensor names that nodes read, in subgraphs too, and the outputs; as often as they are."""
    for node in graph.node:
        yield from node.input
        yield from _captured(node)
    yield from (output.name for output in graph.output)


def _captured(node: NodeProto) -> Iterator[str]:
    """What a node's subgraphs read, from the graph around them or their own."""
    for attribute in node.attribute:
        for inner in [attribute.g, *attribute.graphs]:
            yield from names_read(inner)


def _is_convolution(node: NodeProto) -> bool:
    """Whether a node convolves, itself or in a subgraph."""
    inner = any(_is_convolution(other) for other in _inner_nodes(node))
    return node.op_type in CONVOLUTIONS or node.domain == DOMAIN or inner


def _depths(graph: GraphProto) -> dict[str, int]:
    """Tensor -> convolutions on the longest path from an input to it. Nodes are in topological order."""
    depth: dict[str, int] = {}
    for node in graph.node:
        reads = [*node.input, *_captured(node)]
        here = max((depth.get(name, 0) for name in reads), default=0) + _is_convolution(node)
        depth.update((name, here) for name in node.output)
    return depth


def _without_convolution_behind(graph: GraphProto, ignored: set[str]) -> set[str]:
    """Tensors from which no further convolution is reached, other than the `ignored` ones."""
    reaching: set[str] = set()
    for node in reversed(graph.node):
        counts = _is_convolution(node) and node.output[0] not in ignored
        if counts or any(name in reaching for name in node.output):
            reaching.update([*node.input, *_captured(node)])
    return {name for node in graph.node for name in node.output if name not in reaching}


def _macs(node: NodeProto, shape: Sequence[int], sizes: Mapping[str, Sequence[int]]) -> int | None:
    """Nominal multiply-accumulates for one image: each weight once per output (transposed: input) pixel."""
    positions = sizes.get(node.input[0] if node.op_type == "ConvTranspose" else node.output[0])
    if not shape or positions is None:
        return None
    return int(np.prod(shape)) * int(np.prod(positions))
