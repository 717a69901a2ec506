"""Making a report: measure, draw, write the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from onnxbin import model as files
from onnxbin import text
from onnxbin.benchmark.contender import Contender, is_compressed
from onnxbin.benchmark.inputs import FEEDS
from onnxbin.benchmark.machine import Machine, physical_cores
from onnxbin.detection import Detector, LabelledSet, Selection, read_labels
from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageInput, ImageSet, Preprocessing, recognise
from onnxbin.plan import plan
from onnxbin.report.figures import Figures, ModelFigures, StepFigures
from onnxbin.report.measure import ROUNDS, Progress, average_precisions, latencies, some
from onnxbin.report.page import Content, Plot, render
from onnxbin.report.pictures import SHOWING, Pair, pairs
from onnxbin.report.plots import Curve, Point, png, svg
from onnxbin.report.reproduce import command_line
from onnxbin.report.run import Run, read_run
from onnxbin.report.theme import DARK, LIGHT
from onnxbin.run_images import RunImages

PAGE, FIGURES = "index.html", "figures.json"
"""What a report's folder holds, beside a PNG file for each plot."""


@dataclass(frozen=True)
class Report:
    """page: the HTML file that was written. figures: what is in it. notes: what could not be had, and why."""

    page: Path
    figures: Figures
    notes: tuple[str, ...]


def write_report(
    run: Path,
    output: Path | None = None,
    *,
    data: Path | None = None,
    images: Path | None = None,
    family: str | None = None,
    classes: Mapping[str, int] | None = None,
    progress: Progress = lambda _: None,
) -> Report:
    """Write the report of a run folder: index.html, figures.json and the plots as PNG.

    output: the folder to write to; `report` in the run folder by default. data: labels to measure the steps'
    average precision on. images: for the pictures, by default those that the run was given. family, classes:
    how outputs are read, and which class of the model each name in the labels is; see detection.Detector and
    detection.evaluate. progress: is told what is being measured.
    Raises OnnxbinError where there is nothing to report, or something that was asked for cannot be had.
    """
    job = _Job(read_run(run), images, family, progress)
    folder = output or run / "report"
    _make(folder)
    labels = read_labels(data) if data is not None else None
    figures = job.measure(labels, classes)
    curves = _curves(figures, labels)
    content = Content(
        run=job.run,
        figures=figures,
        model_name=job.run.model.name,
        file_name=job.run.output.name,
        notes=job.notes,
        plots=[
            Plot(svg(curve, LIGHT), svg(curve, DARK), f"{curve.label} over file ratio", caption)
            for curve, caption in curves.values()
        ],
        pairs=job.pictures(),
        held_back=images is None,
        facts=job.facts(data, labels),
        command=command_line(job.run),
    )
    for name, (curve, _) in curves.items():
        files.write_atomically(folder / name, png(curve, LIGHT))
    files.write_atomically(folder / FIGURES, figures.to_json().encode())
    files.write_atomically(folder / PAGE, render(content).encode())
    return Report(folder / PAGE, figures, tuple(job.notes))


