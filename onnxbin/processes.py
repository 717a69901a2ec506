"""One process, or several that share the work and hold the same results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from onnxbin.errors import OnnxbinError

if TYPE_CHECKING:
    from onnxbin.bridge.engine import Engine

Item = TypeVar("Item")
Value = TypeVar("Value")


class Processes(Protocol):
    """The processes of a run: all go through the same steps, and what is shared out here is the same in all.

    rank: which one this is, from 0; files are written by the first alone. count: how many there are.
    """

    rank: int
    count: int

    def map(self, function: Callable[[Item], Value], items: Sequence[Item]) -> list[Value]:
        """The function of each item, in order: each process computes its share, and all get everything."""

    def agree(self, value: Value) -> Value:
        """The first process's value, in all: for what depends on the clock."""


def in_first(processes: Processes, function: Callable[[], Value]) -> Value:
    """What the function gives in the first process, in all; where it raises OnnxbinError, all raise that."""
    value: Value | None = None
    message: str | None = None
    if processes.rank == 0:
        try:
            value = function()
        except OnnxbinError as error:
            message = str(error)
    value, message = processes.agree((value, message))
    if message is not None:
        raise OnnxbinError(message)
    return cast(Value, value)


class Alone:
    """The only process."""

    rank = 0
    count = 1

    def map(self, function: Callable[[Item], Value], items: Sequence[Item]) -> list[Value]:
        """The function of each item."""
        return [function(item) for item in items]

    def agree(self, value: Value) -> Value:
        """The value itself."""
        return value


def training_engine(device: str) -> Engine:
    """The processes that share training, and where they train; OnnxbinError where PyTorch is missing."""
    try:
        from onnxbin.bridge.engine import Engine
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "lightning_fabric"):
            raise
        raise OnnxbinError(
            "fine-tuning needs PyTorch and Lightning Fabric: `pip install 'onnxbin[finetune]'`, "
            "or give --no-finetune"
        ) from None
    return Engine(device)
