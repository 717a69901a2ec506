"""Recurrent layers: a cell that runs over time, forwards, backwards, or both ways.

Shapes: x [time, N, inputs], W [D, gates * H, inputs], R [D, gates * H, H], B [D, 2 * gates * H], states
[D, N, H] -> y [time, D, N, H] and the last states [D, N, H]; D = 2 directions or 1. With layout = 1 the batch
comes first in x, y and the states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from onnxbin.bridge.ops.indexing import reverse_sequence
from onnxbin.bridge.ops.registry import op
from onnxbin.errors import OnnxbinError

Cell = Callable[..., tuple[Tensor, ...]]  # (x of one time [N, inputs], *states [N, H]) -> states

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
}


def _activations(
    names: Sequence[str] | None, default: list[str], clip: float | None, direction: int
) -> list[Callable[[Tensor], Tensor]]:
    """The functions of one direction, which limit their input to -clip .. clip first."""
    per_direction = list(names or [*default, *default])[direction * len(default) :][: len(default)]
    unknown = set(per_direction) - _ACTIVATIONS.keys()
    if unknown:
        raise OnnxbinError(f"activation {min(unknown)!r} is not supported: only {sorted(_ACTIVATIONS)} are")

    def limited(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return function if clip is None else lambda x: function(x.clamp(-clip, clip))

    return [limited(_ACTIVATIONS[name]) for name in per_direction]


def _run(
    x: Tensor,
    lengths: Tensor | None,
    states: Sequence[Tensor],
    cells: Sequence[Cell],
    direction: str,
    layout: int,
) -> tuple[Tensor, ...]:
    """y and the last states. Beyond the length of its sequence y is 0 and a state stays as it is."""
    if layout:
        x, states = x.transpose(0, 1), [state.transpose(0, 1) for state in states]
    if lengths is None:
        lengths = torch.full((x.shape[1],), x.shape[0], device=x.device)
    outputs, last = [], []
    for way, cell in enumerate(cells):
        backwards = direction == "reverse" or way == 1
        steps = reverse_sequence(x, lengths) if backwards else x
        now = tuple(state[way] for state in states)
        found = []
        for time, step in enumerate(steps):
            live = (time < lengths)[:, None]
            after = cell(step, *now)
            now = tuple(torch.where(live, new, old) for new, old in zip(after, now, strict=True))
            found.append(torch.where(live, after[0], 0.0))
        y = torch.stack(found)
        outputs.append(reverse_sequence(y, lengths) if backwards else y)
        last.append(now)
    ends = [torch.stack(parts) for parts in zip(*last, strict=True)]
    if layout:
        return torch.stack(outputs, 2).transpose(0, 1), *(end.transpose(0, 1) for end in ends)
    return torch.stack(outputs, 1), *ends


def _initial(x: Tensor, recurrence: Tensor, layout: int) -> Tensor:
    """Zeros for a state that is not given."""
    ways, _, size = recurrence.shape
    return x.new_zeros((x.shape[0], ways, size) if layout else (ways, x.shape[1], size))


def _biases(bias: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The biases of the input's and of the recurrent product, [D, gates * H] each."""
    if bias is None:
        bias = weight.new_zeros(weight.shape[0], 2 * weight.shape[1])
    of_input, of_recurrence = bias.chunk(2, 1)
    return of_input, of_recurrence


@op("RNN")
def rnn(
    x: Tensor,
    weight: Tensor,
    recurrence: Tensor,
    bias: Tensor | None = None,
    lengths: Tensor | None = None,
    h: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] | None = None,  # noqa: ARG001  of functions that are not supported
    activation_beta: Sequence[float] | None = None,  # noqa: ARG001
    activations: Sequence[str] = ("Tanh", "Tanh"),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,  # noqa: ARG001  the weights say it
    layout: int = 0,
) -> tuple[Tensor, ...]:
    """h = f(W x + R h + b)."""
    w_bias, r_bias = _biases(bias, weight)

    def cell(way: int) -> Cell:
        (f,) = _activations(activations, ["Tanh"], clip, way)
        return lambda x, h: (f(x @ weight[way].T + w_bias[way] + h @ recurrence[way].T + r_bias[way]),)

    h = _initial(x, recurrence, layout) if h is None else h
    return _run(x, lengths, [h], [cell(way) for way in range(len(weight))], direction, layout)


@op("GRU")
def gru(
    x: Tensor,
    weight: Tensor,
    recurrence: Tensor,
    bias: Tensor | None = None,
    lengths: Tensor | None = None,
    h: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] | None = None,  # noqa: ARG001  of functions that are not supported
    activation_beta: Sequence[float] | None = None,  # noqa: ARG001
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,  # noqa: ARG001  the weights say it
    layout: int = 0,
    linear_before_reset: int = 0,
) -> tuple[Tensor, ...]:
    """h = (1 - z) n + z h with gates z, r = f(W x + R h + b) and the news n = g(W x + R (r h) + b)."""
    w_bias, r_bias = _biases(bias, weight)

    def cell(way: int) -> Cell:
        f, g = _activations(activations, ["Sigmoid", "Tanh"], clip, way)
        r_new = recurrence[way].chunk(3)[2]
        b_new = r_bias[way].chunk(3)[2]

        def step(x: Tensor, h: Tensor) -> tuple[Tensor]:
            wz, wr, wn = (x @ weight[way].T + w_bias[way]).chunk(3, 1)
            rz, rr, rn = (h @ recurrence[way].T + r_bias[way]).chunk(3, 1)
            update, reset = f(wz + rz), f(wr + rr)
            news = g(wn + reset * rn) if linear_before_reset else g(wn + (reset * h) @ r_new.T + b_new)
            return ((1 - update) * news + update * h,)

        return step

    h = _initial(x, recurrence, layout) if h is None else h
    return _run(x, lengths, [h], [cell(way) for way in range(len(weight))], direction, layout)


@op("LSTM")
def lstm(
    x: Tensor,
    weight: Tensor,
    recurrence: Tensor,
    bias: Tensor | None = None,
    lengths: Tensor | None = None,
    h: Tensor | None = None,
    c: Tensor | None = None,
    peepholes: Tensor | None = None,
    *,
    activation_alpha: Sequence[float] | None = None,  # noqa: ARG001  of functions that are not supported
    activation_beta: Sequence[float] | None = None,  # noqa: ARG001
    activations: Sequence[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,  # noqa: ARG001  the weights say it
    input_forget: int = 0,
    layout: int = 0,
) -> tuple[Tensor, ...]:
    """c = forget c + input g(W x + R h + b), h = output k(c); the gates f(W x + R h + P c + b)."""
    if input_forget:
        raise OnnxbinError("input_forget = 1 is not supported")
    w_bias, r_bias = _biases(bias, weight)
    if peepholes is None:
        peepholes = weight.new_zeros(len(weight), 3 * recurrence.shape[2])

    def cell(way: int) -> Cell:
        f, g, k = _activations(activations, ["Sigmoid", "Tanh", "Tanh"], clip, way)
        p_input, p_output, p_forget = peepholes[way].chunk(3)

        def step(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
            gates = x @ weight[way].T + w_bias[way] + h @ recurrence[way].T + r_bias[way]
            input_, output, forget, news = gates.chunk(4, 1)
            c_next = f(forget + p_forget * c) * c + f(input_ + p_input * c) * g(news)
            return f(output + p_output * c_next) * k(c_next), c_next

        return step

    h = _initial(x, recurrence, layout) if h is None else h
    c = _initial(x, recurrence, layout) if c is None else c
    return _run(x, lengths, [h, c], [cell(way) for way in range(len(weight))], direction, layout)
