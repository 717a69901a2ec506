"""The operators in NumPy: the shortest text that says what they compute. For tests, not for speed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxbin.operator.activation import Activation
from onnxbin.operator.quantizer import Float32, Quantizer
from onnxbin.operator.weight import BinaryWeight


def output_size(size: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    """Outputs along one axis, as in ONNX Conv; `pad` is both ends together."""
    return (size + pad - dilation * (kernel - 1) - 1) // stride + 1


def binary_conv(
    x: Float32,
    weight: BinaryWeight,
    bias: Float32,
    quantizer: Quantizer = None,
    activation: Activation | None = None,
    *,
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    group: int = 1,
) -> Float32:
    """Conv(V, W') + bias, activated, with V = quantizer(x), W' = weight.dense().

    A tap in the padding contributes 0.
    x: float32 [N, C, H, W]. bias: float32 [M]. pads: top, left, bottom, right, as in ONNX.
    Returns float32 [N, M, OH, OW]. Sums in float64, so that it is the more exact side of a comparison.
    """
    m, c, kh, kw = weight.shape
    n, _, h, w = x.shape
    top, left, bottom, right = pads
    oh = output_size(h, kh, strides[0], top + bottom, dilations[0])
    ow = output_size(w, kw, strides[1], left + right, dilations[1])

    v = (x if quantizer is None else quantizer(x)).astype(np.float64)
    v = np.pad(v, ((0, 0), (0, 0), (top, bottom), (left, right)))
    dense = weight.signs.astype(np.float64) * weight.scale.astype(np.float64)[:, :, None, None, None]
    dense = dense.sum(axis=0).reshape(group, m // group, c, kh, kw)

    y = np.zeros((n, group, m // group, oh, ow))
    for i in range(kh):
        for j in range(kw):
            rows = slice(i * dilations[0], i * dilations[0] + (oh - 1) * strides[0] + 1, strides[0])
            columns = slice(j * dilations[1], j * dilations[1] + (ow - 1) * strides[1] + 1, strides[1])
            taps = v[:, :, rows, columns].reshape(n, group, c, oh, ow)
            y += np.einsum("ngchw,gmc->ngmhw", taps, dense[:, :, :, i, j])
    biased = (y.reshape(n, m, oh, ow) + bias.astype(np.float64)[:, None, None]).astype(np.float32)
    return biased if activation is None else activation(biased)
