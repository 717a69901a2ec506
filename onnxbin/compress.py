"""The loop: pick a layer, binarize it, fine-tune the whole network, check, decide whether to go on.

Wang, Xu, Ni, Zhuang, Xu: "Flexible Network Binarization with Layer-Wise Priority", ICIP 2018, section 3.
What the paper leaves to a person at every step, the stop rules of `Settings` decide here.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxbin import model as files
from onnxbin.agreement import Agreement, run
from onnxbin.cut import FLOATS, compared_tensors
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.images import ImageInput, ImageSet
from onnxbin.operator import stock_session
from onnxbin.plan import Plan, plan
from onnxbin.records import Listener, Record, Result, Step
from onnxbin.settings import Settings
from onnxbin.surgery import with_binary_layers, with_values
from onnxbin.trainer import Trainer, Untrained
from onnxbin.verify import Verifier

HELD_BACK_SHARE, MOST_HELD_BACK = 0.15, 16
"""Of the images, this share but at most so many are never trained on: agreement is measured on them."""

PREPARED_TOLERANCE = 1e-3
"""How far the prepared model's outputs may be from the original's, relative to the largest."""

RENDERED = 256
"""Images that are rendered where the user gives none."""


def compress(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    listener: Listener | None = None,
    **settings: Any,
) -> Result:
    """Compress an ONNX model layer by layer and write the result.

    model: the ONNX file. output: where to write; `model.binary.onnx` beside `model.onnx` by default.
    settings: the fields of `onnxbin.settings.Settings`, such as until_ratio=20, images="photos/".
    Ctrl-C ends the run with what has been reached so far. Raises OnnxbinError where the input is at fault.

    >>> result = onnxbin.compress("model.onnx", until_ratio=20, images="photos/")
    >>> result.ratio, result.agreement, result.reached
    """
    started = time.monotonic()
    wanted = Settings(**settings)
    source = Path(model)
    original = files.load(source)
    target = Path(output) if output is not None else source.with_suffix(".binary.onnx")
    # Through links: what is written is the file at their end.
    target = target.resolve()
    if target in [file.resolve() for file in (source, *original.external)]:
        raise OnnxbinError(f"{target}: is the model itself, or a part of it; name another output file")
    files.check_writable(target)
    job = _Run(plan(original, wanted), wanted, listener or Listener())
    reason, reached = job.loop()
    return job.write(target, reason, reached, started)


@dataclass(frozen=True, eq=False)
class _State:
    """The network after some steps: the model to write, and what is known of it."""

    model: ModelProto
    records: tuple[Record, ...]


class _Run:
    """One compression: what it works with, and the last state that satisfied every rule."""

    def __init__(self, plan: Plan, settings: Settings, listener: Listener) -> None:
        self._plan = plan
        self._settings = settings
        self._listener = listener
        self._warnings: list[str] = []
        self._kept: _State | None = None
        listener.planned(plan)
        self._check_plan()
        training, held_back = self._divide(self._open_images())
        self._agreement = Agreement(plan.prepared, compared_tensors(plan.prepared), held_back)
        self._check_preparation(held_back)
        self._verifier = Verifier(plan.prepared, plan.order, held_back)
        self._trainer = self._make_trainer(training)

    def loop(self) -> tuple[str, bool]:
        """Layer after layer until a rule says stop. Returns why, and whether that is what was asked for."""
        goal = self._settings.until_ratio
        expected = self._plan.turns_until(goal)
        for number, layer in enumerate(self._plan.order, 1):
            step = Step(layer, number, expected, self._settings.steps_per_layer)
            try:
                state = self._take(step)
            except KeyboardInterrupt:
                if self._kept is None:
                    raise
                return "stopped by Ctrl-C", False
            except Exception as error:
                if self._kept is None:
                    raise
                return f"stopped at {layer.name}: {first_line(error)}", False
            record = state.records[-1]
            if self._drops_too_much(record):
                change = f"with {layer.name} binary, outputs change by {1 - (record.after or 0):.3f}"
                reason = f"{change}, more than --max-drop {self._settings.max_drop:g}"
                return reason, goal is None and self._kept is not None
            self._kept = state
            self._listener.layer_finished(step, record)
            if goal is not None and record.ratio >= goal:
                return f"the file is {record.ratio:.2f} times smaller", True
        return "every candidate layer is binary", goal is None

    def write(self, target: Path, reason: str, reached: bool, started: float) -> Result:
        """Write the last kept state, be it the original with no layer binary."""
        kept = self._kept or _State(self._plan.prepared, ())
        after = kept.records[-1].after if kept.records else None
        agreement = after if after is not None else self._agreement.of(kept.model)
        size = files.save(kept.model, target)
        return Result(
            path=target,
            ratio=self._plan.original.file_bytes / size,
            agreement=agreement,
            reached=reached,
            reason=reason,
            steps=kept.records,
            original_bytes=self._plan.original.file_bytes,
            bytes=size,
            preprocessing=self._plan.preprocessing,
            warnings=tuple(self._warnings),
            seconds=time.monotonic() - started,
        )

    def _drops_too_much(self, record: Record) -> bool:
        most = self._settings.max_drop
        # Not "more than": an agreement that is not a number satisfies nothing.
        return most is not None and record.after is not None and not 1 - record.after <= most

    def _take(self, step: Step) -> _State:
        """One layer's turn: binarize, fine-tune, check."""
        started = time.monotonic()
        self._listener.layer_started(step)
        self._trainer.binarize(step.layer, self._settings.bases)
        trains = self._settings.finetune is not False
        before = self._agreement.of(self._build()) if trains else None
        self._trainer.train(step, self._listener)
        model = self._build()
        measured = trains or self._settings.max_drop is not None
        binary = self._plan.order[: step.number]
        record = Record(
            layer=step.layer.name,
            shape=step.layer.shape,
            share=sum(layer.parameters for layer in binary) / sum(i.parameters for i in self._plan.layers),
            ratio=self._plan.original.file_bytes / model.ByteSize(),
            before=before,
            after=self._agreement.of(model) if measured else None,
            difference=self._verifier.check(
                step.layer, self._trainer.binary()[step.layer.name], self._trainer.run_layer
            ),
            seconds=time.monotonic() - started,
        )
        return _State(model, (*(self._kept.records if self._kept else ()), record))

    def _build(self) -> ModelProto:
        """The model as it would be written now."""
        prepared = with_values(self._plan.prepared, self._trainer.real())
        return with_binary_layers(prepared, self._trainer.binary())

    def _check_preparation(self, images: ImageSet) -> None:
        """Preparation must keep what the model computes, whatever the version converter thinks it does."""
        original = self._plan.original.proto
        names = [o.name for o in original.graph.output if o.type.tensor_type.elem_type in FLOATS]
        feed = images.target.feed([images.tensor(0)])
        before, after = (run(stock_session(m), names, feed) for m in (original, self._plan.prepared))
        for name, old, new in zip(names, before, after, strict=True):
            same = old.shape == new.shape and np.allclose(
                old, new, rtol=0, atol=PREPARED_TOLERANCE * np.abs(old).max(initial=0), equal_nan=True
            )
            if not same:
                raise OnnxbinError(
                    f"{self._plan.original.path}: output {name!r} changes when the model is raised from "
                    f"opset {files.opset(original)} to {files.opset(self._plan.prepared)} and batch norms "
                    "are folded: export it again with a newer opset"
                )

    def _check_plan(self) -> None:
        """Refuse what cannot begin, warn of what cannot be reached."""
        plan, goal = self._plan, self._settings.until_ratio
        if not plan.layers:
            raise OnnxbinError(f"{plan.original.path}: has no convolution, so there is nothing to binarize")
        if not plan.order:
            raise OnnxbinError(
                f"{plan.original.path}: none of its {len(plan.layers)} convolutions can be binarized; "
                "`onnxbin inspect` says why"
            )
        if goal is not None and plan.largest_ratio < goal:
            self._warn(
                f"--until-ratio {goal:g} is out of reach: with every candidate layer binary the file is "
                f"{plan.largest_ratio:.2f} times smaller"
            )
        if plan.preprocessing.warning:
            self._warn(plan.preprocessing.warning)

    def _open_images(self) -> ImageSet:
        target = ImageInput.of(self._plan.prepared, self._settings.input_size)
        others = [v.name for v in self._plan.prepared.graph.input if v.name != target.name]
        if others:
            raise OnnxbinError(f"{self._plan.original.path}: wants more than an image: {', '.join(others)}")
        preprocessing = self._plan.preprocessing.preprocessing
        if self._settings.images is not None:
            return ImageSet.open(Path(self._settings.images), target, preprocessing)
        if self._settings.finetune is not False:
            self._warn("no --images: fine-tuning on images that onnxbin renders; real photos do better")
        return ImageSet.rendered(RENDERED, target, preprocessing, self._settings.seed)

    def _divide(self, images: ImageSet) -> tuple[ImageSet, ImageSet]:
        if len(images) == 1:
            self._warn("one image only: agreement is measured on the image that is trained on")
            return images, images
        share = min(HELD_BACK_SHARE, MOST_HELD_BACK / len(images))
        return images.split(share, self._settings.seed)

    def _make_trainer(self, training: ImageSet) -> Trainer:
        if self._settings.finetune is False:
            return Untrained(self._plan.prepared)
        try:
            from onnxbin.bridge.trainer import NetworkTrainer
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise OnnxbinError(
                "fine-tuning needs PyTorch: `pip install onnxbin[finetune]`, or give --no-finetune"
            ) from None
        return NetworkTrainer(self._plan, self._settings, training)

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        self._listener.warned(text)
