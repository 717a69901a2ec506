"""How each op carries channels from its inputs to its outputs.

The channels of a tensor are an array of numbers, one a channel, with as many axes as the tensor: an axis
that channels lie along has its full length, every other has length one. [N, C, H, W] carries an array
[1, C, 1, 1]; reshaped to [N, g, C/g, H, W], one of [1, g, C/g, 1, 1]. A rule computes the arrays of a node's
outputs from those of its inputs by the very operation the node does, so that shuffles, slices and
concatenations are followed exactly, whatever their order.

One set of rules serves two flows (see `Flow`): to find out which channels depend on each other
(onnxbin.reshape.channels), and to carry changed channels through the graph while its constants are edited
(onnxbin.reshape.rewrite). A rule that cannot follow its node raises `Refusal`: the channels that reach the
node then stay as they are, and so does all that it makes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from onnxbin.reshape.network import Network, Shape, attributes

Channels = npt.NDArray[np.int64]


class Refusal(Exception):  # noqa: N818, a value with a reason, no error
    """A node's effect on channels is not followed; the text says why."""


class Flow(Protocol):
    """What a rule may ask for and do."""

    network: Network

    def of(self, name: str) -> Channels | None:
        """The channels of a tensor; None where they are not known."""

    def set(self, name: str, channels: Channels) -> None:
        """The channels of a node's output."""

    def merge(self, a: Channels, b: Channels) -> Channels:
        """The same channels, one by one, known under two numbers; Refusal where they cannot be."""

    def tie(self, channels: Channels, axis: int) -> None:
        """All along this axis come and go together."""

    def freeze(self, channels: Channels, reason: str) -> None:
        """These channels must stay as they are."""

    def produce(self, name: str, count: int) -> Channels:
        """New channels [count], made by the node of this output."""

    def keep(self, node: NodeProto, slot: int, axis: int, tensor: str) -> None:
        """The constant in this input slot has an axis with an entry for each channel of a tensor."""

    def contract(self, node: NodeProto, slot: int, axis: int, tensor: str, groups: int = 1) -> None:
        """The constant has an axis along which the channels of a tensor are summed up.

        groups: the channels come in so many equal parts, each for its part of the constant's axis 0.
        """

    def positions(self, tensor: str) -> Channels:
        """For each of a tensor's channels, laid flat, which of the original tensor's it is."""

    def set_integers(self, node: NodeProto, slot: int, values: Sequence[int]) -> None:
        """Set the constant in an input slot."""

    def set_attribute(self, node: NodeProto, name: str, value: int) -> None:
        """Set an integer attribute."""


Rule = Callable[[NodeProto, Flow], None]


def follow(node: NodeProto, flow: Flow) -> None:
    """Set the channels of a node's outputs; where that cannot be, Refusal."""
    rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if rule is None:
        raise Refusal(f"{node.op_type} is not followed")
    rule(node, flow)


# Convolutions and products


def _conv(node: NodeProto, flow: Flow) -> None:
    weight = _stored(node, flow, 1)
    bias = _bias(node, flow)
    group = int(_attribute(node, "group", 1))
    output = node.output[0]
    if group > 1 and weight.shape[1] == 1:
        if weight.shape[0] != group:
            raise Refusal("it is depthwise and makes several channels of one")
        flow.set(output, _along(flow, node.input[0], 1))
        flow.keep(node, 1, 0, output)
        flow.set_attribute(node, "group", _along(flow, node.input[0], 1).size)
    else:
        if flow.of(node.input[0]) is not None:
            _tie_groups(flow, _along(flow, node.input[0], 1), group)
        made = flow.produce(output, weight.shape[0])
        _tie_groups(flow, made, group)
        flow.set(output, made.reshape(1, -1, *[1] * (weight.ndim - 2)))
        _contract(node, flow, 1, group)
        flow.keep(node, 1, 0, output)
    if bias:
        flow.keep(node, 2, 0, output)


