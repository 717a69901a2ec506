"""Fourier transforms. Complex numbers are an axis of two in ONNX: the last one."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxbin.bridge.ops.registry import op


def _complex(x: Tensor) -> Tensor:
    """x [..., 1 or 2] as real or complex numbers [...]."""
    return x[..., 0] if x.shape[-1] == 1 else torch.view_as_complex(x.contiguous())


@op("DFT", reads=(1, 2))
def dft(
    x: Tensor,
    length: Tensor | None = None,
    axis: Tensor | None = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Tensor:
    """The Fourier transform of x [..., 1 or 2] along an axis, cut or filled up with zeros to the length.

    onesided: of real numbers only the first length // 2 + 1 frequencies; inverse from these to real numbers.
    """
    dim = -2 if axis is None else int(axis)
    dim = dim if dim >= 0 else dim + x.ndim
    n = None if length is None else int(length)
    if inverse and onesided:
        real: Tensor = torch.fft.irfft(_complex(x), n, dim)
        return real[..., None]
    if inverse:
        transformed = torch.fft.ifft(_complex(x), n, dim)
    elif onesided:
        transformed = torch.fft.rfft(x[..., 0], n, dim)
    else:
        transformed = torch.fft.fft(_complex(x), n, dim)
    return torch.view_as_real(transformed)


@op("STFT", reads=(1, 3))
def stft(
    x: Tensor,
    frame_step: Tensor,
    window: Tensor | None = None,
    frame_length: Tensor | None = None,
    *,
    onesided: int = 1,
) -> Tensor:
    """The transforms of windows that slide over x [batch, length, 1 or 2]: [batch, frames, bins, 2]."""
    size = x.shape[1] if window is None else len(window)
    size = size if frame_length is None else int(frame_length)
    frames = x.unfold(1, size, int(frame_step)).movedim(-1, 2)
    frames = frames if window is None else frames * window[:, None]
    transformed: Tensor = dft(frames, onesided=int(onesided and x.shape[-1] == 1))
    return transformed
