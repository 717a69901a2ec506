"""The inputs of binary layers in PyTorch: exact forwards, straight-through backwards.

Forward, the modules compute what `onnxbin.operator.quantizer` states, in the same order of float32
operations. Backward, rounding counts as the identity inside the range and as a constant outside of it; steps,
zero points and thresholds learn too: steps as in LSQ (Esser et al., "Learned Step Size Quantization", ICLR
2020, section 2.1), zero points as in LSQ+ (Bhalgat et al. 2020, arXiv 2004.09576), thresholds as the
straight-through estimate of a shifted input has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxbin.operator import QuantInput, Quantizer, SignInput

SMALLEST_STEP = 3e-39
"""Steps do not get below it in training: the operators want them above zero, with finite inverses."""


class _SignInput(torch.autograd.Function):
    """+step where x >= zero, else -step; the gradient passes within one step of zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, zero: Tensor) -> Tensor:
        above = x >= zero
        ctx.save_for_backward((x - zero).abs() <= step, above)
        ctx.shape = zero.shape
        return torch.where(above, step, -step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inside, above = ctx.saved_tensors
        (gradient,) = gradients
        passed = gradient * inside
        to_step = torch.where(above, gradient, -gradient).sum().reshape(1) * _gradient_scale(gradient, 1.0)
        return passed, to_step, -passed.sum_to_size(ctx.shape)


class _LevelInput(torch.autograd.Function):
    """step * (q - zero), q clipped to 0 .. largest; the gradient passes where nothing was clipped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, zero: Tensor, largest: float) -> Tensor:
        scaled = x * (1 / step)
        r = torch.floor(scaled + zero + 0.5)
        # NaN goes to 0, as in the operators. (torch.where would do, at several times the cost.)
        q = r.nan_to_num(nan=0.0, posinf=largest, neginf=0.0).clamp_(0.0, largest)
        inside = q == r
        level = q - zero
        # What is infinite is not inside, and 0 times that is NaN.
        ctx.save_for_backward(inside, level - (scaled * inside).nan_to_num_(nan=0.0), step)
        ctx.largest = largest
        return step * level

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        inside, slope, step = ctx.saved_tensors
        (gradient,) = gradients
        scale = _gradient_scale(gradient, ctx.largest)
        to_step = (gradient * slope).sum().reshape(1) * scale
        to_zero = -(gradient * ~inside).sum().reshape(1) * step * scale
        return gradient * inside, to_step, to_zero, None


def _gradient_scale(x: Tensor, largest: float) -> float:
    """Of a step's gradient, a sum over all of x: LSQ, section 2.2."""
    return float(1 / np.sqrt(max(x.numel(), 1) * largest))


class SignQuantizer(nn.Module):
    """The input of BinaryConvSign: +step where x >= zero, else -step (NaN too).

    Parameters: `step` [1], `zero` [1, 1, 1, 1] or [1, C, 1, 1].
    """

    def __init__(self, quantizer: SignInput) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(quantizer.step))
        self.zero = nn.Parameter(torch.tensor(quantizer.zero).reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] quantised."""
        step = self.step.clamp(min=SMALLEST_STEP)
        quantized: Tensor = _SignInput.apply(x, step, self.zero)  # type: ignore[no-untyped-call]
        return quantized

    def quantizer(self) -> SignInput:
        """Step and thresholds as they are now."""
        zero = self.zero.detach().cpu().numpy().reshape(-1).copy()
        return SignInput(_positive(self.step), zero)


class LevelQuantizer(nn.Module):
    """The input of BinaryConvQuant: step * (q - zero), q = floor(x * (1 / step) + zero + 1/2).

    q is clipped to 0 .. 2^bits - 1; NaN becomes q = 0. Parameters: `step` [1], `zero` [1].
    """

    def __init__(self, quantizer: QuantInput) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(quantizer.step))
        self.zero = nn.Parameter(torch.tensor(quantizer.zero))
        self.bits = quantizer.bits

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] quantised."""
        step = self.step.clamp(min=SMALLEST_STEP)
        quantized: Tensor = _LevelInput.apply(  # type: ignore[no-untyped-call]
            x, step, self.zero, float(2**self.bits - 1)
        )
        return quantized

    def quantizer(self) -> QuantInput:
        """Step and zero point as they are now."""
        return QuantInput(_positive(self.step), self.zero.detach().cpu().numpy().copy(), self.bits)


class RealInput(nn.Identity):
    """The input of BinaryConv: as it is."""

    def quantizer(self) -> None:
        """None."""
        return


def module_of(quantizer: Quantizer) -> SignQuantizer | LevelQuantizer | RealInput:
    """The module that computes what a quantiser does."""
    if quantizer is None:
        return RealInput()
    return SignQuantizer(quantizer) if isinstance(quantizer, SignInput) else LevelQuantizer(quantizer)


def _positive(step: Tensor) -> Any:
    return step.detach().clamp(min=SMALLEST_STEP).cpu().numpy().copy()
