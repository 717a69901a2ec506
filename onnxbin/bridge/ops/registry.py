"""The table of operators: ONNX op -> a function on PyTorch tensors.

A registered function reads like the op's schema: it takes the node's inputs in order (None where an optional
one is absent) and the node's attributes as keyword arguments of the same names, with the schema's defaults.
It returns the value of the node's output, or a tuple for a node that may have several. A value is a tensor, a
list of values (an ONNX sequence), or None (an absent optional). A graph inside of a node, such as a branch of
If, is an attribute to call with its inputs; it answers with the tuple of its outputs.

Shapes, axes and limits are ordinary tensors that stay on the CPU, wherever the module computes: `reads` names
the inputs that a function reads into Python, which so never wait for an accelerator. `ints` reads integers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Function = Callable[..., Any]  # (*inputs, **attributes) -> value or tuple of values
Body = Callable[..., tuple[Any, ...]]  # a graph inside of a node: (*inputs) -> outputs


@dataclass(frozen=True)
class Operator:
    """How one ONNX op is computed.

    function: as described in the module docstring.
    differentiable: whether a useful gradient reaches the inputs; False for selections, comparisons, rounding.
    counts_outputs: whether the function takes the number of the node's outputs as the keyword `outputs`,
        because further ones cost time.
    reads: the places of inputs whose values the function reads into Python; all others come on one device.
    """

    function: Function
    differentiable: bool
    counts_outputs: bool
    reads: Collection[int]


_TABLE: dict[str, Operator] = {}


def op(
    name: str,
    *,
    differentiable: bool = True,
    counts_outputs: bool = False,
    reads: Collection[int] = (),
) -> Callable[[Function], Function]:
    """Register the decorated function as the meaning of the op `name` of the standard domain."""

    def register(function: Function) -> Function:
        if name in _TABLE:
            raise ValueError(f"{name} is registered twice")
        _TABLE[name] = Operator(function, differentiable, counts_outputs, reads)
        return function

    return register


def find(name: str) -> Operator | None:
    """The op of this name, or None where it is not supported."""
    return _TABLE.get(name)


def names() -> list[str]:
    """All supported ops of the standard domain."""
    return sorted(_TABLE)


def ints(tensor: Tensor | Sequence[int]) -> list[int]:
    """An integer tensor of one element or one dimension as Python integers; lists pass through."""
    return tensor.reshape(-1).tolist() if isinstance(tensor, Tensor) else list(tensor)


def axes_of(axes: Tensor | Sequence[int] | None, rank: int) -> list[int]:
    """The axes named, counted from the front; all of them where none are named."""
    return list(range(rank)) if axes is None else [axis % rank for axis in ints(axes)]
