"""Quantisers fitted to values, against brute force over others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxbin.inputs.calibration import fit, quantized
from onnxbin.operator import QuantInput, SignInput


def error(quantizer, x):
    """Mean squared, with the mean of each channel free."""
    difference = (x - quantized(quantizer, x)).astype(np.float64)
    return np.square(difference - difference.mean(axis=0)).mean()


def values(seed, n=600, channels=3):
    """As after an activation: a mixture, long-tailed, below zero a tenth as large."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(4, (n, channels)) * rng.uniform(0.2, 2, channels) + rng.normal(0, 0.5, channels)
    return np.where(x > 0, x, rng.choice([0, 0.1]) * x).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("seed", range(6))
def test_levels_are_as_good_as_any_on_a_fine_grid(bits, seed):
    x = values(seed, channels=1)
    low, high = float(x.min()), float(x.max())
    best = np.inf
    for begin in np.linspace(low, low + 0.5 * (high - low), 40):
        for end in np.linspace(begin + 0.02 * (high - low), high, 60):
            step = np.float32([(end - begin) / (2**bits - 1)])
            best = min(best, error(QuantInput(step, np.float32(-begin) / step, bits), x))
    assert error(fit(bits, x), x) <= 1.05 * best


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(2, 9))
@settings(max_examples=50)
def test_one_bit_thresholds_are_the_best_there_are(seed, channels, n):
    """Given its step, no other threshold of any channel is better; given its thresholds, no other step."""
    x = values(seed, n, channels).round(1)
    found = fit(1, x)
    assert found.zero.shape == (channels,)
    least = error(found, x)
    for channel in range(channels):
        for threshold in [*np.unique(x[:, channel]), x.max() + 1]:
            zero = found.zero.copy()
            zero[channel] = threshold
            assert error(SignInput(found.step, zero), x) >= least - 1e-6
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert error(SignInput(found.step * np.float32(factor), found.zero), x) >= least - 1e-6


def test_more_bits_have_less_error():
    x = values(1)
    errors = [error(fit(bits, x), x) for bits in (1, 2, 4, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * errors[0]
