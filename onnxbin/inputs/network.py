"""A network whose weights are binary and whose inputs are real: where the last phase begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from onnx import ModelProto

from onnxbin.images import ImageSet
from onnxbin.inputs.calibration import Float32, fit
from onnxbin.inputs.regression import regressed
from onnxbin.inputs.samples import input_samples
from onnxbin.inputs.widths import Inputs, Widths
from onnxbin.plan import Plan
from onnxbin.processes import Processes
from onnxbin.surgery import BinaryLayer


@dataclass(frozen=True, eq=False)
class BinaryNetwork:
    """plan: of the run. model: the network as a file. binary: its binary layers, by name.

    images: to look at its inputs with. processes: share that.
    """

    plan: Plan
    model: ModelProto
    binary: Mapping[str, BinaryLayer]
    images: ImageSet
    processes: Processes

    @cached_property
    def samples(self) -> dict[str, Float32]:
        """Values of the inputs of the binary layers, see `input_samples`."""
        outputs = {layer.name: layer.output for layer in self.plan.layers if layer.name in self.binary}
        return input_samples(self.model, outputs, self.images, self.processes)

    def with_inputs(self, widths: Widths) -> dict[str, BinaryLayer]:
        """The binary layers whose inputs do not stay real, with quantisers, each for itself calibrated."""
        layers = {
            name: replace(layer, quantizer=fit(bits, self.samples[name]))
            for name, layer in self.binary.items()
            if (bits := widths[name]) is not None
        }
        return regressed(self.model, layers, self.images, self.processes)


Method = Callable[[BinaryNetwork], Widths]
"""Decides the width of each binary layer's input."""


def method(inputs: Inputs) -> Method:
    """What `inputs` stands for."""
    bits = None if inputs == "real" else int(inputs)
    return lambda network: dict.fromkeys(network.binary, bits)
