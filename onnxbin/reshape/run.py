"""A reshaping, from the model's file to the file that is written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx import ModelProto

from onnxbin import model as files
from onnxbin.errors import OnnxbinError
from onnxbin.images import Choice
from onnxbin.measures import Measured, Measures
from onnxbin.plan import plan
from onnxbin.processes import Alone, training_engine
from onnxbin.records import without_infinities
from onnxbin.reshape.changes import Changes, changes
from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.depth import Dropped
from onnxbin.reshape.network import Network
from onnxbin.reshape.pruning import EPS, pruned
from onnxbin.reshape.stages import find_stages
from onnxbin.reshape.transform import Transformed, left_alone, transform
from onnxbin.run_images import RunImages
from onnxbin.settings import Settings
from onnxbin.sources import fetch, output_file

if TYPE_CHECKING:
    from onnxbin.bridge.engine import Engine

STEPS = 400
"""Steps of distillation after a reshaping."""


class Listener:
    """Is told how a reshaping goes; a subclass shows it. Every method may be left out."""

    def warned(self, text: str) -> None:
        """Something the user should know."""

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
    listener: Listener | None = None,
    **settings: Any,
) -> Result:
    """Make an ONNX model shallower and wider at the same cost, and write the result.

    model: the ONNX file, or a name of one, see onnxbin.sources. output: where to write; `model.wide.onnx`
    beside `model.onnx` by default.
    factor: what the depth of stages is divided by; 1 with `prune` for pruning alone. widths: of the stages,
    instead of those by formula, see onnxbin.reshape.transform. prune: leave out channels that are nearer to
    others than this when the network is trained, and train it again, see onnxbin.reshape.pruning.
    steps: of distillation, each time. dry_run: neither train nor write.
    settings: the fields of `onnxbin.settings.Settings` that are about images and training: images, profile,
    input_size, finetune (True or False), batch_size, device, seed, ...
    Raises OnnxbinError where the input is at fault, or there is nothing to reshape.

    >>> result = reshape("model.onnx", "wide.onnx", images="photos/")
    >>> result.changes.before.macs, result.changes.after.macs
    """
    wanted = Settings(**settings)
    trains = not dry_run and steps > 0 and wanted.finetune is not False
    only_prunes = prune is not None and factor == 1 and widths is None
    _check(factor, widths, prune, steps, trains or only_prunes)
    original = files.load(fetch(model))
    path = Path(output) if output is not None else None
    target = None if dry_run else output_file(path, original, ".wide.onnx")
    job = _Job(original, wanted, steps if trains else 0, factor, listener or Listener())
    if only_prunes:
        transformed = Transformed(job.original, (), left_alone(Dependencies(job.original)))
    else:
        transformed = transform(
            job.original, job.measures.first_look, factor=factor, widths=widths, seed=wanted.seed
        )
        if not (transformed.dropped or widths or dry_run):
            raise OnnxbinError(
                f"{original.path}: nothing to reshape: no stage has a part that keeps size and channels and "
                f"could go at --factor {factor:g}"
            )
        job.take("reshaped", transformed.network, transformed.left_alone)
    if prune is not None:
        smaller = pruned(job.network, job.images.training, prune)
        job.take("pruned", smaller, transformed.left_alone)
    return job.finish(target, transformed)


class _Job:
    """Everything that a reshaping works with, and the network as it is so far."""

    def __init__(
        self, original: files.Model, settings: Settings, steps: int, factor: float, listener: Listener
    ) -> None:
        self._started = time.monotonic()
        self._settings = settings
        self._steps = steps
        self._factor = factor
        self._listener = listener
        self._warnings: list[str] = []
        self._phases: list[tuple[str, Measured]] = []
        self._engine = _engine(settings.device) if steps else None
        self._plan = plan(original, settings)
        if self._plan.preprocessing.warning:
            self._warn(self._plan.preprocessing.warning)
        self.images = RunImages(self._plan, settings, self._warn)
        self.measures = Measures(self._plan, self.images.held_back, Alone())
        self.original = self.network = Network(self._plan.prepared, settings.input_size)

    def take(self, phase: str, network: Network, left_alone: Mapping[str, Sequence[str]]) -> None:
        """Go on with a network of another shape: measure it, train it."""
        self.network = network
        self._listener.reshaped(changes(self.original, network, self._factor), left_alone)
        self._measure(phase)
        if self._engine is not None:
            self.network = Network(self._taught(self._engine), network.size)
            self._measure("trained")

    def finish(self, target: Path | None, transformed: Transformed) -> Result:
        """Write the network, and say what there is to say."""
        proto = self.network.proto
        if target is not None:
            size = files.save(proto, target)
        else:
            files.check(proto)
            size = proto.ByteSize()
        return Result(
            path=target,
            changes=changes(self.original, self.network, self._factor),
            dropped=transformed.dropped,
            left_alone=transformed.left_alone,
            phases=tuple(self._phases),
            original_bytes=self._plan.original.file_bytes,
            bytes=size,
            preprocessing=self._plan.preprocessing,
            warnings=tuple(self._warnings),
            seconds=time.monotonic() - self._started,
        )

    def _measure(self, phase: str) -> None:
        found = self.measures.of(self.network.proto)
        self._phases.append((phase, found))
        self._listener.measured(phase, found)

    def _taught(self, engine: Engine) -> ModelProto:
        from onnxbin.bridge.student import taught

        def on_step(done: int, loss: float) -> bool:
            self._listener.trained(done, self._steps, loss)
            return True

        return taught(
            self.network.proto,
            self.original.proto,
            self.images.training,
            engine,
            steps=self._steps,
            also=_unchanged(self.network, self.original),
            fixed=[layer.weight for layer in self._plan.layers if layer.fixed],
            batch_size=self._settings.batch_size,
            seed=self._settings.seed,
            on_step=on_step,
        )

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        self._listener.warned(text)


def _check(
    factor: float, widths: Sequence[int] | None, prune: float | None, steps: int, prunes_sensibly: bool
) -> None:
    if not 1 <= factor <= 16:
        raise OnnxbinError(f"--factor {factor:g}: expected 1 to 16; 2 means stages of half the depth")
    if widths is not None and any(width < 1 for width in widths):
        raise OnnxbinError(f"--widths {','.join(map(str, widths))}: expected numbers of channels, 1 or more")
    if steps < 0:
        raise OnnxbinError(f"--steps {steps}: expected at least 0")
    if prune is not None and not 0 < prune < 1:
        raise OnnxbinError(f"--prune {prune:g}: expected more than 0 and less than 1, such as {EPS}")
    if prune is not None and not prunes_sensibly:
        raise OnnxbinError(
            "--prune: before it is trained, a widened network has its channels twice, and pruning would only "
            "undo that; let it be trained, or give --factor 1 to prune alone"
        )


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
