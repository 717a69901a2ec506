"""The binary weight nearest to a real one: min ||W - sum_b scale_b sign_b||^2 for each output channel.

With one base the answer is known in closed form: sign(W) and mean|W| (Rastegari et al., XNOR-Net, 2016,
section 3.1). With several, block coordinate descent (Wang et al., ICIP 2018, section 3; the refit of ARB-LLM,
section 3): start greedily from the residual of the bases before, then alternate between the best scales for
the signs, which is a least-squares problem of size `bases`, and the best signs for the scales, which is the
nearest of the 2^bases values for each weight. Neither step can raise the error.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from onnxbin.operator import BinaryWeight

MAX_BASES = 4
"""More would cost more bits than they are worth beside 8-bit weights."""

_MAX_ROUNDS = 30


def binarize(weight: npt.NDArray[np.float32], bases: int = 1) -> BinaryWeight:
    """The binary weight of `bases` bases for a real weight [M, C/group, kh, kw]. sign(0) is +1."""
    if not 1 <= bases <= MAX_BASES:
        raise ValueError(f"bases must be 1 to {MAX_BASES}, not {bases}")
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    signs, scale = _greedy(rows, bases)
    if bases > 1:
        signs, scale = _alternate(rows, signs, scale)
    return BinaryWeight(
        signs.astype(np.int8).reshape(bases, *weight.shape),
        scale.astype(np.float32),
    )


def _sign(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(x >= 0, 1.0, -1.0)


def _greedy(
    rows: npt.NDArray[np.float64], bases: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Each base the closed form of what the ones before left. Signs [bases, M, K], scale [bases, M]."""
    residual = rows.copy()
    signs, scale = np.empty((bases, *rows.shape)), np.empty((bases, len(rows)))
    for base in range(bases):
        signs[base] = _sign(residual)
        scale[base] = np.abs(residual).mean(axis=1)
        residual -= scale[base][:, None] * signs[base]
    return signs, scale


def _alternate(
    rows: npt.NDArray[np.float64], signs: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    patterns = np.array(list(itertools.product((-1.0, 1.0), repeat=len(signs))))  # [2^bases, bases]
    for _ in range(_MAX_ROUNDS):
        gram = np.einsum("amk,bmk->mab", signs, signs)
        target = np.einsum("bmk,mk->mb", signs, rows)
        # pinv: two bases of a channel may agree everywhere, which leaves their scales free.
        scale = np.einsum("mab,mb->am", np.linalg.pinv(gram), target)
        values = patterns @ scale  # [2^bases, M]
        nearest = np.abs(rows[None] - values[:, :, None]).argmin(axis=0)  # [M, K]
        changed = patterns[nearest].transpose(2, 0, 1)
        if np.array_equal(changed, signs):
            break
        signs = changed
    return _with_positive_scales(signs, scale)


def _with_positive_scales(
    signs: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    flip = _sign(scale)
    return signs * flip[:, :, None], np.abs(scale)
