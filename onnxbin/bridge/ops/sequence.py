"""Sequences of tensors, which are Python lists, and optional values, which are the value or None."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onnxbin.bridge.ops.registry import ints, op


@op("SequenceEmpty", differentiable=False)
def sequence_empty(*, dtype: int = 1) -> list[Tensor]:  # noqa: ARG001  a list has no element type
    """A sequence of nothing."""
    return []


@op("SequenceConstruct", differentiable=False)
def sequence_construct(*values: Tensor) -> list[Tensor]:
    """The inputs as a sequence."""
    return list(values)


@op("SequenceLength", differentiable=False)
def sequence_length(sequence: list[Tensor]) -> Tensor:
    """The number of elements, an int64 scalar."""
    return torch.tensor(len(sequence))


@op("SequenceAt", differentiable=False, reads=(1,))
def sequence_at(sequence: list[Tensor], position: Tensor) -> Tensor:
    """One element."""
    return sequence[int(position)]


@op("SequenceInsert", differentiable=False, reads=(2,))
def sequence_insert(sequence: list[Tensor], value: Tensor, position: Tensor | None = None) -> list[Tensor]:
    """The sequence with one more element before the position, or at the end."""
    at = len(sequence) if position is None else int(position)
    return [*sequence[:at], value, *sequence[at:]]


@op("SequenceErase", differentiable=False, reads=(1,))
def sequence_erase(sequence: list[Tensor], position: Tensor | None = None) -> list[Tensor]:
    """The sequence without the element at the position, or without the last one."""
    at = (-1 if position is None else int(position)) % len(sequence)
    return [*sequence[:at], *sequence[at + 1 :]]


@op("SplitToSequence", differentiable=False, reads=(1,))
def split_to_sequence(
    x: Tensor, split: Tensor | None = None, *, axis: int = 0, keepdims: int = 1
) -> list[Tensor]:
    """Pieces along the axis: slices of size 1 (without the axis unless keepdims), of one size, or of many."""
    if split is None:
        return list(torch.split(x, 1, axis) if keepdims else x.unbind(axis))
    return list(torch.split(x, int(split) if split.ndim == 0 else ints(split), axis))


@op("ConcatFromSequence", differentiable=False)
def concat_from_sequence(sequence: list[Tensor], *, axis: int, new_axis: int = 0) -> Tensor:
    """The elements one after another along the axis, which may be a new one."""
    return torch.stack(sequence, axis) if new_axis else torch.cat(sequence, axis)


@op("Optional", differentiable=False)
def optional(value: Any = None) -> Any:
    """The value as an optional, or an absent one."""
    return value


@op("OptionalHasElement", differentiable=False)
def optional_has_element(value: Any = None) -> Tensor:
    """Whether it is there, a bool scalar."""
    return torch.tensor(value is not None)


@op("OptionalGetElement", differentiable=False)
def optional_get_element(value: Any) -> Any:
    """The value, which has to be there."""
    if value is None:
        raise ValueError("the optional value is absent")
    return value
