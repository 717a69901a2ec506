"""A reshaping, from the model's file to the file that is written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxbin import model as files
from onnxbin.errors import OnnxbinError
from onnxbin.images import Choice
from onnxbin.measures import Measured, Measures
from onnxbin.plan import plan
from onnxbin.processes import Alone, training_engine
from onnxbin.records import without_infinities
from onnxbin.reshape.changes import Changes, changes
from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.checkpoint import Checkpoint, Progress
from onnxbin.reshape.depth import Dropped
from onnxbin.reshape.network import Network
from onnxbin.reshape.pruning import EPS, pruned
from onnxbin.reshape.stages import find_stages
from onnxbin.reshape.transform import left_alone, transform
from onnxbin.run_images import RunImages
from onnxbin.settings import Settings
from onnxbin.sources import fetch, output_file
from onnxbin.state_file import Arrays

if TYPE_CHECKING:
    from onnx import ModelProto

    from onnxbin.bridge.engine import Engine
    from onnxbin.bridge.student import Student

STEPS = 400
"""Steps of distillation after a reshaping."""

SAVED_EVERY = 30.0
"""Seconds of training between two savings of its state."""


class Listener:
    """Is told how a reshaping goes; a subclass shows it. Every method may be left out."""

    def warned(self, text: str) -> None:
        """Something the user should know."""

    def looked_at(self, size: tuple[int, ...], done: int, total: int) -> None:
        """To choose a block that goes: so many of a stage, of this height and width, were looked at."""

    def reshaped(self, found: Changes, left_alone: Mapping[str, Sequence[str]]) -> None:
        """The network has another shape.

        left_alone: reason -> convolutions whose channels stay as they are.
        """

    def measured(self, phase: str, found: Measured) -> None:
        """How it agrees with the original after a phase: "reshaped", "pruned", and "trained" after each."""

    def trained(self, done: int, total: int, loss: float) -> None:
        """One more step of distillation is done."""


@dataclass(frozen=True, eq=False)
class Result:
    """What came out.

    path: the file that was written; None for a dry run. changes: of the stages. dropped: the blocks that are
    gone. left_alone: reason -> the convolutions whose channels stay as they were. phases: "reshaped",
    "pruned", "trained", in the order in which they took place, with what was measured then.
    stopped: the training was, by Ctrl-C; the file has what it had reached. resumable: and `resume` goes on.
    """

    path: Path | None
    changes: Changes
    dropped: tuple[Dropped, ...]
    left_alone: Mapping[str, tuple[str, ...]]
    phases: tuple[tuple[str, Measured], ...]
    original_bytes: int
    bytes: int
    preprocessing: Choice
    warnings: tuple[str, ...]
    stopped: bool
    resumable: bool
    seconds: float

    def to_json(self) -> str:
        """All of it, for machines."""
        content = {**asdict(self), "path": str(self.path) if self.path else None}
        return json.dumps(without_infinities(content), indent=2)


def reshape(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    factor: float = 2.0,
    widths: Sequence[int] | None = None,
    prune: float | None = None,
    steps: int = STEPS,
    dry_run: bool = False,
    resume: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> Result:
    """Make an ONNX model shallower and wider at the same cost, and write the result.

    model: the ONNX file, or a name of one, see onnxbin.sources. output: where to write; `model.wide.onnx`
    beside `model.onnx` by default.
    factor: what the depth of stages is divided by; 1 with `prune` for pruning alone. widths: of the stages,
    instead of those by formula, see onnxbin.reshape.transform. prune: leave out channels that are nearer to
    others than this when the network is trained, and train it again, see onnxbin.reshape.pruning.
    steps: of distillation, each time. dry_run: neither train nor write. resume: go on with a training that
    was stopped, with the same result as if it had not been; everything else as it was given then.
    settings: the fields of `onnxbin.settings.Settings` that are about images and training: images, profile,
    input_size, finetune (True or False), batch_size, device, seed, ...
    Ctrl-C ends the training with what has been reached so far.
    Raises OnnxbinError where the input is at fault, or there is nothing to reshape.

    >>> result = reshape("model.onnx", "wide.onnx", images="photos/")
    >>> result.changes.before.macs, result.changes.after.macs
    """
    wanted = Settings(**settings)
    trains = not dry_run and steps > 0 and wanted.finetune is not False
    _check(factor, widths, prune, steps)
    asked = _Asked(factor, widths, prune, steps if trains else 0)
    if prune is not None and not (trains or asked.only_prunes):
        raise OnnxbinError(
            "--prune: before it is trained, a widened network has its channels twice, and pruning would only "
            "undo that; let it be trained, or give --factor 1 to prune alone"
        )
    if resume and not trains:
        raise OnnxbinError("--resume: goes on with a training, and there is to be none")
    original = files.load(fetch(model))
    path = Path(output) if output is not None else None
    target = None if dry_run else output_file(path, original, ".wide.onnx")
    job = _Job(original, wanted, asked, target, listener or Listener())
    return job.run(resume)


@dataclass(frozen=True)
class _Asked:
    """What a reshaping is asked for; see `reshape`. steps: 0 where there is no training."""

    factor: float
    widths: Sequence[int] | None
    prune: float | None
    steps: int

    @property
    def only_prunes(self) -> bool:
        return self.prune is not None and self.factor == 1 and self.widths is None


class _Job:
    """Everything that a reshaping works with, and how far it is."""

    def __init__(
        self,
        original: files.Model,
        settings: Settings,
        asked: _Asked,
        target: Path | None,
        listener: Listener,
    ) -> None:
        self._started = self._saved = time.monotonic()
        self._settings = settings
        self._asked = asked
        self._target = target
        self._listener = listener
        self._warnings: list[str] = []
        self._engine = _engine(settings.device) if asked.steps else None
        self._plan = plan(original, settings)
        if self._plan.preprocessing.warning:
            self._warn(self._plan.preprocessing.warning)
        self._images = RunImages(self._plan, settings, self._warn)
        self._checkpoint = self._make_checkpoint()
        self._measures = Measures(self._plan, self._images.held_back, Alone())
        self._original = self._network = Network(self._plan.prepared, settings.input_size)
        self._progress = Progress((), (), {})
        self._stopped = False

    def run(self, resume: bool) -> Result:
        """Reshape, train, prune, train, as far as that is asked for, and write what came out.

        resume: go on from the checkpoint.
        """
        if self._checkpoint is not None and resume:
            self._go_on(*self._checkpoint.read())
        elif self._checkpoint is not None:
            self._checkpoint.refuse_to_lose()
        if not self._progress.phases:
            if self._asked.only_prunes:
                self._progress = Progress((), (), left_alone(Dependencies(self._original)))
            else:
                self._take("reshaped", self._reshaped())
        pruned_before = any(name == "pruned" for name, _ in self._progress.phases)
        if self._asked.prune is not None and not (pruned_before or self._stopped):
            self._take("pruned", pruned(self._network, self._images.training, self._asked.prune))
        return self._finish()

    def _reshaped(self) -> Network:
        result = transform(
            self._original,
            self._measures.first_look,
            lambda key, done, total: self._listener.looked_at(key[1:], done, total),
            factor=self._asked.factor,
            widths=self._asked.widths,
            seed=self._settings.seed,
        )
        if not (result.dropped or self._asked.widths or self._target is None):
            raise OnnxbinError(
                f"{self._plan.original.path}: nothing to reshape: no stage has a part that keeps size and "
                f"channels and could go at --factor {self._asked.factor:g}"
            )
        self._progress = Progress((), result.dropped, result.left_alone)
        return result.network

    def _take(self, phase: str, network: Network) -> None:
        """Go on with a network of another shape: measure it, train it."""
        self._network = network
        self._tell()
        self._measure(phase)
        self._train({})

    def _go_on(self, progress: Progress, network: ModelProto, state: Arrays) -> None:
        """Go on with a training that was stopped."""
        self._progress = progress
        self._network = Network(network, self._settings.input_size)
        self._tell()
        self._train(state)

    def _tell(self) -> None:
        found = changes(self._original, self._network, self._asked.factor)
        self._listener.reshaped(found, self._progress.left_alone)

    def _measure(self, phase: str) -> None:
        found = self._measures.of(self._network.proto)
        self._progress = replace(self._progress, phases=(*self._progress.phases, (phase, found)))
        self._listener.measured(phase, found)

    def _train(self, state: Arrays) -> None:
        """Distill from the original, if that is asked for. state: of a training that was stopped, or none."""
        if self._engine is None:
            return
        from onnxbin.bridge.student import Student

        student = Student(
            self._network.proto,
            self._original.proto,
            self._images.training,
            self._engine,
            also=_unchanged(self._network, self._original),
            fixed=[layer.weight for layer in self._plan.layers if layer.fixed],
            batch_size=self._settings.batch_size,
            seed=self._settings.seed,
        )
        if state:
            student.restore(state)
        try:
            student.train(self._asked.steps, lambda done, loss: self._trained(student, done, loss))
        except KeyboardInterrupt:
            self._stopped = True
        self._network = Network(student.model(), self._network.size)
        self._measure("trained")
        if self._checkpoint is not None and not self._stopped:
            self._checkpoint.remove()

    def _trained(self, student: Student, done: int, loss: float) -> bool:
        """After a step: tell, and save now and then."""
        self._listener.trained(done, self._asked.steps, loss)
        if self._checkpoint is not None and time.monotonic() - self._saved >= SAVED_EVERY:
            self._checkpoint.write(self._progress, student.model(), student.state())
            self._saved = time.monotonic()
        return True

    def _finish(self) -> Result:
        """Write the network, and say what there is to say."""
        proto = self._network.proto
        if self._target is not None:
            size = files.save(proto, self._target)
        else:
            files.check(proto)
            size = proto.ByteSize()
        return Result(
            path=self._target,
            changes=changes(self._original, self._network, self._asked.factor),
            dropped=self._progress.dropped,
            left_alone=self._progress.left_alone,
            phases=self._progress.phases,
            original_bytes=self._plan.original.file_bytes,
            bytes=size,
            preprocessing=self._plan.preprocessing,
            warnings=tuple(self._warnings),
            stopped=self._stopped,
            resumable=self._stopped and self._checkpoint is not None and self._checkpoint.path.exists(),
            seconds=time.monotonic() - self._started,
        )

    def _make_checkpoint(self) -> Checkpoint | None:
        """Where there is a training that could be stopped."""
        if self._target is None or not self._asked.steps:
            return None
        fed = asdict(self._plan.preprocessing.preprocessing)
        asked = {
            "model": self._plan.original.sha256,
            "set of images": self._images.description(),
            "preprocessing": {**fed, "input_size": self._settings.input_size},
            **{f"--{name}": value for name, value in asdict(self._asked).items()},
            "--batch-size": self._settings.batch_size,
            "--seed": self._settings.seed,
        }
        return Checkpoint(self._target, asked)

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        self._listener.warned(text)


def _check(factor: float, widths: Sequence[int] | None, prune: float | None, steps: int) -> None:
    if not 1 <= factor <= 16:
        raise OnnxbinError(f"--factor {factor:g}: expected 1 to 16; 2 means stages of half the depth")
    if widths is not None and any(width < 1 for width in widths):
        raise OnnxbinError(f"--widths {','.join(map(str, widths))}: expected numbers of channels, 1 or more")
    if steps < 0:
        raise OnnxbinError(f"--steps {steps}: expected at least 0")
    if prune is not None and not 0 < prune < 1:
        raise OnnxbinError(f"--prune {prune:g}: expected more than 0 and less than 1, such as {EPS}")


def _engine(device: str) -> Engine:
    engine = training_engine(device)
    if engine.count > 1:
        raise OnnxbinError("onnxbin reshape trains in one process; start it without torchrun")
    return engine


def _unchanged(network: Network, original: Network) -> list[str]:
    """Of each stage, the last tensor made by a convolution that has the original's shape."""
    found = []
    for stage in find_stages(Dependencies(network)):
        same = [name for name in stage.convolutions if network.shapes[name] == original.shapes.get(name)]
        found += same[-1:]
    return found
