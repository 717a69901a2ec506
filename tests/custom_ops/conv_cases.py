"""Convolutions to test kernels with, their definition in NumPy, and the file format of the C++ runner."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

REAL, SIGN, QUANT = 0, 1, 2
OPS = {REAL: "BinaryConv", SIGN: "BinaryConvSign", QUANT: "BinaryConvQuant"}

ACTIVATIONS = ("", "Relu", "Clip", "LeakyRelu", "HardSwish", "Silu")  # in the order of Activation::Kind


@dataclass(frozen=True)
class Case:
    """One convolution: an operator's attributes, the shape of X, and a seed for all numbers."""

    op: int = SIGN
    x_bits: int = 1
    bases: int = 1
    group: int = 1
    group_channels: int = 3
    group_outputs: int = 2
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilations: tuple[int, int] = (1, 1)
    batch: int = 1
    size: tuple[int, int] = (5, 5)
    per_channel: bool = False
    activation: str = ""
    alpha: float = 0.1  # of LeakyRelu
    bounds: tuple[float, float] = (-1.5, 2.5)  # of Clip
    seed: int = 0
    special: float | None = field(default=None)  # written over one input

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.group * self.group_outputs, self.group_channels, *self.kernel)

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.group * self.group_channels, *self.size)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        height, width = (
            (self.size[i] + self.pads[i] + self.pads[i + 2] - (self.kernel[i] - 1) * self.dilations[i] - 1)
            // self.strides[i]
            + 1
            for i in (0, 1)
        )
        return (self.batch, self.weight_shape[0], height, width)

    @property
    def fits(self) -> bool:
        """Whether the window fits into the padded image."""
        return all(
            (self.kernel[i] - 1) * self.dilations[i] + 1 <= self.size[i] + self.pads[i] + self.pads[i + 2]
            for i in (0, 1)
        )


@dataclass(frozen=True)
class Tensors:
    """The inputs of a case, by their names in the contract."""

    w: NDArray[np.uint8]
    scale: Floats
    bias: Floats
    x_step: Floats
    x_zero: Floats
    x: Floats


def tensors(case: Case) -> Tensors:
    """Random inputs. Unused bits of W are set at random too: they must be ignored."""
    rng = np.random.default_rng(case.seed)
    m, channels = case.weight_shape[0], case.x_shape[1]
    k = int(np.prod(case.weight_shape[1:]))
    x = rng.normal(size=case.x_shape).astype(np.float32)
    if x.size:
        x.flat[:: max(1, x.size // 7)] = 0.0
        x.flat[1 :: max(1, x.size // 5)] = -0.0
        if case.special is not None:
            x.flat[rng.integers(x.size)] = case.special
    per_channel = case.op == SIGN and case.per_channel
    x_zero = rng.normal(size=channels if per_channel else 1) * 0.1
    if case.op == QUANT:
        x_zero = np.array([(2**case.x_bits - 1) / 2 + rng.choice([0.0, 0.5, 0.3])])
    elif rng.random() < 0.5:
        x_zero = np.zeros_like(x_zero)
    step = 4.0 / 2**case.x_bits if case.op == QUANT else 0.7
    return Tensors(
        w=rng.integers(0, 256, (case.bases, m, (k + 7) // 8), dtype=np.uint8),
        scale=rng.normal(size=(case.bases, m)).astype(np.float32),
        bias=rng.normal(size=m).astype(np.float32),
        x_step=np.array([step], np.float32),
        x_zero=x_zero.astype(np.float32),
        x=x,
    )


def input_values(case: Case, inputs: Tensors) -> NDArray[np.float64]:
    """V of the contract: float32 operations, each rounded, up to q; exact from there on."""
    x = inputs.x
    if case.op == REAL:
        return x.astype(np.float64)
    step = inputs.x_step[0]
    if case.op == SIGN:
        return np.where(x >= inputs.x_zero.reshape(1, -1, 1, 1), step, -step).astype(np.float64)
    with np.errstate(invalid="ignore"):
        raw = np.floor(x * (np.float32(1) / step) + inputs.x_zero[0] + np.float32(0.5))
    assert raw.dtype == np.float32
    q = np.clip(np.where(np.isnan(raw), 0, raw), 0, 2**case.x_bits - 1).astype(np.float64)
    values: NDArray[np.float64] = float(step) * (q - float(inputs.x_zero[0]))
    return values


def activated(case: Case, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the contract's activations make of a convolution's outputs."""
    with np.errstate(all="ignore"):
        forms = {
            "": y,
            "Relu": np.maximum(y, 0),
            "Clip": np.clip(y, *case.bounds),
            "LeakyRelu": np.where(y < 0, np.float64(np.float32(case.alpha)) * y, y),
            "HardSwish": y * np.clip(y / 6 + 0.5, 0, 1),
            "Silu": y / (1 + np.exp(-y)),
        }
    return forms[case.activation]


def convolved(case: Case, inputs: Tensors) -> NDArray[np.float64]:
    """Conv(V, W') + bias in float64: windows of the zero-padded V against unpacked signs."""
    m, k = case.weight_shape[0], int(np.prod(case.weight_shape[1:]))
    bits = np.unpackbits(inputs.w, axis=2, count=k, bitorder="little").astype(np.float64)
    weight = ((2 * bits - 1) * inputs.scale[:, :, None].astype(np.float64)).sum(axis=0)
    v = input_values(case, inputs)
    top, left, bottom, right = case.pads
    v = np.pad(v, ((0, 0), (0, 0), (top, bottom), (left, right)))
    batch, _, height, width = case.y_shape
    y = np.zeros((batch, m, height, width))
    if not batch:
        return y
    span = tuple((case.kernel[i] - 1) * case.dilations[i] + 1 for i in (0, 1))
    windows = np.lib.stride_tricks.sliding_window_view(v, span, axis=(2, 3))
    windows = windows[
        :, :, :: case.strides[0], :: case.strides[1], :: case.dilations[0], :: case.dilations[1]
    ]
    for g in range(case.group):
        rows = slice(g * case.group_outputs, (g + 1) * case.group_outputs)
        channels = slice(g * case.group_channels, (g + 1) * case.group_channels)
        y[:, rows] = np.einsum(
            "nchwij,mcij->nmhw", windows[:, channels], weight[rows].reshape(-1, *case.weight_shape[1:])
        )
    return y + inputs.bias.astype(np.float64)[:, None, None]


def write_cases(cases: list[Case], path: Path) -> None:
    """The input file of test/run_cases.cpp."""
    with path.open("wb") as file:
        file.write(np.array([len(cases)], "<i8").tobytes())
        for case in cases:
            inputs = tensors(case)
            header = [case.op, case.x_bits, case.bases, *case.x_shape, *case.weight_shape, *case.strides]
            header += [*case.pads, *case.dilations, case.group, inputs.x_zero.size]
            header += [ACTIVATIONS.index(case.activation)]
            file.write(np.array(header, "<i8").tobytes())
            file.write(np.array([*case.bounds, case.alpha], "<f4").tobytes())
            for array in (inputs.w, inputs.scale, inputs.bias, inputs.x_step, inputs.x_zero, inputs.x):
                file.write(array.tobytes())