def _tie_groups(flow: Flow, channels: Channels, group: int) -> None:
    """Groups of channels stay equally large: their first ones go together, their second ones, ..."""
    if channels.size % group:
        raise Refusal("its groups would no longer be equally large")
    if group > 1:
        flow.tie(channels.reshape(group, -1), 0)


def _conv_transpose(node: NodeProto, flow: Flow) -> None:
    weight = _stored(node, flow, 1)
    bias = _bias(node, flow)
    if _attribute(node, "group", 1) != 1:
        raise Refusal("it is a transposed convolution in groups")
    made = flow.produce(node.output[0], weight.shape[1])
    flow.set(node.output[0], made.reshape(1, -1, *[1] * (weight.ndim - 2)))
    _contract(node, flow, 0)
    flow.keep(node, 1, 1, node.output[0])
    if bias:
        flow.keep(node, 2, 0, node.output[0])


def _gemm(node: NodeProto, flow: Flow) -> None:
    weight = _stored(node, flow, 1)
    bias = _bias(node, flow)
    if _attribute(node, "transA", 0):
        raise Refusal("it transposes its input")
    inputs, outputs = (1, 0) if _attribute(node, "transB", 0) else (0, 1)
    flow.set(node.output[0], flow.produce(node.output[0], weight.shape[outputs]).reshape(1, -1))
    _contract(node, flow, inputs)
    flow.keep(node, 1, outputs, node.output[0])
    if bias and (added := flow.network.constant(node.input[2])).size > 1:
        flow.keep(node, 2, added.ndim - 1, node.output[0])


def _matmul(node: NodeProto, flow: Flow) -> None:
    weight = _stored(node, flow, 1)
    if weight.ndim != 2:
        raise Refusal("its weight is no matrix")
    rank = len(_shape(flow, node.output[0]))
    made = flow.produce(node.output[0], weight.shape[1])
    flow.set(node.output[0], made.reshape(*[1] * (rank - 1), -1))
    _contract(node, flow, 0, along=rank - 1)
    flow.keep(node, 1, 1, node.output[0])


def _contract(node: NodeProto, flow: Flow, axis: int, groups: int = 1, along: int = 1) -> None:
    """Sum over the channels of input 0; where they are not known, they do not change."""
    if flow.of(node.input[0]) is not None:
        _along(flow, node.input[0], along)
        flow.contract(node, 1, axis, node.input[0], groups)


def _bias(node: NodeProto, flow: Flow) -> bool:
    """Whether there is one, which is input 2; Refusal where it is computed."""
    given = len(node.input) > 2 and bool(node.input[2])
    if given:
        _stored(node, flow, 2)
    return given


# Every channel for itself


def _same(node: NodeProto, flow: Flow) -> None:
    """Ops on single values, and ops that see one channel at a time."""
    if any(node.output[1:]):
        raise Refusal("it has further outputs")
    flow.set(node.output[0], _known(flow, node.input[0]))


def _norm(node: NodeProto, flow: Flow) -> None:
    """Batch and instance normalization: parameters for each channel."""
    flow.set(node.output[0], _along(flow, node.input[0], 1))
    for slot in range(1, len(node.input)):
        _stored(node, flow, slot)
    for slot in range(1, len(node.input)):
        flow.keep(node, slot, 0, node.output[0])


def _spatial(node: NodeProto, flow: Flow) -> None:
    """Pooling: as long as channels lie along axis 1 only."""
    _along(flow, node.input[0], 1)
    _same(node, flow)


def _resize(node: NodeProto, flow: Flow) -> None:
    channels = _along(flow, node.input[0], 1)
    sizes = 3 if len(node.input) > 3 and node.input[3] else None
    if sizes is None and _shape(flow, node.output[0])[1] != _shape(flow, node.input[0])[1]:
        raise Refusal("it resizes channels")
    flow.set(node.output[0], channels)
    if sizes is not None and "axes" not in attributes(node):
        values = _stored(node, flow, sizes).tolist()
        flow.set_integers(node, sizes, [values[0], channels.shape[1], *values[2:]])


