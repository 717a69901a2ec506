"""What a report is about: the models and images of a run, opened, with notes of what is no longer there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto

from onnxbin import model as files
from onnxbin.benchmark.contender import Contender, is_compressed
from onnxbin.benchmark.inputs import FEEDS
from onnxbin.detection import Detector, LabelledSet, Selection
from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageInput, ImageSet, Preprocessing, recognise
from onnxbin.plan import plan
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
        self._original = self._load_original()
        self._images = self._open_images(images)

    def measure(self, labels: LabelledSet | None, classes: Mapping[str, int] | None) -> Figures:
        """Latency, and average precision where there are labels, of the original and of (some) steps."""
        run = self.run
        models = {0: run.model} if self._original is not None else {}
        models |= {number: run.models[number - 1] for number in some(range(1, len(run.steps) + 1))}
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
                layer=record.layer,
                shape=record.shape,
                share=record.share,
                ratio=record.ratio,
                agreement_before=record.before,
                agreement=record.after,
                boxes=record.boxes,
                training_steps=record.training_steps,
                seconds=record.seconds,
            )
            for number, (record, path) in enumerate(zip(run.steps, run.models, strict=True), 1)
        )
        return Figures(measured(0, run.original_bytes), steps)

    def pictures(self) -> list[Pair]:
        """Before and after, where there are images and the model is a detector that onnxbin can read."""
        if self._original is None or self._images is None:
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

    def _load_original(self) -> files.Model | None:
        """The original, if it is still there and as it was."""
        try:
            original = files.load(self.run.model)
        except OnnxbinError as error:
            why = str(error)
        else:
            if original.sha256 == self.run.sha256:
                return original
            why = f"{self.run.model}: has changed since the run"
        self.notes.append(f"There is no original to measure or to show: {why}.")
        return None

    def _open_images(self, given: Path | None) -> ImageSet | None:
        """The images given, else those that the run held back from training, if they are still there."""
        if given is not None:
            return ImageSet.open(given, self._target, self.preprocessing)
        if self._original is None:
            return None
        settings = self.run.settings
        try:
            images = RunImages(plan(self._original, settings), settings, lambda _: None)
            images.check(self.run.images, self.run.folder)
        except OnnxbinError as error:
            self.notes.append(f"There are no pictures: {error}.")
            return None
        return images.held_back

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
