"""Ops that treat every element alike: arithmetic, activations, comparisons, types."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce, wraps

import torch
from torch import Tensor
from torch.nn import functional

from onnxbin.bridge.ops.registry import op
from onnxbin.bridge.tensors import torch_dtype
from onnxbin.errors import OnnxbinError

_UNSIGNED = {torch.uint16, torch.uint32, torch.uint64}


def wide(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, but on unsigned integers of more than 8 bits it works in int64 and narrows the result.

    PyTorch stores these types, but computes on none of them.
    """

    @wraps(function)
    def compute(*values: Tensor, **attributes: object) -> Tensor:
        unsigned = next((v.dtype for v in values if isinstance(v, Tensor) and v.dtype in _UNSIGNED), None)
        if unsigned is None:
            return function(*values, **attributes)
        widened = [v.long() if isinstance(v, Tensor) else v for v in values]
        if unsigned == torch.uint64 and any((v < 0).any() for v in widened):
            raise OnnxbinError(
                "uint64 values of 2^63 and more are not supported: PyTorch has no type for them"
            )
        result = function(*widened, **attributes)
        return result if result.dtype == torch.bool else result.to(unsigned)

    return compute


_SAME_IN_PYTORCH: dict[str, Callable[..., Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Add": torch.add,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
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
    "Sinh": torch.sinh,
    "Softplus": functional.softplus,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
    "Where": torch.where,
}
_NO_GRADIENT: dict[str, Callable[..., Tensor]] = {
    "And": torch.logical_and,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseNot": torch.bitwise_not,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "Ceil": torch.ceil,
    "Equal": torch.eq,
    "Floor": torch.floor,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "IsNaN": torch.isnan,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "Round": torch.round,  # half to even, in both
    "Sign": torch.sign,
    "Xor": torch.logical_xor,
}
for _name, _function in _SAME_IN_PYTORCH.items():
    op(_name)(wide(_function))
for _name, _function in _NO_GRADIENT.items():
    op(_name, differentiable=False)(wide(_function))


@op("Div")
@wide
def div(a: Tensor, b: Tensor) -> Tensor:
    """a / b; integers are cut towards zero, as in C."""
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


@op("Mod", differentiable=False)
@wide
def mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """The remainder with the sign of b, or with that of a where fmod = 1."""
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


@op("Pow")
def power(a: Tensor, b: Tensor) -> Tensor:
    """a ** b in the type of a."""
    y: Tensor = wide(torch.pow)(a, b.long() if b.dtype in _UNSIGNED else b)
    return y.to(a.dtype)


@op("Max")
@wide
def maximum(*values: Tensor) -> Tensor:
    """The largest of all inputs."""
    return reduce(torch.maximum, values)


@op("Min")
@wide
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


@op("Clip", reads=(1, 2))
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


@op("Swish")
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x * sigmoid(alpha * x)."""
    return functional.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@op("Softmax")
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """exp(x) over its sum along the axis."""
    return torch.softmax(x, axis)


@op("LogSoftmax")
def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """The logarithm of softmax."""
    return torch.log_softmax(x, axis)


@op("Hardmax", differentiable=False)
def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """1 at the first largest element along the axis, 0 elsewhere."""
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1)


@op("IsInf", differentiable=False)
def is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Whether an element is infinite, of the signs asked for."""
    return (torch.isposinf(x) & bool(detect_positive)) | (torch.isneginf(x) & bool(detect_negative))


@op("BitShift", differentiable=False)
@wide
def bit_shift(x: Tensor, by: Tensor, *, direction: str) -> Tensor:
    """The bits of x moved left or right, zeros coming in."""
    return torch.bitwise_left_shift(x, by) if direction == "LEFT" else torch.bitwise_right_shift(x, by)


@op("BitCast", differentiable=False)
def bit_cast(x: Tensor, *, to: int) -> Tensor:
    """The bits of x read as another type of the same size."""
    dtype = torch_dtype(to)
    if dtype.itemsize != x.dtype.itemsize:  # also: a 16-bit float, which is not one here
        raise OnnxbinError(f"the bits of {x.dtype} cannot be read as {dtype}: the sizes differ")
    return x.view(dtype)


def _convert(x: Tensor, dtype: torch.dtype, saturate: bool) -> Tensor:
    if dtype.is_floating_point and dtype.itemsize == 1:
        x = x.to(torch.float32)
        largest = torch.finfo(dtype).max
        if saturate:
            x = x.clamp(-largest, largest)
        elif dtype == torch.float8_e4m3fn:  # PyTorch saturates; 464 is half way to what would follow 448
            x = x.masked_fill(x.abs() > 464, torch.nan)
    return x.to(dtype)


@op("Cast")
def cast(
    x: Tensor,
    *,
    to: int,
    saturate: int = 1,
    round_mode: str = "up",  # noqa: ARG001  of a type that is not supported
) -> Tensor:
    """x in another type; what an 8-bit float cannot hold becomes its largest value if `saturate`."""
    return _convert(x, torch_dtype(to), bool(saturate))


@op("CastLike")
def cast_like(
    x: Tensor,
    like: Tensor,
    *,
    saturate: int = 1,
    round_mode: str = "up",  # noqa: ARG001  as above
) -> Tensor:
    """x in the type of `like`."""
    return _convert(x, like.dtype, bool(saturate))


@op("Identity")
def identity(x: Tensor) -> Tensor:
    """The input itself."""
    return x


@op("Dropout")
def dropout(x: Tensor, *_: Tensor | None, seed: int = 0) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """The input itself and a mask of ones: a detector that is compressed is in inference mode."""
    return x, torch.ones_like(x, dtype=torch.bool)
