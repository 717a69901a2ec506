"""A network whose weights are binary and whose inputs are real: where the last phase begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from onnx import ModelProto

from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageSet
from onnxbin.inputs.calibration import Float32, fit
from onnxbin.inputs.samples import input_samples
from onnxbin.inputs.widths import Widths
from onnxbin.layers import ConvLayer
from onnxbin.processes import Processes
from onnxbin.regression import regressed_on_itself
from onnxbin.surgery import BinaryLayer


@dataclass(frozen=True, eq=False)
class BinaryNetwork:
    """model: the network as a file. binary: its binary layers, by name. layers: the same as convolutions.

    images: to look at their inputs with. processes: share that.
    """

    model: ModelProto
    binary: Mapping[str, BinaryLayer]
    layers: Sequence[ConvLayer]
    images: ImageSet
    processes: Processes

    @cached_property
    def samples(self) -> dict[str, Float32]:
        """Values of the inputs of the binary layers, see `input_samples`.

        Raises OnnxbinError where one is not finite.
        """
        outputs = {layer.name: layer.output for layer in self.layers}
        found = input_samples(self.model, outputs, self.images, self.processes)
        for name, values in found.items():
            if not np.isfinite(values).all():
                raise OnnxbinError(
                    f"layer {name!r}: its input is not finite on the given images; keep inputs real"
                )
        return found

    def with_inputs(self, widths: Widths) -> dict[str, BinaryLayer]:
        """The binary layers whose inputs do not stay real, with quantisers, each for itself calibrated."""
        layers = {
            name: replace(layer, quantizer=fit(bits, self.samples[name]))
            for name, layer in self.binary.items()
            if (bits := widths[name]) is not None
        }
        return regressed_on_itself(self.model, layers, self.images, self.processes)
