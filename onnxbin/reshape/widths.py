"""Making stages wider: by how much, so that the network's multiply-accumulates are what they were.

A stage whose depth went from D to d gets sqrt(D / d) times its width: its convolutions cost c^2 d. Those
between stages do not follow that rule, so all these factors are then multiplied by one more number, found by
search, with which the whole network costs the same again. Widths are rounded to multiples of 32, the channels
of a word and the filters of a panel of our kernels; narrow ones, for which that is too coarse, to the largest
power of two that is no more than an eighth of the width. Stages from which nothing was dropped keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnxbin.reshape.channels import Group

CHANNEL_MULTIPLE = 32
"""What our kernels work through together (custom_ops/README.md)."""

TOLERANCE = 0.05
"""The share by which the multiply-accumulates may differ."""

_SCALES = tuple(2 ** (step / 256) for step in range(-512, 769))  # from a quarter to eight


def widened(
    groups: Sequence[Group], factors: Mapping[int, float], macs: Callable[[Sequence[int]], float], target: int
) -> list[int]:
    """The width of each group, rounded, so that the network has `target` multiply-accumulates.

    factors: group -> what its width is to be multiplied by before all are scaled together; others keep it.
    macs: of the network with certain widths. No group becomes narrower. The coarsest rounding that comes
    within TOLERANCE is taken.
    """
    best: list[int] = []
    multiple = CHANNEL_MULTIPLE
    while multiple >= 1:
        found = [_rounded(groups, factors, scale, multiple) for scale in _SCALES]
        best = min(found, key=lambda widths: abs(macs(widths) - target))
        if abs(macs(best) / target - 1) <= TOLERANCE:
            break
        multiple //= 2
    return best


def _rounded(groups: Sequence[Group], factors: Mapping[int, float], scale: float, multiple: int) -> list[int]:
    widths = [len(group.bundles) for group in groups]
    for number, factor in factors.items():
        widths[number] = max(widths[number], round_width(widths[number] * factor * scale, multiple))
    return widths


def round_width(width: float, multiple: int = CHANNEL_MULTIPLE) -> int:
    """To a multiple of `multiple`, or of the largest power of two that is at most an eighth of the width.

    >>> [round_width(width) for width in (45.3, 90.5, 181.0, 362.0)]
    [44, 88, 176, 352]
    """
    while multiple > 1 and multiple > width / 8:
        multiple //= 2
    return max(1, round(width / multiple)) * multiple
