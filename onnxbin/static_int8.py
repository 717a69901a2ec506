"""ONNX Runtime's static int8 quantization, with the settings that serve x86 best.

QDQ nodes; activations unsigned, weights signed and per channel: the pair that ONNX Runtime has its fastest
kernels for (signed activations were 1.6 to 3 times slower on AVX-512). What follows the last convolutions,
the decoding of boxes, stays float: boxes and scores joined in one 8-bit tensor leave no score above zero.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from onnxbin.errors import OnnxbinError, first_line
from onnxbin.large import serialized
from onnxbin.layers import inventory
from onnxbin.operator.function import DOMAIN
from onnxbin.surgery import fresh_name, layer_names

CALIBRATION = 100
"""Images that are enough to take the ranges of activations from."""

Feed = Mapping[str, npt.NDArray[Any]]


def with_static_int8(
    prepared: ModelProto,
    feeds: Iterable[Feed],
    *,
    ops: Collection[str] | None = None,
    keep: Collection[str] = (),
) -> ModelProto:
    """A copy of a prepared model (see onnxbin.prepare) that computes in int8.

    feeds: inputs on which the ranges of the activations are measured. ops: the types of nodes to quantize;
    None for all that ONNX Runtime can. keep: nodes that stay as they are, called as `layer_names` calls them
    (see onnxbin.surgery). Nodes of ours stay as they are.
    Raises OnnxbinError where ONNX Runtime cannot quantize the model.
    """
    named = ModelProto()
    named.CopyFrom(prepared)
    names = layer_names(named)
    for node in named.graph.node:
        if node.output:
            node.name = names[node.output[0]]
    with tempfile.TemporaryDirectory() as folder, _silence():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(serialized(named))
        try:
            quantize_static(
                str(source),
                str(target),
                _Reader(feeds),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=None if ops is None else list(ops),
                nodes_to_exclude=[*decoding(named), *keep],
            )
        except Exception as error:  # of any type: the quantizer has none of its own
            raise OnnxbinError(
                f"ONNX Runtime cannot quantize the model to int8: {first_line(error)}"
            ) from None
        quantized = onnx.load(target)
    _shorten_names(
        quantized, known={name for node in named.graph.node for name in (*node.input, *node.output)}
    )
    model = ModelProto()
    model.CopyFrom(prepared)
    model.graph.CopyFrom(quantized.graph)
    return model


def decoding(proto: ModelProto) -> list[str]:
    """The nodes that are no convolutions with learned weights, nor have any behind them; by name."""
    learned = {layer.output for layer in inventory(proto) if not layer.fixed}
    learned |= {name for node in proto.graph.node if node.domain == DOMAIN for name in node.output}
    reaching: set[str] = set()
    found = []
    for node in reversed(proto.graph.node):
        if any(name in learned or name in reaching for name in node.output):
            reaching.update(node.input)
        else:
            found.append(node.name)
    return found


def _shorten_names(model: ModelProto, known: Collection[str]) -> None:
    """Give what the quantizer has added names of few bytes: its own are a large part of a small file."""
    graph = model.graph
    taken, short = set(known), {"": ""}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.name = ""
        for part in (node.input, node.output):
            for i, name in enumerate(part):
                if name not in known:
                    if name not in short:
                        short[name] = fresh_name(f"q{len(short)}", taken)
                    part[i] = short[name]
    for tensor in graph.initializer:
        tensor.name = short.get(tensor.name, tensor.name)
    del graph.value_info[:]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The quantizer logs advice that has been followed, and older ones warn of weights that are all zero."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
