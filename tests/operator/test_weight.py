"""Packing: the bit layout the operators read, against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from onnxbin import OnnxbinError
from onnxbin.operator import BinaryWeight, pack_signs, unpack_signs

SIGNS = hnp.arrays(np.int8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=20)).map(
    lambda a: np.where(a >= 0, 1, -1).astype(np.int8)
)


@given(SIGNS)
def test_bit_i_of_byte_j_is_sign_8j_plus_i(signs):
    packed = pack_signs(signs)
    k = signs.shape[-1]
    assert packed.shape == (*signs.shape[:-1], -(-k // 8))
    for index in range(packed.shape[-1] * 8):
        bit = packed[..., index // 8] >> (index % 8) & 1
        expected = (signs[..., index] + 1) // 2 if index < k else np.zeros(signs.shape[:-1])
        np.testing.assert_array_equal(bit, expected)


@given(SIGNS)
def test_unpacking_undoes_packing_and_ignores_unused_bits(signs):
    k = signs.shape[-1]
    packed = pack_signs(signs)
    if k % 8:
        packed[..., -1] |= np.uint8((0xFF << (k % 8)) & 0xFF)
    np.testing.assert_array_equal(unpack_signs(packed, k), signs)


def test_dense_is_the_scaled_sum_over_bases():
    rng = np.random.default_rng(0)
    signs = rng.choice(np.array([-1, 1], np.int8), (2, 3, 5, 1, 2))
    scale = rng.random((2, 3), np.float32)
    weight = BinaryWeight(signs, scale)
    expected = np.einsum("bmchw,bm->mchw", signs.astype(np.float64), scale)
    np.testing.assert_allclose(weight.dense(), expected, rtol=1e-6)
    again = BinaryWeight.from_packed(weight.packed(), scale, weight.shape)
    np.testing.assert_array_equal(again.signs, signs)


def test_a_byte_count_that_does_not_fit_is_named():
    with pytest.raises(OnnxbinError, match=r"expected W uint8 \[1, 3, 2\].*found uint8 \[1, 3, 1\]"):
        BinaryWeight.from_packed(np.zeros((1, 3, 1), np.uint8), np.ones((1, 3), np.float32), (3, 9, 1, 1))
