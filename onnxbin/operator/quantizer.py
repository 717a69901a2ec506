"""How the operators see their input: the two quantisers of the family.

Each is stated once here in NumPy, in float32 with every operation rounded in the order written; the kernel,
the function body and the PyTorch module follow the same order, so that all four choose the same integer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

X_BITS = (2, 4, 8)
"""The input widths of BinaryConvQuant, in bits."""


@dataclass(frozen=True, eq=False)
class SignInput:
    """BinaryConvSign: +step where x >= zero, else -step; NaN compares false and becomes -step.

    step: float32 [1]. zero: float32 [1], or [C] for a threshold per channel.
    """

    step: Float32
    zero: Float32

    def __call__(self, x: Float32) -> Float32:
        """Quantise x, float32 [N, C, H, W]."""
        return np.asarray(np.where(x >= self.zero.reshape(1, -1, 1, 1), self.step, -self.step), np.float32)


@dataclass(frozen=True, eq=False)
class QuantInput:
    """BinaryConvQuant: step * (q - zero), q = floor(x * (1 / step) + zero + 1/2) clipped to 0 .. 2^bits - 1.

    The clip compares `r > 0 ? r : 0`, then `r < max ? r : max`, so NaN becomes q = 0.
    step, zero: float32 [1]. bits: 2, 4 or 8.
    """

    step: Float32
    zero: Float32
    bits: int

    def __call__(self, x: Float32) -> Float32:
        """Quantise x, float32 [N, C, H, W]."""
        with np.errstate(over="ignore", invalid="ignore"):
            r = np.floor(x * (np.float32(1) / self.step) + self.zero + np.float32(0.5))
        top = np.float32(2**self.bits - 1)
        q = np.where(r > 0, r, np.float32(0))
        q = np.where(q < top, q, top)
        return np.asarray(self.step * (q - self.zero), np.float32)


Quantizer = SignInput | QuantInput | None
"""What a BinaryConv does to its input; None for real inputs."""
