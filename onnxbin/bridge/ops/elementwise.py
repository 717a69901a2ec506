"""Ops that treat every element alike: arithmetic, activations, comparisons, types."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from onnxbin.bridge.ops.registry import op
from onnxbin.bridge.tensors import torch_dtype

_SAME_IN_PYTORCH: dict[str, Callable[..., Tensor]] = {
    "Abs": torch.abs,
    "Add": torch.add,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "HardSwish": functional.hardswish,
    "Log": torch.log,
    "Mish": functional.mish,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Relu": functional.relu,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Softplus": functional.softplus,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Tanh": torch.tanh,
    "Where": torch.where,
}
_NO_GRADIENT: dict[str, Callable[..., Tensor]] = {
    "And": torch.logical_and,
    "Ceil": torch.ceil,
    "Equal": torch.eq,
    "Floor": torch.floor,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "Round": torch.round,  # half to even, in both
    "Sign": torch.sign,
    "Xor": torch.logical_xor,
}
for _name, _function in _SAME_IN_PYTORCH.items():
    op(_name)(_function)
for _name, _function in _NO_GRADIENT.items():
    op(_name, differentiable=False)(_function)


@op("Div")
def div(a: Tensor, b: Tensor) -> Tensor:
    """a / b; integers are cut towards zero, as in C."""
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


@op("Mod", differentiable=False)
def mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """The remainder with the sign of b, or with that of a where fmod = 1."""
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


@op("Pow")
def power(a: Tensor, b: Tensor) -> Tensor:
    """a ** b in the type of a."""
    return torch.pow(a, b).to(a.dtype)


@op("Max")
def maximum(*values: Tensor) -> Tensor:
    """The largest of all inputs."""
    return reduce(torch.maximum, values)


@op("Min")
def minimum(*values: Tensor) -> Tensor:
    """The smallest of all inputs."""
    return reduce(torch.minimum, values)


@op("Sum")
def total(*values: Tensor) -> Tensor:
    """The sum of all inputs."""
    return reduce(torch.add, values)


@op("Mean")
def mean(*values: Tensor) -> Tensor:
    """The mean of all inputs."""
    return reduce(torch.add, values) / len(values)


@op("Clip")
def clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """x limited to low .. high, both scalars; high wins where they cross."""
    if low is None and high is None:
        return x
    return torch.clamp(x, None if low is None else low.item(), None if high is None else high.item())


@op("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """X where positive, else alpha * x."""
    return functional.leaky_relu(x, alpha)


@op("PRelu")
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """X where positive, else slope * x, with the slope broadcast from the last axis on."""
    return torch.where(x >= 0, x, slope * x)


@op("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """X where positive, else alpha * (exp(x) - 1)."""
    return functional.elu(x, alpha)


@op("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """Alpha * x + beta, limited to 0 .. 1."""
    return torch.clamp(alpha * x + beta, 0, 1)


@op("Gelu")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """x * Phi(x), or its approximation by tanh."""
    return functional.gelu(x, approximate=approximate)


@op("Softmax")
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """exp(x) over its sum along the axis."""
    return torch.softmax(x, axis)


@op("LogSoftmax")
def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """The logarithm of softmax."""
    return torch.log_softmax(x, axis)


@op("Cast")
def cast(
    x: Tensor,
    *,
    to: int,
    saturate: int = 1,  # noqa: ARG001  of 8-bit floats
) -> Tensor:
    """x in another type."""
    return x.to(torch_dtype(to))


@op("Identity")
def identity(x: Tensor) -> Tensor:
    """The input itself."""
    return x


@op("Dropout")
def dropout(x: Tensor, *_: Tensor | None, seed: int = 0) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """The input itself and a mask of ones: a detector that is compressed is in inference mode."""
    return x, torch.ones_like(x, dtype=torch.bool)
