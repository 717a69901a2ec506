"""Fine-tuning without labels: the compressed network learns to answer as the original does.

Student and teacher see the same randomly changed image. The loss is the mean over the target tensors, plus
the weighted mean over features, which are the outputs of the binary convolutions, of their relative error

    mean over channels of  mean (student - teacher)^2 / variance of the teacher    (see bridge.spread)

so that every tensor and channel counts alike, whatever its units; 1 is what the teacher's mean would score.
A detector's targets are weighted by what matters in them: see bridge.emphasis.
The whole network trains: latent weights of the binary layers straight through (`bridge.binary`), their scales
and biases, and the real weights around them, which make up for what the binary ones lost.

What the losses, rates and phases rest on is in docs/finetuning.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from onnxbin.bridge.binary import BinaryConv2d
from onnxbin.bridge.emphasis import Emphasis
from onnxbin.bridge.engine import Engine
from onnxbin.bridge.module import GraphModule
from onnxbin.bridge.sensitivity import bearable_change, magnitude
from onnxbin.bridge.spread import Spread
from onnxbin.detection.emphasis import ConfidenceOf
from onnxbin.errors import OnnxbinError

SCALE_RATE = 1e-4
"""For the scales of binary weights."""

WARMUP_STEPS = 5
LAST_RATE = 0.02
"""The share of its learning rate at which a training ends."""

LARGEST_GRADIENT = 10.0
"""Gradients of a larger norm, over all parameters, are scaled down to this."""

BESIDE_EMPHASIS = 0.35
"""The share of the features' weight that they have beside targets whose elements do not count alike, but by
the teacher's confidence. What else was tried: docs/finetuning.md, "The unit of what is weighted"."""


@dataclass(frozen=True)
class Phase:
    """How a training goes.

    latent_rate: Adam's learning rate for latent weights, whose mean magnitude starts at 1. real_rate: for all
    but latents and scales. largest_change: these, and scales, change by at most about so many times the share
    of their magnitude a step that the network bears (see bridge.sensitivity). feature_weight: how much the
    features count against targets whose elements all count alike. falling: rates fall along a cosine over
    this last share of the training. searching: over this first share, latent weights go at the rate of a
    turn.
    """

    latent_rate: float
    largest_change: float
    feature_weight: float
    falling: float
    searching: float = 0.0
    real_rate: float = 5e-4


TURN = Phase(latent_rate=5e-3, largest_change=1.0, feature_weight=10.0, falling=0.4)
"""After a layer has become binary: its signs are to be found, and another turn follows."""

LAST = Phase(latent_rate=2e-3, largest_change=1.0, feature_weight=2.0, falling=1.0)
"""When all signs are nearly right: those that flip at the rate of a turn are noise to all other parameters,
and a longer training at it gains nothing."""

ONLY = Phase(latent_rate=2e-3, largest_change=1.0, feature_weight=2.0, falling=1.0, searching=0.4)
"""When layers have become binary without training in between: all at once."""


class Images(Protocol):
    """Images as the model's input tensors; `onnxbin.images.ImageSet` is one."""

    def __len__(self) -> int:
        """How many there are."""

    def tensor(self, index: int, rng: np.random.Generator | None) -> npt.NDArray[np.float32]:
        """Image `index` as float32 [C, H, W], randomly changed where there is an rng."""


