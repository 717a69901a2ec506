"""What the operators of the family can do to their outputs, so that no node has to stand behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from onnxbin.operator.quantizer import Float32

ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "Relu": (),
    "LeakyRelu": ("alpha",),
    "Clip": ("min", "max"),
    "HardSwish": (),
    "Silu": (),
}
"""Name -> its attributes, all floats: the suffix of an operator's name, and what its nodes have besides."""


@dataclass(frozen=True)
class Activation:
    """name: one of ACTIVATIONS. attributes: theirs, finite; min <= max."""

    name: str
    attributes: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, y: Float32) -> Float32:
        """Of y, of any shape: Relu, LeakyRelu, Clip and HardSwish as in ONNX, Silu is y / (1 + exp(-y))."""
        values = {name: np.float32(value) for name, value in self.attributes.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            if self.name == "Relu":
                found = np.maximum(y, np.float32(0))
            elif self.name == "LeakyRelu":
                found = np.where(y < 0, y * values["alpha"], y)
            elif self.name == "Clip":
                found = np.clip(y, values["min"], values["max"])
            elif self.name == "HardSwish":
                found = y * np.clip(y / np.float32(6) + np.float32(0.5), np.float32(0), np.float32(1))
            else:
                found = y / (np.float32(1) + np.exp(-y))
        return np.asarray(found, np.float32)
