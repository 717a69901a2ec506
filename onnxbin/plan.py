"""What a compression will do, known before any training: the order of layers and the size after each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from onnxbin.errors import OnnxbinError
from onnxbin.fusion import fused
from onnxbin.images import METADATA_KEY, Choice, choose
from onnxbin.inputs.widths import Inputs, blanks
from onnxbin.large import byte_size
from onnxbin.layers import ConvLayer, inventory
from onnxbin.model import Model, check, set_metadata
from onnxbin.operator import BinaryWeight
from onnxbin.prepare import prepare
from onnxbin.priority import deepest_first, largest_first
from onnxbin.rest import stored_bytes, with_rest_stored
from onnxbin.settings import Settings, Stored
from onnxbin.surgery import BinaryLayer, with_binary_layers, with_values
from onnxbin.version import __version__

ORIGINAL_KEY, VERSION_KEY = "onnxbin.original", "onnxbin.version"
"""Where a written model's metadata says what it was made from (JSON: file, bytes, sha256), and by what."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Plan:
    """original: as read. layers: all its convolutions. order: those to binarize.

    prepared: what is compressed; its metadata says what it was made from and how images are fed to it.
    preprocessing: how, and where that is known from.
    rest: how the weights that stay real are stored. inputs: what becomes of the inputs of binary layers.
    shared: bytes that the first binary layer brings along for all: the functions of the operator.
    overhead: bytes that the nodes and names of a binary layer take more than those of a real one, on average.
    ratios: the file ratio after each layer of `order`, from the sizes of tensors; the last one is exact.
    """

    original: Model
    prepared: ModelProto
    preprocessing: Choice
    layers: list[ConvLayer]
    order: list[ConvLayer]
    rest: Stored
    inputs: Inputs
    shared: float
    overhead: float
    ratios: list[float]

    @property
    def largest_ratio(self) -> float:
        """The file ratio with every candidate binarized: no setting of this run gets beyond it."""
        return max(self.ratios, default=self.original.file_bytes / byte_size(self.build({}, {})))

    def build(self, real: Mapping[str, Array], binary: Mapping[str, BinaryLayer]) -> ModelProto:
        """The model as it is written: with these values of initializers, and these layers binary."""
        return fused(self.build_unfused(real, binary))

    def build_unfused(self, real: Mapping[str, Array], binary: Mapping[str, BinaryLayer]) -> ModelProto:
        """The same with activations as nodes of their own: each layer's output is a tensor of it."""
        mixed = with_binary_layers(with_values(self.prepared, real), binary)
        fixed = [layer.weight for layer in self.layers if layer.fixed]
        return with_rest_stored(mixed, self.rest, keep=fixed)

    def final_bytes(self, real: Mapping[str, Array], binary: Mapping[str, BinaryLayer]) -> float:
        """The size of that model's file when the inputs of its binary layers have got their widths.

        What the first binary layer brings along counts before there is one, so that each further layer takes
        its `bytes_saved` off.
        """
        size = byte_size(self.build(real, self._with_blank_inputs(binary)))
        return size if binary else size + self.shared

    def _with_blank_inputs(self, binary: Mapping[str, BinaryLayer]) -> dict[str, BinaryLayer]:
        channels = {layer.name: layer.in_channels for layer in self.order if layer.name in binary}
        quantizers = blanks(self.inputs, channels)
        return {name: replace(layer, quantizer=quantizers[name]) for name, layer in binary.items()}

    def bytes_saved(self, layer: ConvLayer, bases: int) -> float:
        """Of the file, by making a layer binary."""
        return layer.bytes_saved(bases, stored_bytes(layer.shape, self.rest)) - self.overhead

    def turns_until(self, ratio: float | None) -> int:
        """How many layers a file ratio takes; all of them where it is out of reach or not stated."""
        reached = (turn for turn, r in enumerate(self.ratios, 1) if ratio is not None and r >= ratio)
        return next(reached, len(self.order))


def plan(original: Model, settings: Settings) -> Plan:
    """Prepare the model, list its convolutions and order the candidates.

    Raises OnnxbinError where a model made from this one could not be valid.
    """
    preprocessing = choose(
        original.proto,
        profile=settings.profile,
        resize=settings.resize,
        channels=settings.channels,
        mean=settings.mean,
        std=settings.std,
    )
    prepared = prepare(original.proto)
    source = {"file": original.path.name, "bytes": original.file_bytes, "sha256": original.sha256}
    recorded = {ORIGINAL_KEY: json.dumps(source), VERSION_KEY: __version__}
    set_metadata(prepared, {**recorded, METADATA_KEY: preprocessing.preprocessing.to_json()})
    prepared = _checked(prepared)
    layers = inventory(
        prepared, include=settings.include, exclude=settings.exclude, input_size=settings.input_size
    )
    order = _order(layers, settings)
    # What is to compute in int8 is stored in it all the way; the arithmetic comes last.
    rest: Stored = "int8" if settings.rest == "static-int8" else settings.rest
    draft = Plan(original, prepared, preprocessing, layers, order, rest, settings.inputs, 0.0, 0.0, [])
    return _with_sizes(draft, settings.fewest_bases) if order else draft


def _order(layers: list[ConvLayer], settings: Settings) -> list[ConvLayer]:
    if settings.order is None:
        return deepest_first(layers) if settings.priority == "depth" else largest_first(layers)
    candidates = {layer.name: layer for layer in layers if layer.left_alone is None}
    for name in settings.order:
        if name not in candidates:
            reasons = {layer.name: layer.left_alone for layer in layers}
            why = f"cannot become binary: {reasons[name]}" if name in reasons else "is no convolution of it"
            raise OnnxbinError(f"order: {name!r} {why}")
    return [candidates[name] for name in dict.fromkeys(settings.order)]


def _checked(prepared: ModelProto) -> ModelProto:
    """The model, known to pass the full ONNX check; without its notes on shapes where these contradict it."""
    try:
        check(prepared)
        return prepared
    except OnnxbinError:
        model = ModelProto()
        model.CopyFrom(prepared)
        del model.graph.value_info[:]
        check(model)
        return model


def _with_sizes(draft: Plan, bases: int) -> Plan:
    """The plan with what it says of sizes, from the files of none of its layers binary and of all."""
    layers = {layer.name: _blank(layer, bases) for layer in draft.order}
    check(draft.build({}, layers))
    saved = [draft.bytes_saved(layer, bases) for layer in draft.order]
    none, all_of_them = draft.final_bytes({}, {}), draft.final_bytes({}, layers)
    first = draft.order[0].name
    one = draft.final_bytes({}, {first: layers[first]})
    overhead = (all_of_them - (one - sum(saved[1:]))) / max(1, len(saved) - 1)
    plan = replace(draft, shared=one - (none - saved[0] + overhead), overhead=overhead)
    sizes = plan.final_bytes({}, {}) - np.cumsum([plan.bytes_saved(layer, bases) for layer in plan.order])
    return replace(plan, ratios=[float(plan.original.file_bytes / size) for size in sizes])


def _blank(layer: ConvLayer, bases: int) -> BinaryLayer:
    """A layer of the right size; what it computes does not matter."""
    m, c, kh, kw = layer.shape
    signs = np.ones((bases, m, c, kh, kw), np.int8)
    return BinaryLayer(BinaryWeight(signs, np.ones((bases, m), np.float32)), np.ones(m, np.float32))
