"""Where training runs: the device, the arithmetic, and the processes that share a batch.

Lightning Fabric knows how processes were launched (by torchrun, or not at all) and how they talk: gloo on
CPUs, nccl on GPUs. Every process holds the whole network and takes its share of each batch; gradients are
added up over all of them, which is what one process computes with the whole batch.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from onnxbin.errors import OnnxbinError, first_line

Item = TypeVar("Item")
Value = TypeVar("Value")

DEVICES = ("auto", "cpu", "cuda")


class Engine:
    """The device that this process trains on, and the other processes (see onnxbin.processes.Processes).

    device: "cpu", "cuda", or "auto" for a GPU where there is one. Raises OnnxbinError where there is none.
    """

    def __init__(self, device: str = "auto") -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise OnnxbinError("--device cuda: PyTorch finds no CUDA device here; give --device cpu")
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun says how many it has started
        total = int(os.environ.get("WORLD_SIZE", "1"))
        multiplies_bfloat16 = device == "cuda" or _multiplies_bfloat16()
        logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # it tells users what they cannot use
        try:
            self._fabric = Fabric(
                accelerator=device,
                devices=local,
                num_nodes=max(1, total // local),
                strategy="ddp" if total > 1 else "auto",
                precision="bf16-mixed" if multiplies_bfloat16 else "32-true",
            )
            self._fabric.launch()
        except (RuntimeError, ValueError, TypeError) as error:
            raise OnnxbinError(f"the processes cannot be brought together: {first_line(error)}") from None
        self.rank = self._fabric.global_rank
        self.count = self._fabric.world_size

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self._fabric.device

    def autocast(self) -> AbstractContextManager[Any]:
        """Inside, convolutions and matrix products compute in bfloat16 where the processor multiplies it."""
        return self._fabric.autocast()

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of what all of them have."""
        return items[self.rank :: self.count]

    def add_up(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes, all in one exchange."""
        if self.count == 1:
            return
        parameters = list(parameters)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        total = self._fabric.all_reduce(torch.cat([g.flatten() for g in gradients]), reduce_op="sum")
        assert isinstance(total, Tensor)
        parts = torch.split(total, [g.numel() for g in gradients])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def map(self, function: Callable[[Item], Value], items: Sequence[Item]) -> list[Value]:
        """The function of each item, in order: each process computes its share, and all get everything."""
        own = [function(item) for item in self.share(items)]
        if self.count == 1:
            return own
        shares: list[list[Value]] = [[] for _ in range(self.count)]
        torch.distributed.all_gather_object(shares, own)
        return [shares[i % self.count][i // self.count] for i in range(len(items))]

    def agree(self, value: Value) -> Value:
        """The first process's value, in all."""
        agreed: Value = self._fabric.broadcast(value)
        return agreed


def _multiplies_bfloat16() -> bool:
    """Whether this processor does so in hardware; elsewhere bfloat16 is emulated, and slower than float32."""
    supported: Callable[[], bool] = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return supported()
