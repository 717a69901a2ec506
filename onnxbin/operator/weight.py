"""A binary convolution weight: signs and scales, and how they are stored in a file.

The stored layout is that of the operators (docs/operators.md): K = C/group * kh * kw weights of one output
channel in OIHW order, one bit each, least significant bit first, 1 = +1 and 0 = -1, padded to whole bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxbin.errors import OnnxbinError


@dataclass(frozen=True, eq=False)
class BinaryWeight:
    """W ~ sum over bases b of scale[b, m] * signs[b, m, ...].

    signs: int8 of -1 and +1, shape [bases, M, C/group, kh, kw].
    scale: float32, shape [bases, M].
    """

    signs: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.signs.ndim != 5 or self.scale.shape != self.signs.shape[:2]:
            raise ValueError(
                f"signs must be [bases, M, C/group, kh, kw] and scale [bases, M], "
                f"not {list(self.signs.shape)} and {list(self.scale.shape)}"
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(M, C/group, kh, kw), the shape of the convolution weight it stands for."""
        m, c, kh, kw = self.signs.shape[1:]
        return m, c, kh, kw

    @property
    def bases(self) -> int:
        """How many binary tensors are summed."""
        return int(self.signs.shape[0])

    def dense(self) -> npt.NDArray[np.float32]:
        """The float32 weight [M, C/group, kh, kw] that the operators convolve with."""
        scaled = self.signs * self.scale[:, :, None, None, None]
        return np.asarray(scaled.sum(axis=0), np.float32)

    def packed(self) -> npt.NDArray[np.uint8]:
        """The operators' input W: uint8 [bases, M, ceil(K / 8)]."""
        return pack_signs(self.signs.reshape(*self.signs.shape[:2], -1))

    @staticmethod
    def from_packed(
        packed: npt.NDArray[np.uint8], scale: npt.NDArray[np.float32], shape: tuple[int, int, int, int]
    ) -> BinaryWeight:
        """Read back what `packed` wrote. Raises OnnxbinError where the byte count does not fit `shape`."""
        k = int(np.prod(shape[1:]))
        expected = (*scale.shape, packed_bytes(k))
        if packed.dtype != np.uint8 or packed.shape != expected or scale.shape[1:] != shape[:1]:
            raise OnnxbinError(
                f"binary weight of shape {list(shape)}: expected W uint8 {list(expected)} and scale "
                f"[bases, {shape[0]}], found {packed.dtype} {list(packed.shape)} and {list(scale.shape)}"
            )
        return BinaryWeight(unpack_signs(packed, k).reshape(*scale.shape, *shape[1:]), scale)


def packed_bytes(k: int) -> int:
    """How many bytes hold k signs."""
    return (k + 7) // 8


def pack_signs(signs: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Signs [..., K] of -1 / +1 to bytes [..., ceil(K / 8)]; the unused bits of the last byte are 0."""
    return np.packbits(signs > 0, axis=-1, bitorder="little")


def unpack_signs(packed: npt.NDArray[np.uint8], k: int) -> npt.NDArray[np.int8]:
    """Bytes [..., ceil(k / 8)] to signs [..., k]; the unused bits are ignored."""
    bits = np.unpackbits(packed, axis=-1, count=k, bitorder="little")
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)
