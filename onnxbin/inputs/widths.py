"""How many bits the inputs of binary layers get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np

from onnxbin.operator import QuantInput, Quantizer, SignInput

Inputs = Literal["real", "8", "4", "2", "1", "hybrid", "auto"]
"""What may be asked for: all inputs real, all of so many bits, or what a method says of each layer."""

GAMMA = 25.0
"""Of the hybrid choice, in millions of MACs: see `inputs.hybrid`."""

Widths = Mapping[str, int | None]
"""The bits of the inputs of layers, by the layers' names; None for inputs that stay real."""


def describe(widths: Widths) -> str:
    """`real inputs`, `8-bit inputs`, or `1-bit inputs in 5, real in 2`."""
    counts = Counter(widths.values())
    names = {bits: "real" if bits is None else f"{bits}-bit" for bits in counts}
    if len(counts) < 2:
        return f"{next(iter(names.values()), 'real')} inputs"
    first, *others = sorted(counts, key=lambda bits: 99 if bits is None else bits)
    each = [
        f"{names[first]} inputs in {counts[first]}",
        *(f"{names[bits]} in {counts[bits]}" for bits in others),
    ]
    return ", ".join(each)


def blanks(inputs: Inputs, channels: Mapping[str, int]) -> dict[str, Quantizer]:
    """Quantisers of the size that those of these layers may come to, before their widths are known.

    channels: of each layer's input.
    """
    if inputs == "real":
        return dict.fromkeys(channels)
    if inputs == "auto":
        inputs = "1"  # with a threshold for each channel, the largest
    if inputs != "hybrid":
        return {name: blank(int(inputs), count) for name, count in channels.items()}
    # A node of either kind, so that both functions are in the file.
    return {name: blank(1 if place else None, count) for place, (name, count) in enumerate(channels.items())}


def blank(bits: int | None, channels: int) -> Quantizer:
    """A quantiser of the right size for this many input channels; what it computes does not matter."""
    step = np.ones(1, np.float32)
    if bits is None:
        return None
    if bits == 1:
        return SignInput(step, np.zeros(channels, np.float32))
    return QuantInput(step, np.zeros(1, np.float32), bits)
