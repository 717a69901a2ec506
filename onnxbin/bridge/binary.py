"""The BinaryConv operators in PyTorch: exact forwards, straight-through backwards.

Forward, `BinaryConv2d` computes what the kernel, the function body and the NumPy reference compute, in the
same order of float32 operations. Backward, the sign of a weight passes the gradient on as if it were the
identity, inside the range where it still follows its argument (Bengio et al. 2013, arXiv 1308.3432; Hubara et
al. 2016, arXiv 1602.02830). What it does to its input is in `bridge.quantizer`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from onnxbin.bridge.ops.convolution import conv
from onnxbin.bridge.quantizer import module_of
from onnxbin.operator import BinaryWeight, Quantizer
from onnxbin.surgery import BinaryLayer

CLIP = 3.0
"""Latent weights beyond this many times their channel's mean magnitude get no gradient."""

_SMALLEST_LATENT = 1e-3
"""Keeps the sign of a weight that is exactly 0, or -0, where its binary weight says -1."""


class _Sign(torch.autograd.Function):
    """+1 where x >= 0, else -1; the gradient passes where |x| <= CLIP."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x.abs() <= CLIP)
        return (x >= 0).to(x.dtype).mul_(2).sub_(1)  # torch.where takes twice as long

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        inside: Tensor
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside


class BinaryConv2d(nn.Module):
    """A convolution with W = sum over bases b of scale[b, m] * sign(latent[b, m, ...]), trained as such.

    Parameters: `latent` [bases, M, C/group, kh, kw], `scale` [bases, M], `bias` [M]. Each channel's latents
    start with a mean magnitude of one, so that one learning rate suits every layer, whatever the size of its
    weights.

    weight: the signs and scales to start from. bias: float32 [M]. real: the real weight [M, C/group, kh, kw]
    that `weight` stands for: a latent's distance from zero is then the magnitude of what its base
    approximates. Without it all latents are one step from zero. geometry: the attributes of the ONNX Conv it
    stands for (strides, pads, auto_pad, dilations, group).
    """

    def __init__(
        self,
        weight: BinaryWeight,
        bias: npt.NDArray[np.float32],
        *,
        real: Tensor | None = None,
        quantizer: Quantizer = None,
        **geometry: Any,
    ) -> None:
        super().__init__()
        self.latent = nn.Parameter(_latents(weight, real))
        self.scale = nn.Parameter(torch.tensor(weight.scale, dtype=torch.float32))
        self.bias = nn.Parameter(torch.tensor(bias, dtype=torch.float32))
        self.quantizer = module_of(quantizer)
        self.geometry = geometry

    def weight(self) -> Tensor:
        """The weight that it convolves with, [M, C/group, kh, kw]."""
        signs: Tensor = _Sign.apply(self.latent)  # type: ignore[no-untyped-call]
        return (signs * self.scale[:, :, None, None, None]).sum(0)

    def forward(self, x: Tensor) -> Tensor:
        """x float32 [N, C, H, W] -> float32 [N, M, OH, OW]."""
        y: Tensor = conv(self.quantizer(x), self.weight(), self.bias, **self.geometry)
        return y

    def quantize(
        self, quantizer: Quantizer, scale: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> None:
        """See the input this way from now on, with this scale [bases, M] and bias [M]."""
        self.quantizer = module_of(quantizer).to(self.bias.device)
        with torch.no_grad():
            self.scale.copy_(torch.from_numpy(scale))
            self.bias.copy_(torch.from_numpy(bias))

    def layer(self) -> BinaryLayer:
        """What it computes now."""
        signs = torch.where(self.latent.detach() >= 0, 1, -1).to(torch.int8)
        weight = BinaryWeight(signs.cpu().numpy(), self.scale.detach().cpu().numpy().copy())
        bias = self.bias.detach().cpu().numpy().copy()
        return BinaryLayer(weight, bias, self.quantizer.quantizer())


def _latents(weight: BinaryWeight, real: Tensor | None) -> Tensor:
    signs = torch.tensor(weight.signs, dtype=torch.float32)
    if real is None:
        return signs
    scale = torch.tensor(weight.scale)[:, :, None, None, None]
    residual = real.detach()
    latents = []
    for base in range(weight.bases):
        magnitude = residual.abs()
        mean = magnitude.mean(dim=(1, 2, 3), keepdim=True)
        magnitude = torch.where(mean > 0, magnitude / mean, 1.0)
        latents.append(signs[base] * magnitude.clamp(min=_SMALLEST_LATENT))
        residual = residual - scale[base] * signs[base]
    return torch.stack(latents)
