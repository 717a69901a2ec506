"""Binarization against exhaustive search and the properties that its derivation promises."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxbin.binarize import MAX_BASES, binarize


def error(weight, bases):
    return float(((weight - binarize(weight, bases).dense()) ** 2).sum())


def random_weight(seed, shape=(3, 4, 3, 3)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_one_base_is_sign_and_mean_magnitude():
    weight = random_weight(0)
    weight[0, 0, 0, 0] = 0
    binary = binarize(weight)
    np.testing.assert_array_equal(binary.signs[0], np.where(weight >= 0, 1, -1))
    np.testing.assert_allclose(binary.scale[0], np.abs(weight).mean(axis=(1, 2, 3)), rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_signs_and_scale_are_better_than_the_closed_form(seed):
    """All 2^6 sign patterns with their best scale, by brute force."""
    row = random_weight(seed, (1, 6, 1, 1))
    patterns = np.array(list(itertools.product((-1, 1), repeat=6)))
    flat = row.ravel().astype(np.float64)
    best = min(((flat - (p @ flat / 6) * p) ** 2).sum() for p in patterns)
    assert error(row, 1) == pytest.approx(best, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_another_base_never_hurts_and_refit_beats_greed(seed):
    weight = random_weight(seed)
    errors = [error(weight, bases) for bases in range(1, MAX_BASES + 1)]
    assert all(after < before for before, after in itertools.pairwise(errors))

    residual = weight.astype(np.float64)
    for _ in range(2):
        scale = np.abs(residual).mean(axis=(1, 2, 3), keepdims=True)
        residual = residual - scale * np.where(residual >= 0, 1, -1)
    assert errors[1] <= (residual**2).sum() * (1 + 1e-6)


def test_a_weight_of_two_bases_is_found_exactly():
    signs = np.random.default_rng(3).choice([-1.0, 1.0], (2, 5, 8, 3, 3))
    weight = (0.7 * signs[0] + 0.2 * signs[1]).astype(np.float32)
    np.testing.assert_allclose(binarize(weight, 2).dense(), weight, atol=1e-6)


def test_constant_and_zero_filters_do_no_harm():
    weight = np.stack([np.zeros((4, 3, 3)), np.full((4, 3, 3), -2.0)]).astype(np.float32)
    for bases in (1, 2, 3):
        np.testing.assert_allclose(binarize(weight, bases).dense(), weight, atol=1e-6)


def test_the_number_of_bases_is_checked():
    with pytest.raises(ValueError, match="1 to 4, not 0"):
        binarize(random_weight(0), 0)
