"""The trainer of the compression loop: the network as a module that is distilled between layers."""

from __future__ import annotations

import numpy as np
import torch

from onnxbin.binarize import binarize
from onnxbin.bridge.cut import targets
from onnxbin.bridge.distill import Distillation
from onnxbin.bridge.module import GraphModule
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.images import ImageSet
from onnxbin.layers import ConvLayer
from onnxbin.plan import Array, Plan
from onnxbin.records import Listener, Step
from onnxbin.settings import Settings
from onnxbin.surgery import BinaryLayer


class NetworkTrainer:
    """Holds the network in training; what the loop asks of it is stated in onnxbin.trainer.Trainer.

    Trains by distillation from the prepared original, or with the user's own function.
    """

    def __init__(self, plan: Plan, settings: Settings, images: ImageSet) -> None:
        torch.manual_seed(settings.seed)
        outputs = targets(plan.prepared)
        self._student = GraphModule(plan.prepared, outputs)
        self._student.freeze(layer.weight for layer in plan.layers if layer.fixed)
        self._images = images
        self._function = settings.finetune if callable(settings.finetune) else None
        self._distillation = self._distil(plan, settings, outputs) if self._function is None else None

    def binarize(self, layer: ConvLayer, bases: int) -> None:
        """Turn a layer binary, from its present real weight."""
        weight = self._student.initializers()[layer.weight]
        self._student.binarize(layer.name, binarize(weight, bases))

    def train(self, step: Step, listener: Listener) -> None:
        """Fine-tune the whole network."""
        if self._distillation is not None:
            self._distillation.train(
                step.training_steps, lambda done, loss: listener.trained(step, done, loss)
            )
        elif self._function is not None:
            try:
                self._function(self._student, self._images, step)
            except Exception as error:
                reason = f"{type(error).__name__}: {first_line(error)}"
                raise OnnxbinError(
                    f"--finetune: your function fails at {step.layer.name}: {reason}"
                ) from error

    def real(self) -> dict[str, Array]:
        """The present values of all trained initializers."""
        return self._student.initializers()

    def binary(self) -> dict[str, BinaryLayer]:
        """The binary layers as they are now, by name."""
        layers = self._student.binary_layers()
        return {name: BinaryLayer(weight, bias) for name, (weight, bias) in layers.items()}

    def run_layer(self, name: str, x: Array) -> Array:
        """What the module of a binary layer makes of its input x [N, C, H, W]."""
        with torch.no_grad():
            result: Array = self._student.binary_layer(name)(torch.from_numpy(x)).numpy()
        return np.asarray(result)

    def _distil(self, plan: Plan, settings: Settings, outputs: list[str]) -> Distillation:
        return Distillation(
            GraphModule(plan.prepared, outputs),
            self._student,
            self._images,
            targets=outputs,
            batch_size=settings.batch_size,
            seed=settings.seed,
        )
