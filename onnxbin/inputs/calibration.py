"""Steps, zero points and thresholds from values of a layer's input: those with the least squared error.

A quantiser's levels lie at v = step * (q - zero). What its values are off by on average, channel by channel,
costs nothing: convolved, it is a constant of each output channel, which the bias takes on (see `regression`).
So one bit, +step or -step, serves inputs that are never negative as well as any others.

2 to 8 bits: the levels are a line over q. Given each value's q, the line with the least error is the
regression of the values on q; given the line, the nearest q is. The two in turns never make the error larger
(Lloyd 1957); begun from the best of many ranges, the best end is taken.

1 bit: with b = +1 above a channel's threshold and -1 below, and the channel's mean error in the bias, the
squared error of channel c is

    var(x) - 2 step cov(x, b) + step^2 var(b)

Given the step, the best threshold of a channel is found among all that there are, its values in order; given
the thresholds, the best step is sum over channels of cov(x, b) / sum of var(b). A channel that varies little
beside the step is best off with a threshold below all its values.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from onnxbin.operator import QuantInput, Quantizer, SignInput

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SHARES = np.geomspace(1, 0.02, 16)
"""Shares of the values' range, on either side of their median, that the levels may begin with."""

REFINED = 8
"""Of these beginnings, the best so many are taken to their ends."""

ROUNDS = 50
"""Of Lloyd's alternation, at most; it mostly settles before."""

FITTED_TO = 1 << 14
"""Values that the levels are fitted to, at most."""


def fit(bits: int, samples: Float32) -> SignInput | QuantInput:
    """The quantiser of 1, 2, 4 or 8 bits with the least squared error beside a constant per channel.

    samples: [n, C].
    """
    return _fit_sign(samples) if bits == 1 else _fit_levels(bits, samples)


def quantized(quantizer: Quantizer, samples: Float32) -> Float32:
    """What a layer makes of the values [n, C] of its input."""
    return samples if quantizer is None else quantizer(samples[:, :, None, None])[:, :, 0, 0]


def _one(value: float) -> Float32:
    return np.array([value], np.float32)


def _fit_levels(bits: int, samples: Float32) -> QuantInput:
    x = samples.reshape(-1)[:: -(-samples.size // FITTED_TO)].astype(np.float64)
    top = 2**bits - 1
    low, high = float(x.min()), float(x.max())
    if not low < high:  # a constant, which any level serves, for the bias takes on what is left
        return QuantInput(_one(1), _one(0), bits)
    # The ranges close in on the median: outliers may be clipped on either side.
    middle = float(np.median(x))
    begins = [middle + share * (low - middle) for share in SHARES]
    ends = [middle + share * (high - middle) for share in SHARES]
    lines = [(begin, (end - begin) / top) for begin in begins for end in ends if end > begin]
    lines.sort(key=lambda line: _square_error(x, line, top))
    refined = [_lloyd(x, *line, top) for line in lines[:REFINED]]
    offset, step = min(refined, key=lambda line: _square_error(x, line, top))
    return QuantInput(_one(step), _one(-offset / step), bits)


def _lloyd(x: Float64, offset: float, step: float, top: int) -> tuple[float, float]:
    """The line offset + step * q that the alternation comes to from this one."""
    before = None
    for _ in range(ROUNDS):
        q = _codes(x, offset, step, top)
        if before is not None and np.array_equal(q, before):
            break
        before = q
        spread = q.var()
        if spread == 0:
            break
        step = float(((x - x.mean()) * q).mean() / spread)
        offset = float(x.mean() - step * q.mean())
    return offset, step


def _codes(x: Float64, offset: float, step: float, top: int) -> Float64:
    return np.clip(np.floor((x - offset) / step + 0.5), 0, top)


def _square_error(x: Float64, line: tuple[float, float], top: int) -> float:
    offset, step = line
    return float(np.square(x - offset - step * _codes(x, offset, step, top)).mean())


def _fit_sign(samples: Float32) -> SignInput:
    n = len(samples)
    x = np.sort(samples.astype(np.float64), axis=0)
    # Below a threshold after the first k values in order, b is -1: for every k from 0 to n - 1 and channel,
    # the covariance of x and b, and the variance of b. (With k = 0 all are +1, and both are 0.)
    k = np.arange(n)[:, None]
    below = np.cumsum(x, axis=0) - x
    covariance = 2 * (k * x.mean(axis=0) - below) / n
    variance = 4 * (k / n) * (1 - k / n)
    # No threshold between equal values.
    tied = np.zeros(x.shape, bool)
    tied[1:] = x[1:] == x[:-1]
    step, chosen = float(np.abs(x - x.mean(axis=0)).mean()), None
    for _ in range(ROUNDS):
        gain = 2 * step * covariance - step**2 * variance
        best = np.where(tied, -np.inf, gain).argmax(axis=0)
        if chosen is not None and np.array_equal(best, chosen):
            break
        chosen = best
        varying = variance[best, 0].sum()
        if varying == 0:
            break
        step = float(np.take_along_axis(covariance, best[None], 0).sum() / varying)
    assert chosen is not None
    at = np.take_along_axis(x, chosen[None], 0)[0]
    before = np.take_along_axis(x, np.maximum(chosen - 1, 0)[None], 0)[0]
    zero = np.where(chosen > 0, (at + before) / 2, at - step)
    return SignInput(_one(step if step > 0 else 1), zero.astype(np.float32))