def _pad(node: NodeProto, flow: Flow) -> None:
    if _shape(flow, node.output[0])[1] != _shape(flow, node.input[0])[1]:
        raise Refusal("it pads channels")
    flow.set(node.output[0], _along(flow, node.input[0], 1))


def _softmax(node: NodeProto, flow: Flow) -> None:
    channels = _known(flow, node.input[0])
    if channels.shape[_attribute(node, "axis", -1)] > 1:
        raise Refusal("it sets channels against each other")
    flow.set(node.output[0], channels)


# Several inputs


def _elementwise(node: NodeProto, flow: Flow) -> None:
    """Channels of several inputs meet one by one; a constant may have a value for each."""
    shape = _shape(flow, node.output[0])
    result: Channels | None = None
    for name in node.input:
        if flow.network.is_constant(name):
            continue
        channels = _known(flow, name)
        channels = channels.reshape(*[1] * (len(shape) - channels.ndim), *channels.shape)
        result = channels if result is None else _met(flow, result, channels)
    if result is None:
        raise Refusal("it computes a constant")
    flow.set(node.output[0], result)
    for slot, name in enumerate(node.input):
        if flow.network.is_constant(name):
            _keep_broadcast(node, slot, flow, result)


def _met(flow: Flow, a: Channels, b: Channels) -> Channels:
    if a.shape == b.shape:
        return flow.merge(a, b)
    wide, narrow = (a, b) if a.size > b.size else (b, a)
    if narrow.size > 1:
        raise Refusal("its inputs have different channels")
    flow.freeze(narrow, "it is spread over the channels of another tensor")
    return wide


def _keep_broadcast(node: NodeProto, slot: int, flow: Flow, channels: Channels) -> None:
    """A constant beside computed values, of which it may have one for each channel."""
    sizes = _stored(node, flow, slot).shape
    missing = channels.ndim - len(sizes)
    own = [axis for axis, size in enumerate(sizes) if size > 1 and channels.shape[missing + axis] > 1]
    if own:
        _along(flow, node.output[0], missing + own[0])
        flow.keep(node, slot, own[0], node.output[0])
    elif channels.size == 1 and max(sizes, default=1) > 1:
        flow.freeze(channels, "it meets a constant of many values")


def _prelu(node: NodeProto, flow: Flow) -> None:
    _stored(node, flow, 1)
    _elementwise(node, flow)


def _concat(node: NodeProto, flow: Flow) -> None:
    parts = [_known(flow, name) for name in node.input]
    axis = int(_attribute(node, "axis", 1)) % parts[0].ndim
    sizes = [_shape(flow, name)[axis] for name in node.input]
    if all(part.shape[axis] > 1 or size == 1 for part, size in zip(parts, sizes, strict=True)):
        flow.set(node.output[0], np.concatenate(parts, axis))
        return
    # Along another axis, each channel of the output is made of one from every input.
    result = parts[0]
    for part in parts[1:]:
        if part.shape != result.shape:
            raise Refusal("its inputs have different channels")
        result = flow.merge(result, part)
    flow.set(node.output[0], result)


# Parts of a tensor


def _split(node: NodeProto, flow: Flow) -> None:
    channels = _known(flow, node.input[0])
    axis = int(_attribute(node, "axis", 0)) % channels.ndim
    if len(node.input) > 1:
        _stored(node, flow, 1)
    if channels.shape[axis] == 1:
        for name in node.output:
            flow.set(name, channels)
        return
    _along(flow, node.input[0], axis)
    ends = np.cumsum([_shape(flow, name)[axis] for name in node.output])
    parts = _parts(flow, node.input[0], [0, *ends.tolist()])
    for name, (start, stop) in zip(node.output, parts, strict=True):
        flow.set(name, np.take(channels, range(start, stop), axis))
    sizes = [stop - start for start, stop in parts]
    if len(node.input) > 1 or len(set(sizes)) > 1:
        flow.set_integers(node, 1, sizes)


