"""Which layer is binarized next.

`depth` is the paper's: the inverse order of depth (Wang et al., ICIP 2018, section 3). It spends accuracy on
small layers, which save nothing. `damage` takes the layer that costs least for each byte it saves: what
binarizing it alone, with nothing trained, would take away from the agreement with the original, measured on
the network as it is by then. All are measured at the start; later, only the layer that looks best is measured
again, and goes if it still looks best: damage grows as more is binary, so that the others would rarely win
(lazy greedy selection, Minoux 1978).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from onnxbin.layers import ConvLayer


def deepest_first(layers: Iterable[ConvLayer]) -> list[ConvLayer]:
    """The candidates in the inverse order of depth.

    Of layers equally deep, the one with more parameters goes first: it saves most. Layers that are left alone
    are not in the result.
    """
    candidates = [layer for layer in layers if layer.left_alone is None]
    return sorted(candidates, key=lambda layer: (-layer.depth, -layer.parameters))


def largest_first(layers: Iterable[ConvLayer]) -> list[ConvLayer]:
    """The candidates by what they save, the deeper of equals first: what `damage` mostly comes to."""
    candidates = [layer for layer in layers if layer.left_alone is None]
    return sorted(candidates, key=lambda layer: (-layer.bytes_saved(), -layer.depth))


class Queue(Protocol):
    """The layers that wait for their turn."""

    def take(self) -> ConvLayer | None:
        """The next one, which waits no more; None where there is none."""

    def state(self) -> dict[str, float]:
        """The layers that wait, by name, with what is known of each."""

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a `state`."""


class FixedQueue:
    """One after another, in the order given."""

    def __init__(self, order: Sequence[ConvLayer]) -> None:
        self._order = list(order)
        self._waiting = {layer.name for layer in order}

    def take(self) -> ConvLayer | None:
        """The next one."""
        layer = next((layer for layer in self._order if layer.name in self._waiting), None)
        if layer is not None:
            self._waiting.remove(layer.name)
        return layer

    def state(self) -> dict[str, float]:
        """The layers that wait; nothing more is known of them."""
        return {layer.name: 0.0 for layer in self._order if layer.name in self._waiting}

    def restore(self, state: Mapping[str, float]) -> None:
        """Let these wait."""
        self._waiting = set(state)


class DamageQueue:
    """The least damage for each byte saved goes first.

    bytes_saved: of the file, by binarizing a layer. damages: measures what binarizing each of some layers of
    the present network takes away from the agreement.
    """

    def __init__(
        self,
        layers: Sequence[ConvLayer],
        bytes_saved: Callable[[ConvLayer], int],
        damages: Callable[[Sequence[ConvLayer]], list[float]],
    ) -> None:
        self._layers = {layer.name: layer for layer in layers}
        self._bytes_saved = bytes_saved
        self._damages = damages
        self._scores: dict[str, float] | None = None  # of those that wait; None before the first look

    def take(self) -> ConvLayer | None:
        """The next one; at the first call all are measured, later as few as settle the choice."""
        fresh: dict[str, float] = {}
        if self._scores is None:
            self._scores = self._measure(list(self._layers))
            fresh = dict(self._scores)
        while self._scores:
            scores = self._scores
            best = min(scores, key=lambda name: scores[name])
            if best in fresh:
                del self._scores[best]
                return self._layers[best]
            fresh |= self._measure([best])
            self._scores |= fresh
        return None

    def state(self) -> dict[str, float]:
        """The score of each layer that waits, after the first call of `take`."""
        return dict(self._scores or {})

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on with these scores."""
        self._scores = dict(state)

    def _measure(self, names: Sequence[str]) -> dict[str, float]:
        layers = [self._layers[name] for name in names]
        damages = self._damages(layers)
        return {
            layer.name: damage / self._bytes_saved(layer)
            for layer, damage in zip(layers, damages, strict=True)
        }