class Distillation:
    """Fine-tunes a student GraphModule towards the teacher on unlabelled images.

    images: what to train on. engine: where, and in how many processes. targets: the tensors to match, outputs
    of both modules. features: those that will be matched too, each from when a binary layer makes it.
    batch_size: images a step, over all processes. seed: fixes the order and the random changes of the images,
    and so the result, bit for bit on one machine. confidence: of the teacher in each element of its targets;
    None where all count alike.

    May be interrupted at any time: the student is then as the last step left it, or within one update of it.
    """

    def __init__(
        self,
        teacher: GraphModule,
        student: GraphModule,
        images: Images,
        engine: Engine,
        *,
        targets: Sequence[str],
        features: Sequence[str] = (),
        batch_size: int = 4,
        seed: int = 0,
        confidence: ConfidenceOf | None = None,
    ) -> None:
        self._engine = engine
        self._teacher = teacher.to(engine.device)
        self._student = student.to(engine.device)
        self._images = images
        self._targets, self._features = list(targets), list(features)
        self._batch_size = batch_size
        self._seed = seed
        self._drawn = 0  # images so far; with the seed, all that decides which comes next
        self._done = 0  # steps of the present training
        self._phase = TURN
        self._rates: dict[Tensor, float] = {}
        self._moments: Mapping[Tensor, Any] = {}
        (self._input,) = student.input_names
        self._takes_batches = batch_size == 1 or self._check_batches()
        self._emphasis = confidence and Emphasis.of(self._teacher, images, targets, engine, confidence)
        self._spread = Spread.of(self._teacher, images, [*targets, *features], engine, self._emphasis)
        self._bearable_change = bearable_change(
            self._student, images, targets, self._spread, engine, self._emphasis
        )

    def train(
        self,
        steps: int,
        on_step: Callable[[int, float], bool] | None = None,
        *,
        phase: Phase = TURN,
    ) -> None:
        """Train for so many steps; the learning rates warm up, stay, and fall along a cosine.

        on_step: called after each step with the number of steps done and the loss; says whether to go on.
        Raises OnnxbinError where the loss is not finite; the student stays as the last good step left it.
        After `restore`, goes on in the middle of the training that was saved.
        """
        self._phase = phase
        if self._done == 0:
            self._rates = self._learning_rates()
        optimizer = self._optimizer()
        latents = {layer.latent for layer in self._binary_layers()}
        while self._done < steps:
            factor = _schedule(self._done, steps, phase.falling)
            searches = self._done < phase.searching * steps
            for group, (parameter, rate) in zip(optimizer.param_groups, self._rates.items(), strict=True):
                searched = searches and parameter in latents
                group["lr"] = factor * (TURN.latent_rate if searched else rate)
            optimizer.zero_grad()
            loss = self.compute_gradients(self._drawn)
            if not math.isfinite(loss):
                raise OnnxbinError(
                    f"fine-tuning diverged at step {self._done + 1} of {steps}: is the preprocessing right?"
                )
            nn.utils.clip_grad_norm_(self._rates, LARGEST_GRADIENT)
            optimizer.step()
            self._drawn += self._batch_size
            self._done += 1
            if on_step and not on_step(self._done, loss):
                break
        self._done = 0

    def compute_gradients(self, first: int) -> float:
        """Set the gradients of one batch's loss, and return the loss.

        first: how many images were drawn before this batch; it decides which they are.
        """
        numbers = self._engine.share(range(first, first + self._batch_size))
        loss = self._loss(self._batch(numbers)) * (len(numbers) / self._batch_size)
        loss.backward()  # type: ignore[no-untyped-call]
        self._engine.add_up(self._student.parameters())
        return sum(self._engine.map(lambda _: loss.item(), range(self._engine.count)))

    def rehearse(self) -> float:
        """How many seconds a step takes, by the second of two that change nothing."""
        started = 0.0
        for _ in range(2):
            started = time.monotonic()
            self.compute_gradients(self._drawn)
        self._student.zero_grad()
        return time.monotonic() - started

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that training depends on beside the parameters' values: see `restore`."""
        state: dict[str, npt.NDArray[Any]] = {
            "drawn": np.array(self._drawn),
            "done": np.array(self._done),
        }
        for name, parameter in self._student.named_parameters():
            if parameter in self._rates:
                state[f"rate/{name}"] = np.array(self._rates[parameter])
            for moment, value in self._moments.get(parameter, {}).items():
                state[f"{moment}/{name}"] = value.cpu().numpy().copy()
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a `state` of a student with the same binary layers, made binary in the same order."""
        parameters = dict(self._student.named_parameters())
        self._drawn, self._done = int(state["drawn"]), int(state["done"])
        self._rates = {}
        moments: dict[Tensor, dict[str, Tensor]] = {}
        for key, value in state.items():
            kind, _, name = key.partition("/")
            if kind == "rate":
                self._rates[parameters[name]] = float(value)
            elif name:
                tensor = torch.from_numpy(value.copy())
                # Adam counts its steps on the CPU, wherever the parameter is.
                moments.setdefault(parameters[name], {})[kind] = (
                    tensor if kind == "step" else tensor.to(self._engine.device)
                )
        self._moments = moments

    def _binary_layers(self) -> list[BinaryConv2d]:
        return [layer for layer in self._student.layers if isinstance(layer, BinaryConv2d)]

    def _learning_rates(self) -> dict[Tensor, float]:
        binary = self._binary_layers()
        rates: dict[Tensor, float] = {layer.latent: self._phase.latent_rate for layer in binary}
        most = self._phase.largest_change * self._bearable_change
        rates |= {layer.scale: min(SCALE_RATE, most * magnitude(layer.scale)) for layer in binary}
        return {
            parameter: rates.get(parameter, min(self._phase.real_rate, most * magnitude(parameter)))
            for parameter in self._student.parameters()
            if parameter.requires_grad
        }

    def _optimizer(self) -> torch.optim.Optimizer:
        """Adam with a learning rate for each parameter, and the moments of those that were trained before."""
        optimizer = torch.optim.Adam([{"params": [p], "lr": rate} for p, rate in self._rates.items()])
        for parameter in self._rates:
            if parameter in self._moments:
                optimizer.state[parameter] = self._moments[parameter]
        self._moments = optimizer.state
        return optimizer

    def _batch(self, numbers: Sequence[int]) -> Tensor:
        """The images drawn at these turns, each image once before any comes again, each changed at random."""
        rows = []
        for number in numbers:
            round_, position = divmod(number, len(self._images))
            order = np.random.default_rng((self._seed, 0, round_)).permutation(len(self._images))
            rng = np.random.default_rng((self._seed, 1, number))
            rows.append(self._images.tensor(int(order[position]), rng))
        batch = torch.from_numpy(np.stack(rows)).to(self._engine.device)
        # Channels last, which operators pass on, is what convolutions and pooling compute in.
        return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch

    def _loss(self, x: Tensor) -> Tensor:
        features = [name for name in self._student.binary_outputs() if name in self._features]
        # Three fifths of the time of float32, and nothing lost; parameters and loss stay in float32.
        with self._engine.autocast():
            with torch.no_grad():
                wanted = self._run(self._teacher, x, features)
            found = self._run(self._student, x, features)
        weights = self._emphasis(wanted) if self._emphasis else {}
        targets = [
            self._spread.relative_error(n, found[n].float(), wanted[n].float(), weights.get(n, 1.0))
            for n in self._targets
        ]
        loss = torch.stack(targets).mean()
        if features:
            errors = [self._spread.relative_error(n, found[n].float(), wanted[n].float()) for n in features]
            beside = BESIDE_EMPHASIS if self._emphasis else 1.0
            loss = loss + beside * self._phase.feature_weight * torch.stack(errors).mean()
        return loss

    def _run(self, module: GraphModule, x: Tensor, also: Sequence[str] = ()) -> dict[str, Tensor]:
        if self._takes_batches:
            return module({self._input: x}, also)  # type: ignore[no-any-return]
        each = [module({self._input: row[None]}, also) for row in x]
        return {name: torch.cat([values[name] for values in each]) for name in each[0]}

    def _check_batches(self) -> bool:
        """Whether two images give the same together as alone; a graph may be made for one."""
        images = [self._images.tensor(i % len(self._images), None) for i in range(2)]
        x = torch.from_numpy(np.stack(images)).to(self._engine.device)
        with torch.no_grad():
            self._takes_batches = False
            alone = self._run(self._teacher, x)
            try:
                together = self._teacher({self._input: x})
            except OnnxbinError:
                return False
        return all(
            together[name].shape == alone[name].shape
            and torch.allclose(
                together[name], alone[name], rtol=1e-2, atol=1e-3 * float(alone[name].abs().max())
            )
            for name in self._targets
        )


def _schedule(step: int, steps: int, falling: float) -> float:
    """The factor of the learning rates at this step: up in a line, down along a cosine in the last part."""
    fallen = max(0.0, 1 - (1 - step / steps) / falling)
    cosine = (1 + math.cos(math.pi * fallen)) / 2
    return min(1.0, (step + 1) / WARMUP_STEPS) * (LAST_RATE + (1 - LAST_RATE) * cosine)