def _slice(node: NodeProto, flow: Flow) -> None:
    channels = _known(flow, node.input[0])
    starts, ends = (_stored(node, flow, slot).tolist() for slot in (1, 2))
    given = len(node.input) > 3 and node.input[3]
    axes = _stored(node, flow, 3).tolist() if given else list(range(len(starts)))
    steps = _stored(node, flow, 4).tolist() if len(node.input) > 4 else [1] * len(starts)
    result = channels
    for place, (axis, step) in enumerate(zip(axes, steps, strict=True)):
        if channels.shape[axis] == 1:
            continue
        if step != 1:
            raise Refusal("it takes every so many channels")
        _along(flow, node.input[0], axis % channels.ndim)
        start, end, _ = slice(starts[place], ends[place]).indices(_shape(flow, node.input[0])[axis])
        _, (starts[place], ends[place]) = _parts(flow, node.input[0], [0, start, end])
        result = np.take(channels, range(starts[place], ends[place]), axis)
        flow.set_integers(node, 1, starts)
        flow.set_integers(node, 2, ends)
    flow.set(node.output[0], result)


def _parts(flow: Flow, tensor: str, bounds: Sequence[int]) -> list[tuple[int, int]]:
    """Where the parts of the original channels between these bounds lie now."""
    positions = flow.positions(tensor)
    part = np.searchsorted(bounds[1:], positions, side="right")
    if (np.diff(part) < 0).any():
        raise Refusal("it takes a part of channels that are no longer side by side")
    edges = np.searchsorted(part, range(len(bounds)))
    return [(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _gather(node: NodeProto, flow: Flow) -> None:
    channels = _known(flow, node.input[0])
    axis = int(_attribute(node, "axis", 0)) % channels.ndim
    indices = _stored(node, flow, 1)
    if channels.shape[axis] == 1:
        flow.set(node.output[0], np.take(channels, np.zeros([1] * indices.ndim, int), axis))
        return
    size = _shape(flow, node.input[0])[axis]
    if channels.shape[axis] == size and channels.size > size:
        flow.set(node.output[0], np.take(channels, indices, axis))
        return
    _along(flow, node.input[0], axis)
    if indices.ndim != 1:
        raise Refusal("it picks out single channels")
    positions = flow.positions(node.input[0])
    chosen = np.concatenate([np.flatnonzero(positions == index % size) for index in indices.tolist()])
    flow.set(node.output[0], np.take(channels, chosen, axis))
    flow.set_integers(node, 1, chosen.tolist())


# Other arrangements of the same values


def _transpose(node: NodeProto, flow: Flow) -> None:
    channels = _known(flow, node.input[0])
    order = _attribute(node, "perm", list(range(channels.ndim))[::-1])
    flow.set(node.output[0], channels.transpose(order))


def _reshape(node: NodeProto, flow: Flow) -> None:
    stated = _stored(node, flow, 1).tolist()
    result, changing = _rearranged(node, flow, stated)
    flow.set(node.output[0], result)
    if changing:
        sizes = [result.shape[a] if a in changing and size > 0 else size for a, size in enumerate(stated)]
        flow.set_integers(node, 1, sizes)


def _flatten(node: NodeProto, flow: Flow) -> None:
    """Flatten, Squeeze, Unsqueeze: their shapes follow by themselves."""
    flow.set(node.output[0], _rearranged(node, flow, [])[0])


def _rearranged(node: NodeProto, flow: Flow, stated: Sequence[int]) -> tuple[Channels, list[int]]:
    """The channels in the output's shape, and the axes of it whose lengths follow their number."""
    channels = _known(flow, node.input[0])
    before, after = _shape(flow, node.input[0]), _shape(flow, node.output[0])
    if math.prod(before) != math.prod(after) or 0 in before:
        raise Refusal("the shape of its output is not known")
    spread = [1] * channels.ndim
    sizes = [1] * len(after)
    shared: list[tuple[int, list[int]]] = []
    for ins, outs in _aligned(before, after):
        if all(channels.shape[i] == 1 for i in ins):
            continue
        # What lies between channels, such as the pixels that Flatten puts in line, gets its channel's number.
        for i in ins:
            spread[i] = channels.shape[i] if channels.shape[i] > 1 else before[i]
        free = _free_axis(outs, after, stated)
        others = [o for o in outs if o != free]
        count, row = math.prod(spread[i] for i in ins), math.prod(after[o] for o in others)
        if count % row:
            raise Refusal("it arranges channels in rows that would no longer be full")
        for o in outs:
            sizes[o] = count // row if o == free else after[o]
        shared.append((free, others))
    result = np.broadcast_to(channels, spread).reshape(sizes)
    for _, others in shared:
        for other in others:
            flow.tie(result, other)
    return result, [free for free, _ in shared]


def _free_axis(outs: Sequence[int], after: Shape, stated: Sequence[int]) -> int:
    """Which of the axes that share out channels changes with their number: the inferred, or the longest."""
    inferred = [o for o in outs if o < len(stated) and stated[o] == -1 and after[o] > 1]
    return inferred[0] if inferred else max(outs, key=lambda o: after[o])


def _aligned(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes of two shapes that hold the same number of values, in order."""
    runs: list[tuple[list[int], list[int]]] = []
    i = o = 0
    while i < len(before) or o < len(after):
        ins, outs = [], []
        if i < len(before):
            ins.append(i)
            i += 1
        if o < len(after):
            outs.append(o)
            o += 1
        while math.prod(before[a] for a in ins) != math.prod(after[a] for a in outs):
            if math.prod(before[a] for a in ins) < math.prod(after[a] for a in outs):
                ins.append(i)
                i += 1
            else:
                outs.append(o)
                o += 1
        runs.append((ins, outs))
    return runs


def _reduce(node: NodeProto, flow: Flow) -> None:
    channels = _known(flow, node.input[0])
    given = _attribute(node, "axes", [])
    if len(node.input) > 1 and node.input[1]:
        given = _stored(node, flow, 1).tolist()
    axes = [axis % channels.ndim for axis in given or range(channels.ndim)]
    if any(channels.shape[axis] > 1 for axis in axes):
        raise Refusal("it reduces channels to one")
    if not _attribute(node, "keepdims", 1):
        channels = np.squeeze(channels, tuple(axes))
    flow.set(node.output[0], channels)


# What rules have in common


def _known(flow: Flow, name: str) -> Channels:
    channels = flow.of(name)
    if channels is None:
        raise Refusal(f"it reads {name!r}, whose channels are not known")
    return channels


def _along(flow: Flow, name: str, axis: int) -> Channels:
    """The channels of a tensor, which must lie along this axis alone."""
    channels = _known(flow, name)
    if channels.size != channels.shape[axis]:
        raise Refusal(f"it reads {name!r}, whose channels do not lie along axis {axis} alone")
    return channels


def _shape(flow: Flow, name: str) -> Shape:
    if name not in flow.network.shapes:
        raise Refusal(f"the shape of {name!r} is not known")
    return flow.network.shapes[name]


def _stored(node: NodeProto, flow: Flow, slot: int) -> npt.NDArray[Any]:
    name = node.input[slot]
    if not flow.network.is_constant(name):
        raise Refusal(f"its input {name!r} is computed, not stored")
    return flow.network.constant(name)


def _attribute(node: NodeProto, name: str, default: Any) -> Any:
    return attributes(node).get(name, default)


_RULES: dict[str, Rule] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "PRelu": _prelu,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Resize": _resize,
    "Pad": _pad,
    "Softmax": _softmax,
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _norm),
    **dict.fromkeys(("Flatten", "Squeeze", "Unsqueeze"), _flatten),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceL2"), _reduce),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool"), _spatial),
    **dict.fromkeys(("Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum"), _elementwise),
    **dict.fromkeys(
        (
            "Abs", "Cast", "Ceil", "Celu", "Clip", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu",
            "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu",
            "Round", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh", "ThresholdedRelu",
        ),
        _same,
    ),
}  # fmt: skip
