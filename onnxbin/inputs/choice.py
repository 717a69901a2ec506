"""Which width each layer's input gets: what stands behind `--inputs`."""

from __future__ import annotations

from onnxbin.inputs.hybrid import hybrid
from onnxbin.inputs.network import BinaryNetwork
from onnxbin.inputs.widths import Widths
from onnxbin.settings import Settings


def choose_widths(network: BinaryNetwork, settings: Settings) -> Widths:
    """The widths of all binary layers of a network in its last phase.

    Raises OnnxbinError where they cannot be decided.
    """
    if settings.inputs == "hybrid":
        return {choice.layer: choice.bits for choice in hybrid(network, settings.gamma)}
    return dict.fromkeys(network.binary, None if settings.inputs == "real" else int(settings.inputs))
