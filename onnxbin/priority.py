"""In which order layers are binarized."""

from __future__ import annotations

from collections.abc import Iterable

from onnxbin.layers import ConvLayer


def deepest_first(layers: Iterable[ConvLayer]) -> list[ConvLayer]:
    """Layer-wise priority: the inverse order of depth (Wang et al., ICIP 2018, section 3).

    Of layers equally deep, the one with more parameters goes first: it saves most. Layers that are left alone
    are not in the result.
    """
    candidates = [layer for layer in layers if layer.left_alone is None]
    return sorted(candidates, key=lambda layer: (-layer.depth, -layer.parameters))
