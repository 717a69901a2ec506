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
from onnxbin.operator.function import DOMAIN
from onnxbin.operator.weight import packed_bytes
from onnxbin.shapes import spatial_sizes, with_input_size
from onnxbin.surgery import layer_names

CONVOLUTIONS = ("Conv", "ConvTranspose")


@dataclass(frozen=True)
class ConvLayer:
    """One convolution of a prepared model.

    name: the node's name, or its first output's where that is empty or not unique.
    shape: of the weight, (M, C/group, kh, kw) for a Conv; () where it is not a constant of the model.
    out_channels: M; 0 where it is not known.
    depth: convolutions on the longest path from an input to here, this one included.
    macs: multiply-accumulates for one image; None where the input's size is not known.
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
    fixed: bool
    left_alone: str | None

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        weights = int(np.prod(self.shape)) if self.shape else 0
        return weights + (self.out_channels if self.bias else 0)

    def bytes_saved(self, bases: int = 1) -> int:
        """Bytes that binarizing saves: float32 weights against bits, and a scale and a bias per channel."""
        m, k = self.shape[0], int(np.prod(self.shape[1:]))
        bias_added = 0 if self.bias else 4 * m
        return 4 * m * k - (bases * m * (packed_bytes(k) + 4) + bias_added)


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
    uses = Counter(_names_read(graph))
    depths = _depths(graph)
    expectations = {node.output[0] for node in graph.node if _is_expectation(node, initializers)}
    ends = _without_convolution_behind(graph, expectations)

    for node in graph.node:
        if node.op_type not in CONVOLUTIONS or node.domain not in ("", "ai.onnx"):
            continue
        weight = initializers.get(node.input[1])
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        shape = tuple(weight.dims) if weight is not None else ()
        group = attributes.get("group", 1)
        output = node.output[0]
        layer = ConvLayer(
            name=names[output],
            output=output,
            weight=node.input[1],
            bias=node.input[2] if len(node.input) > 2 and node.input[2] else None,
            shape=shape,
            out_channels=_out_channels(node, shape, group),
            group=group,
            strides=tuple(attributes.get("strides", (1, 1))),
            depth=depths[output],
            macs=_macs(node, shape, sizes),
            fixed=output in expectations,
            left_alone=None,
        )
        impossible = _impossible(node, layer, initializers, uses, attributes)
        unwise = None if impossible else _unwise(layer, output in ends)
        yield replace(layer, left_alone=impossible or unwise), impossible is not None


def _impossible(
    node: NodeProto,
    layer: ConvLayer,
    initializers: Mapping[str, onnx.TensorProto],
    uses: Counter[str],
    attributes: Mapping[str, object],
) -> str | None:
    """Why no BinaryConv can stand here, or None."""
    if node.op_type != "Conv":
        return f"{node.op_type}: the operator family has no transposed convolution"
    if layer.weight not in initializers:
        return "dynamic weight: computed in the graph, not stored"
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


def _unwise(layer: ConvLayer, ends_here: bool) -> str | None:
    """Why a BinaryConv should not stand here unless asked for, or None."""
    if layer.fixed:
        return "fixed decoding: the expectation over box-distance bins, not learned"
    if layer.depth == 1:
        return "first convolution: sees the image"
    if ends_here:
        return "head: no convolution behind it"
    if layer.shape[1] == 1 and layer.group > 1:
        return f"depthwise: {int(np.prod(layer.shape[1:]))} weights a filter, nothing to gain"
    if layer.bytes_saved() <= 0:
        return "would not get smaller"
    return None


def _out_channels(node: NodeProto, shape: Sequence[int], group: int) -> int:
    if not shape:
        return 0
    return shape[0] if node.op_type == "Conv" else shape[1] * group


def _is_expectation(node: NodeProto, initializers: Mapping[str, onnx.TensorProto]) -> bool:
    """A 1x1 Conv that weighs bins by 0, 1, 2, ...: how distribution-focal-loss heads (YOLOv8) decode."""
    if node.op_type != "Conv" or node.input[1] not in initializers:
        return False
    weight = initializers[node.input[1]]
    count = int(np.prod(weight.dims))
    if weight.dims[0] != 1 or weight.dims[1] != count or count < 2:
        return False
    # Nearly is enough: files that went through 8 bits hold 0.987 for 1.
    return bool(np.allclose(onnx.numpy_helper.to_array(weight).ravel(), np.arange(count), atol=0.05))


def _names_read(graph: GraphProto) -> Iterator[str]:
    """The tensor names that nodes read, in subgraphs too, and the outputs; as often as they are."""
    for node in graph.node:
        yield from node.input
        yield from _captured(node)
    yield from (output.name for output in graph.output)


def _captured(node: NodeProto) -> Iterator[str]:
    """What a node's subgraphs read, from the graph around them or their own."""
    for attribute in node.attribute:
        for inner in [attribute.g, *attribute.graphs]:
            yield from _names_read(inner)


def _is_convolution(node: NodeProto) -> bool:
    """Whether a node convolves, itself or in a subgraph."""
    inner = (n for a in node.attribute for g in [a.g, *a.graphs] for n in g.node)
    return node.op_type in CONVOLUTIONS or node.domain == DOMAIN or any(map(_is_convolution, inner))


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
    positions = sizes.get(node.output[0] if node.op_type == "Conv" else node.input[0])
    if not shape or positions is None:
        return None
    return int(np.prod(shape)) * int(np.prod(positions))
