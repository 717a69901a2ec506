"""The trainer of the compression loop: the network as a module that is distilled between layers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from onnxbin.binarize import binarize
from onnxbin.bridge.cut import targets
from onnxbin.bridge.distill import LAST, ONLY, TURN, Distillation
from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule
from onnxbin.detection import Confidence, known_detector
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.images import ImageSet
from onnxbin.inputs.widths import Widths, blank
from onnxbin.layers import ConvLayer
from onnxbin.plan import Array, Plan
from onnxbin.records import Step
from onnxbin.settings import FineTune, Settings
from onnxbin.surgery import BinaryLayer


class NetworkTrainer:
    """Holds the network in training; what the loop asks of it is stated in onnxbin.trainer.Trainer.

    Trains by distillation from the prepared original, or with the user's own function.
    """

    def __init__(
        self, plan: Plan, settings: Settings, function: FineTune | None, images: ImageSet, engine: Engine
    ) -> None:
        torch.manual_seed(settings.seed)
        outputs = targets(plan.prepared)
        self._engine = engine
        self._student = GraphModule(plan.prepared, outputs).to(engine.device)
        self._student.freeze(layer.weight for layer in plan.layers if layer.fixed)
        self._images = images
        self._function = function
        self._turns_train = settings.steps_per_layer > 0
        self._distillation = self._distil(plan, settings, outputs) if function is None else None

    def binarize(self, layer: ConvLayer, bases: int) -> None:
        """Turn a layer binary, from its present real weight."""
        self._student.binarize(layer.name, binarize(self._student.initializer(layer.weight), bases))

    def adjust(self, layers: Mapping[str, BinaryLayer]) -> None:
        """Let these binary layers have these quantisers, scales and biases; signs stay as they are."""
        for name, layer in layers.items():
            self._student.binary_layer(name).quantize(layer.quantizer, layer.weight.scale, layer.bias)

    def train(self, step: Step, on_step: Callable[[int, float], bool]) -> None:
        """Fine-tune the whole network."""
        if self._distillation is not None:
            last = LAST if self._turns_train else ONLY
            phase = TURN if step.layer is not None else last
            self._distillation.train(step.training_steps, on_step, phase=phase)
        elif self._function is not None:
            try:
                self._function(self._student, self._images, step)
            except Exception as error:
                reason = f"{type(error).__name__}: {first_line(error)}"
                raise OnnxbinError(f"--finetune: your function fails at {step.title}: {reason}") from error

    def rehearse(self) -> float:
        """How many seconds a training step takes; 0 where training is the user's own."""
        return self._distillation.rehearse() if self._distillation is not None else 0.0

    def real(self) -> dict[str, Array]:
        """The present values of all trained initializers."""
        return self._student.initializers()

    def binary(self) -> dict[str, BinaryLayer]:
        """The binary layers as they are now, by name."""
        return self._student.binary_layers()

    def run_layer(self, name: str, x: Array) -> Array:
        """What the module of a binary layer makes of its input x [N, C, H, W], in float32 on the CPU."""
        module = copy.deepcopy(self._student.binary_layer(name)).cpu()
        with torch.no_grad():
            result: Array = module(torch.from_numpy(x)).numpy()
        return np.asarray(result)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that training has changed and depends on."""
        values = {
            f"parameter/{name}": parameter.detach().cpu().numpy().copy()
            for name, parameter in self._student.named_parameters()
        }
        if self._distillation is None:
            return {**values, "torch": torch.get_rng_state().numpy().copy()}
        return {**values, **{f"training/{k}": v for k, v in self._distillation.state().items()}}

    def restore(
        self,
        layers: Sequence[ConvLayer],
        bases: Mapping[str, int],
        widths: Widths,
        state: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        """Go on from a `state` in which these layers had become binary, in this order."""
        for layer in layers:
            self.binarize(layer, bases[layer.name])
            if layer.name in widths:
                module = self._student.binary_layer(layer.name)
                now = module.layer()
                quantizer = blank(widths[layer.name], layer.in_channels)
                module.quantize(quantizer, now.weight.scale, now.bias)
        with torch.no_grad():
            for name, parameter in self._student.named_parameters():
                parameter.copy_(torch.from_numpy(state[f"parameter/{name}"]))
        if self._distillation is None:
            torch.set_rng_state(torch.from_numpy(state["torch"]))
        else:
            training = (key.partition("/") for key in state)
            self._distillation.restore(
                {name: state[f"training/{name}"] for kind, _, name in training if kind == "training"}
            )

    def _distil(self, plan: Plan, settings: Settings, outputs: list[str]) -> Distillation:
        detector = None
        if outputs == [output.name for output in plan.prepared.graph.output]:
            detector = known_detector(plan.prepared, self._images)
        return Distillation(
            GraphModule(plan.prepared, outputs),
            self._student,
            self._images,
            self._engine,
            targets=outputs,
            features=[layer.output for layer in plan.order],
            batch_size=settings.batch_size,
            seed=settings.seed,
            confidence=Confidence(detector) if detector is not None else None,
        )
