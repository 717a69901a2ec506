"""A reshaping, from the model's file to the file that is written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx import ModelProto

from onnxbin import model as files
from onnxbin.errors import OnnxbinError
from onnxbin.images import Choice
from onnxbin.measures import Measured, Measures
from onnxbin.plan import plan
from onnxbin.processes import Alone
from onnxbin.records import without_infinities
from onnxbin.reshape.channels import Dependencies
from onnxbin.reshape.network import Network
from onnxbin.reshape.stages import find_stages
from onnxbin.reshape.transform import Transformed, transform
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

    def transformed(self, result: Transformed) -> None:
        """The new network is there, not yet trained."""

    def trained(self, done: int, total: int, loss: float) -> None:
        """One more step of distillation is done."""


@dataclass(frozen=True, eq=False)
class Result:
    """What came out.

    path: the file that was written; None for a dry run. untrained, trained: how the network agrees with the
    original (see onnxbin.measures) before and after distillation; None where there was none.
    """

    path: Path | None
    transformed: Transformed
    untrained: Measured
    trained: Measured | None
    original_bytes: int
    bytes: int
    preprocessing: Choice
    warnings: tuple[str, ...]
    seconds: float

    def to_json(self) -> str:
        """All of it, for machines."""
        reshaped = self.transformed
        content = {
            "path": str(self.path) if self.path else None,
            "macs": [round(reshaped.before.macs), round(reshaped.after.macs)],
            "activations": [round(reshaped.before.activations), round(reshaped.after.activations)],
            "stages": [asdict(stage) for stage in reshaped.stages],
            "dropped": [asdict(block) for block in reshaped.dropped],
            "left_alone": dict(reshaped.left_alone),
            "untrained": asdict(self.untrained),
            "trained": asdict(self.trained) if self.trained else None,
            "original_bytes": self.original_bytes,
            "bytes": self.bytes,
            "preprocessing": asdict(self.preprocessing),
            "warnings": self.warnings,
            "seconds": self.seconds,
        }
        return json.dumps(without_infinities(content), indent=2)


def reshape(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    factor: float = 2.0,
    widths: Sequence[int] | None = None,
    steps: int = STEPS,
    dry_run: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> Result:
    """Make an ONNX model shallower and wider at the same cost, and write the result.

    model: the ONNX file, or a name of one, see onnxbin.sources. output: where to write; `model.wide.onnx`
    beside `model.onnx` by default.
    factor: what the depth of stages is divided by. widths: of the stages, instead of those by formula, see
    onnxbin.reshape.transform. steps: of distillation. dry_run: reshape, but neither train nor write.
    settings: the fields of `onnxbin.settings.Settings` that are about images and training: images, profile,
    input_size, finetune (True or False), batch_size, device, seed, ...
    Raises OnnxbinError where the input is at fault, or there is nothing to reshape.
    """
    started = time.monotonic()
    _check(factor, widths, steps)
    wanted = Settings(**settings)
    original = files.load(fetch(model))
    target = (
        None if dry_run else output_file(Path(output) if output is not None else None, original, ".wide.onnx")
    )
    trains = not dry_run and steps > 0 and wanted.finetune is not False
    engine = _engine(wanted.device) if trains else None
    listener = listener or Listener()
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        listener.warned(text)

    planned = plan(original, wanted)
    if planned.preprocessing.warning:
        warn(planned.preprocessing.warning)
    images = RunImages(planned, wanted, warn)
    measures = Measures(planned, images.held_back, Alone())
    network = Network(planned.prepared, wanted.input_size)
    transformed = transform(network, measures.first_look, factor=factor, widths=widths, seed=wanted.seed)
    listener.transformed(transformed)
    proto = transformed.proto
    untrained = measures.of(proto)
    trained = None
    if engine is not None:
        proto = _taught(
            proto,
            network,
            images,
            engine,
            steps,
            wanted,
            listener.trained,
            [layer.weight for layer in planned.layers if layer.fixed],
        )
        trained = measures.of(proto)
    if target is not None:
        size = files.save(proto, target)
    else:
        files.check(proto)
        size = proto.ByteSize()
    return Result(
        target,
        transformed,
        untrained,
        trained,
        original.file_bytes,
        size,
        planned.preprocessing,
        tuple(warnings),
        time.monotonic() - started,
    )


def _check(factor: float, widths: Sequence[int] | None, steps: int) -> None:
    if not 1 <= factor <= 16:
        raise OnnxbinError(f"--factor {factor:g}: expected 1 to 16; 2 means stages of half the depth")
    if widths is not None and any(width < 1 for width in widths):
        raise OnnxbinError(f"--widths {','.join(map(str, widths))}: expected numbers of channels, 1 or more")
    if steps < 0:
        raise OnnxbinError(f"--steps {steps}: expected at least 0")


def _engine(device: str) -> Engine:
    try:
        from onnxbin.bridge.engine import Engine
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "lightning_fabric"):
            raise
        raise OnnxbinError(
            "fine-tuning needs PyTorch and Lightning Fabric: `pip install 'onnxbin[finetune]'`, "
            "or give --no-finetune"
        ) from None
    return Engine(device)


def _taught(
    student: ModelProto,
    teacher: Network,
    images: RunImages,
    engine: Engine,
    steps: int,
    settings: Settings,
    listener: Callable[[int, int, float], None],
    fixed: Sequence[str],
) -> ModelProto:
    from onnxbin.bridge.student import taught

    def on_step(done: int, loss: float) -> bool:
        listener(done, steps, loss)
        return True

    return taught(
        student,
        teacher.proto,
        images.training,
        engine,
        steps=steps,
        also=_unchanged(Network(student, teacher.size), teacher),
        fixed=fixed,
        batch_size=settings.batch_size,
        seed=settings.seed,
        on_step=on_step,
    )


def _unchanged(network: Network, original: Network) -> list[str]:
    """Of each stage, the last tensor made by a convolution that has the original's shape."""
    found = []
    for stage in find_stages(Dependencies(network)):
        same = [name for name in stage.convolutions if network.shapes[name] == original.shapes.get(name)]
        found += same[-1:]
    return found