class _Job:
    """One report in the making, with notes of what could not be had."""

    def __init__(self, run: Run, images: Path | None, family: str | None, progress: Progress) -> None:
        self.run = run
        self.notes: list[str] = []
        self._family = family
        self._progress = progress
        last = files.load(run.models[-1]).proto
        self._preprocessing = _preprocessing(last, run.models[-1])
        self._target = ImageInput.of(last, run.settings.input_size)
        self._original = self._load_original()
        self._images = self._open_images(images)

    def measure(self, labels: LabelledSet | None, classes: Mapping[str, int] | None) -> Figures:
        """Latency, and average precision where there are labels, of the original and of (some) steps."""
        run = self.run
        models = {0: run.model} if self._original is not None else {}
        models |= {number: run.models[number - 1] for number in some(range(1, len(run.steps) + 1))}
        precisions = average_precisions(models, self._open, labels, classes, self._progress) if labels else {}
        timings = latencies({n: self._contender(path) for n, path in models.items()}, self._progress)
        times = {number: timing.median for number, timing in timings.items()}
        steps = tuple(
            StepFigures(
                bytes=run.models[number - 1].stat().st_size,
                average_precision=precisions.get(number),
                latency=times.get(number),
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
            for number, record in enumerate(run.steps, 1)
        )
        return Figures(ModelFigures(run.original_bytes, precisions.get(0), times.get(0)), steps)

    def pictures(self) -> list[Pair]:
        """Before and after, where there are images and the model is a detector that onnxbin can read."""
        if self._original is None or self._images is None:
            return []
        try:
            original, compressed = (self._open(p, SHOWING) for p in (self.run.model, self.run.models[-1]))
            found = pairs(self._images, original, compressed)
        except OnnxbinError as error:
            self.notes.append(f"There are no pictures: {error}.")
            return []
        if not found:
            self.notes.append("There are no pictures: the original finds nothing in the images.")
        return found

    def facts(self, data: Path | None, labels: LabelledSet | None) -> list[tuple[str, str]]:
        """What was used, to be known beside the figures."""
        run, settings, machine = self.run, self.run.settings, Machine.here()
        facts = [
            ("original", f"{run.model}, {text.file_size(run.original_bytes)}, SHA-256 {run.sha256}"),
            ("compressed", f"{run.output}, {text.file_size(run.models[-1].stat().st_size)}"),
            ("images", f"{run.images['count']}, {settings.images or 'rendered by onnxbin'}"),
            ("images are fed as", text.preprocessing(self._preprocessing)),
        ]
        if labels is not None:
            boxes = sum(len(image.truth) for image in labels.images)
            facts.append(("labels", f"{boxes} boxes in {len(labels.images)} images, {data}"))
        chosen = {k: v for k, v in settings.to_json().items() if v not in (None, [], ()) and k != "images"}
        return [
            *facts,
            ("settings", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in chosen.items())),
            ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
            ("run", f"started {run.started} on {run.platform}, in {run.folder}"),
            (
                "latency",
                f"median of {ROUNDS} runs of each model, in turns, with {physical_cores()} threads and "
                f"{machine.kernels or 'no'} kernels, on {machine.processor}",
            ),
        ]

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
            return ImageSet.open(given, self._target, self._preprocessing)
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
        images = self._images or ImageSet.rendered(FEEDS, self._target, self._preprocessing)
        feeds = [self._target.feed([images.tensor(index)]) for index in range(min(FEEDS, len(images)))]
        return Contender(path.name, path, model.proto, model.file_bytes, is_compressed(model.proto), feeds)

    def _open(self, path: Path, selection: Selection | None = None) -> Detector:
        return Detector(
            files.load(path).proto,
            size=self.run.settings.input_size,
            preprocessing=self._preprocessing,
            family=self._family,
            selection=selection,
        )


def _preprocessing(model: ModelProto, path: Path) -> Preprocessing:
    """How the run fed images: the models that it wrote say so."""
    found = recognise(model)
    if found is None:
        raise OnnxbinError(f"{path}: is damaged: does not say how images are fed to it")
    return found[1]


def _curves(figures: Figures, labels: LabelledSet | None) -> dict[str, tuple[Curve, str]]:
    """The plots, by the names of their files, with what is said of them."""
    curves = {}
    quality = figures.quality
    if quality is not None:
        original = figures.original.average_precision if quality.name == "average_precision" else 1.0
        curve = Curve(quality.label, _points(figures, quality.name), original, True, "{:.3f}")
        measured_on = (
            f" {len(labels.images)} of them." if labels and quality.name == "average_precision" else ""
        )
        curves["quality.png"] = curve, quality.meaning + measured_on
    points = _points(figures, "latency")
    curve = Curve("latency, ms", points, figures.original.latency, False, "{:.1f} ms")
    how = f"the median of {ROUNDS} runs of each model, in turns, with {physical_cores()} threads"
    curves["latency.png"] = curve, f"Latency of one image: {how}."
    return curves


def _points(figures: Figures, name: str) -> list[Point]:
    """The steps for which a value is known."""
    values = ((step, getattr(step, name)) for step in figures.steps)
    return [Point(step.number, step.layer, step.ratio, v) for step, v in values if v is not None]


def _make(folder: Path) -> None:
    """The folder to write to, known to be writable before anything is measured."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OnnxbinError(f"{folder}: cannot be made: {error.strerror or error}") from None
    files.check_writable(folder / PAGE)
