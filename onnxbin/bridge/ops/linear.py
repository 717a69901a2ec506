"""Matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxbin.bridge.ops.registry import op

op("MatMul")(torch.matmul)
op("Det")(torch.linalg.det)


@op("Gemm")
def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803  the schema's names
    transB: int = 0,  # noqa: N803
) -> Tensor:
    """alpha * A @ B + beta * C, with A [M, K], B [K, N] after transposition, and C broadcast to [M, N]."""
    a = a.T if transA else a
    b = b.T if transB else b
    if c is None:
        return alpha * (a @ b)
    return torch.addmm(c, a, b, beta=beta, alpha=alpha)


@op("Einsum")
def einsum(*operands: Tensor, equation: str) -> Tensor:
    """Einstein summation; ONNX and PyTorch read the same equations."""
    return torch.einsum(equation, *operands)
