"""What was used, to be known beside the figures: a term and a description each."""

from __future__ import annotations

from pathlib import Path

from onnxbin import text
from onnxbin.benchmark.machine import Machine
from onnxbin.detection import LabelledSet
from onnxbin.report.subject import Subject

Fact = tuple[str, str]


def facts(subject: Subject, data: Path | None, labels: LabelledSet | None) -> list[Fact]:
    """Model, images, preprocessing, settings, versions, machines."""
    run, settings, machine = subject.run, subject.run.settings, Machine.here()
    found = [
        ("original", f"{run.model}, {text.file_size(run.original_bytes)}, SHA-256 {run.sha256}"),
        ("compressed", f"{run.output}, {text.file_size(run.models[-1].stat().st_size)}"),
        ("images", f"{run.images['count']}, {settings.images or 'rendered by onnxbin'}"),
        ("images are fed as", text.preprocessing(subject.preprocessing)),
    ]
    if labels is not None:
        boxes = sum(len(image.truth) for image in labels.images)
        found.append(("labels", f"{boxes} boxes in {len(labels.images)} images, {data}"))
    chosen = {k: v for k, v in settings.to_json().items() if v not in (None, [], ()) and k != "images"}
    return [
        *found,
        ("settings", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in chosen.items())),
        ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
        ("run", f"{run.folder}, started {run.started} on {run.platform}"),
        (
            "latency measured on",
            f"{machine.processor}, {machine.cores} cores, {machine.kernels or 'no'} kernels, "
            f"onnxruntime {machine.onnxruntime}",
        ),
    ]
