"""What a report is about: the models and images of a run, opened, with notes of what is no longer there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto

from onnxbin import model as files
from onnxbin.benchmark.contender import Contender, is_compressed
from onnxbin.benchmark.inputs import FEEDS
from onnxbin.detection import Detector, LabelledSet, Selection
from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageInput, ImageSet, Preprocessing, recognise
from onnxbin.measures import Measured, Measures
from onnxbin.plan import Plan, plan
from onnxbin.processes import Alone
from onnxbin.report.figures import Figures, ModelFigures, StepFigures
from onnxbin.report.measure import Progress, average_precisions, latencies, some
from onnxbin.report.pictures import SHOWING, Pair, pairs
from onnxbin.report.run import Run
from onnxbin.run_images import RunImages


class Subject:
    """A run, opened. preprocessing: how its images are fed. notes: what could not be had, and why.

    images: to show and to measure latency on; by default those that the run held back from training. family:
    how outputs are read, see detection.Detector. progress: is told what is being measured.
    Raises OnnxbinError where a model of the run, or the images given, cannot be read.
    """

    def __init__(self, run: Run, images: Path | None, family: str | None, progress: Progress) -> None:
        self.run = run
        self.notes: list[str] = []
        self._family = family
        self._progress = progress
        last = files.load(run.models[-1]).proto
        self.preprocessing = _preprocessing(last, run.models[-1])
        self._target = ImageInput.of(last, run.settings.input_size)
        self._plan = self._plan_again()
        self._held_back = self._open_held_back()
        self._images = self._open(images)

    def measure(self, labels: LabelledSet | None, classes: Mapping[str, int] | None) -> Figures:
        """Latency, and average precision where there are labels, of the original and of (some) steps."""
        run = self.run
        models = {0: run.model} if self._plan is not None else {}
        models |= {number: run.models[number - 1] for number in some(range(1, len(run.steps) + 1))}
        agreements = self._agreements(models)
        precisions = (
            average_precisions(models, self._detector, labels, classes, self._progress) if labels else {}
        )
        try:
            timings = latencies({n: self._contender(path) for n, path in models.items()}, self._progress)
        except OnnxbinError as error:
            timings = {}
            self.notes.append(f"There is no latency: {error}.")

        def measured(number: int, size: int) -> ModelFigures:
            timing = timings.get(number)
            return ModelFigures(
                bytes=size,
                average_precision=precisions.get(number),
                latency=timing.median if timing else None,
                quartiles=timing.quartiles if timing else None,
            )

        steps = tuple(
            StepFigures(
                **vars(measured(number, path.stat().st_size)),
                number=number,
                layer=record.title,
                shape=record.shape,
                share=record.share,
                ratio=record.ratio,
                agreement_before=record.before,
                agreement=_finite(agreements[number].agreement) if number in agreements else record.after,
                boxes=agreements[number].boxes if number in agreements else record.boxes,
                training_steps=record.training_steps,
                seconds=record.seconds,
            )
            for number, (record, path) in enumerate(zip(run.steps, run.models, strict=True), 1)
        )
        return Figures(measured(0, run.original_bytes), steps)

    def pictures(self) -> list[Pair]:
        """Before and after, where there are images and the model is a detector that onnxbin can read."""
        if self._plan is None or self._images is None:
            return []
        self._progress("pictures")
        try:
            original, compressed = (self._detector(p, SHOWING) for p in (self.run.model, self.run.models[-1]))
            found = pairs(self._images, original, compressed)
        except OnnxbinError as error:
            self.notes.append(f"There are no pictures: {error}.")
            return []
        if not found:
            self.notes.append("There are no pictures: the original finds nothing in the images.")
        return found

    def _agreements(self, models: Mapping[int, Path]) -> dict[int, Measured]:
        """Of outputs and boxes, by step, where the run has not measured them: it does in fine-tuning only."""
        if self._plan is None or self._held_back is None or self.run.steps[-1].after is not None:
            return {}
        self._progress("agreement with the original")
        measures = Measures(self._plan, self._held_back, Alone())
        return {number: measures.of(files.load(path).proto) for number, path in models.items() if number}

    def _plan_again(self) -> Plan | None:
        """The plan of the run, with its original, if that is still there and as it was."""
        try:
            original = files.load(self.run.model)
            if original.sha256 != self.run.sha256:
                raise OnnxbinError(f"{self.run.model}: has changed since the run")
            return plan(original, self.run.settings)
        except OnnxbinError as error:
            self.notes.append(f"There is no original to measure or to show: {error}.")
            return None

    def _open_held_back(self) -> ImageSet | None:
        """The images that the run held back from training, if they are still there."""
        if self._plan is None:
            return None
        try:
            images = RunImages(self._plan, self.run.settings, lambda _: None)
            images.check(self.run.images, self.run.folder)
            return images.held_back
        except OnnxbinError as error:
            self.notes.append(f"The images of the run are not there to be shown: {error}.")
            return None

    def _open(self, images: Path | None) -> ImageSet | None:
        """The images given, else those held back."""
        return ImageSet.open(images, self._target, self.preprocessing) if images else self._held_back

    def _contender(self, path: Path) -> Contender:
        model = files.load(path)
        images = self._images or ImageSet.rendered(FEEDS, self._target, self.preprocessing)
        feeds = [self._target.feed([images.tensor(index)]) for index in range(min(FEEDS, len(images)))]
        return Contender(path.name, path, model.proto, model.file_bytes, is_compressed(model.proto), feeds)

    def _detector(self, path: Path, selection: Selection | None = None) -> Detector:
        return Detector(
            files.load(path).proto,
            size=self.run.settings.input_size,
            preprocessing=self.preprocessing,
            family=self._family,
            selection=selection,
        )


def _preprocessing(model: ModelProto, path: Path) -> Preprocessing:
    """How the run fed images: the models that it wrote say so."""
    found = recognise(model)
    if found is None:
        raise OnnxbinError(f"{path}: is damaged: does not say how images are fed to it")
    return found[1]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
