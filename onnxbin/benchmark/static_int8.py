"""What users have today: ONNX Runtime's static int8 quantization, with the settings that serve x86 best.

QDQ nodes; activations unsigned, weights signed and per channel: the pair that ONNX Runtime has its fastest
kernels for (signed activations were 1.6 to 3 times slower on AVX-512). What follows the last convolutions,
the decoding of boxes, stays float: boxes and scores joined in one 8-bit tensor leave no score above zero.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from onnxbin.benchmark.contender import Feed
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.layers import inventory
from onnxbin.prepare import prepare
from onnxbin.surgery import layer_names

CALIBRATION = 100
"""Images that are enough to take the ranges of activations from."""


def quantize(proto: ModelProto, feeds: Iterable[Feed], path: Path) -> None:
    """Write the int8 version of a model.

    feeds: inputs on which the ranges of the activations are measured.
    Nodes are called as onnxbin calls them (see onnxbin.surgery.layer_names).
    Raises OnnxbinError where ONNX Runtime cannot quantize the model.
    """
    prepared = prepare(proto)  # batch norms folded, opset 13: what per-channel weights need
    names = layer_names(prepared)
    for node in prepared.graph.node:
        if node.output:
            node.name = names[node.output[0]]
    with tempfile.TemporaryDirectory() as folder, _silence():
        source = Path(folder) / "prepared.onnx"
        onnx.save(prepared, source)
        try:
            quantize_static(
                str(source),
                str(path),
                _Reader(feeds),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=decoding(prepared),
            )
        except Exception as error:  # of any type: the quantizer has none of its own
            raise OnnxbinError(
                f"ONNX Runtime cannot quantize the model to int8: {first_line(error)}"
            ) from None


def decoding(proto: ModelProto) -> list[str]:
    """The nodes that are no convolutions with learned weights, nor have any behind them; by name."""
    learned = {layer.output for layer in inventory(proto) if not layer.fixed}
    reaching: set[str] = set()
    found = []
    for node in reversed(proto.graph.node):
        if any(name in learned or name in reaching for name in node.output):
            reaching.update(node.input)
        else:
            found.append(node.name)
    return found


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
