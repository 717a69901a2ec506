"""Control flow. The graphs inside of these nodes come as functions of their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from onnxbin.bridge.ops.registry import Body, op


@op("If", differentiable=False, reads=(0,))
def if_(condition: Tensor, *, then_branch: Body, else_branch: Body) -> tuple[Any, ...]:
    """The outputs of one of the two branches."""
    return then_branch() if bool(condition) else else_branch()


@op("Loop", differentiable=False, reads=(0, 1))
def loop(
    trips: Tensor | None = None, condition: Tensor | None = None, *carried: Any, body: Body
) -> tuple[Any, ...]:
    """What the body carries from trip to trip, then what it yields in each trip, stacked.

    body: (trip number, condition, *carried) -> (condition, *carried, *yielded). It ends after `trips`, if
    given, or when the condition is false.
    """
    yielded: list[Sequence[Tensor]] = []
    for trip in count():
        if (trips is not None and trip >= int(trips)) or (condition is not None and not bool(condition)):
            break
        condition_ = torch.tensor(True) if condition is None else condition
        again, *results = body(torch.tensor(trip), condition_, *carried)
        condition = again
        carried = tuple(results[: len(carried)])
        yielded.append(results[len(carried) :])
    return *carried, *(torch.stack(column) for column in zip(*yielded, strict=True))


@op("Scan", differentiable=False)
def scan(
    *inputs: Tensor,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] | None = None,
    scan_input_directions: Sequence[int] | None = None,
    scan_output_axes: Sequence[int] | None = None,
    scan_output_directions: Sequence[int] | None = None,
) -> tuple[Tensor, ...]:
    """The states after the last trip, then what the body yields in each trip, stacked.

    body: (*states, *slices of the last num_scan_inputs inputs) -> (*states, *yielded). Each scanned input and
    output has an axis, 0 by default, and a direction, backwards where 1.
    """
    states = inputs[:-num_scan_inputs]
    scanned = [
        torch.unbind(x.flip(axis) if backwards else x, axis)
        for x, axis, backwards in zip(
            inputs[-num_scan_inputs:],
            scan_input_axes or [0] * num_scan_inputs,
            scan_input_directions or [0] * num_scan_inputs,
            strict=True,
        )
    ]
    yielded = []
    for slices in zip(*scanned, strict=True):
        results = body(*states, *slices)
        states = results[: len(states)]
        yielded.append(results[len(states) :])
    columns = list(zip(*yielded, strict=True))
    axes = scan_output_axes or [0] * len(columns)
    directions = scan_output_directions or [0] * len(columns)
    stacked = [
        torch.stack(column[::-1] if backwards else column, axis)
        for column, axis, backwards in zip(columns, axes, directions, strict=True)
    ]
    return *states, *stacked
