"""`onnxbin evaluate`: figures for a detector, against labels or against another model."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from onnxbin import OnnxbinError, detection
from onnxbin.detection import REASONABLE, Comparison, Detections, Evaluation, compare, read_labels
from onnxbin.detection.coco import coco_figures
from onnxbin.images import find_images, read_image
from onnxbin.text import printable
from onnxbin_cli.console import OutputConsole, progress_bar
from onnxbin_cli.detectors import class_numbers, class_option, open_detector
from onnxbin_cli.options import ModelFile, detector_options, json_option


@click.command(short_help="Measure a detector against labels, or against another model.")
@click.argument("model", type=ModelFile())
@click.option("--data", type=click.Path(path_type=Path), help="Labels: COCO json, VOC folder or YOLO folder.")
@click.option("--images", type=click.Path(path_type=Path), help="Images without labels; needs --against.")
@click.option("--against", type=ModelFile(), help="The original, to compare with.")
@class_option
@click.option(
    "--reasonable",
    is_flag=True,
    help=f"Ignore people lower than {REASONABLE:g} pixels, as Caltech's setting.",
)
@detector_options
@json_option
def evaluate(
    model: Path,
    data: Path | None,
    images: Path | None,
    against: Path | None,
    classes: tuple[str, ...],
    reasonable: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Average precision and log-average miss rate of MODEL on labelled images.

    Without labels, with --images and --against: how far MODEL finds what the other model finds.

    \b
    Examples:
      onnxbin evaluate small.onnx --data val.json --against model.onnx
      onnxbin evaluate small.onnx --images photos/ --against model.onnx
    """
    if (data is None) == (images is None):
        raise OnnxbinError("give --data (images with labels) or --images (without)")
    if images is not None and against is None:
        raise OnnxbinError("--images has no labels: name the model to compare with, by --against")
    if images is not None and (classes or reasonable):
        raise OnnxbinError("--class and --reasonable are about labels: --images has none")
    paths = [model] if against is None else [against, model]
    if data is not None:
        labels = read_labels(data)
        numbers = class_numbers(classes)
        least = REASONABLE if reasonable else 0.0
        results = []
        for path in paths:
            with _bar(path, len(labels.images)) as progress:
                found = detection.evaluate(open_detector(path, options), labels, numbers, least, progress)
            results.append((str(path), found))
        if as_json:
            click.echo(json.dumps({name: _figures(result) for name, result in results}, indent=2))
        else:
            _show(results)
        return
    assert images is not None
    files = find_images(images)
    first, second = (_detect(path, files, options) for path in paths)
    comparison = compare(first, second)
    click.echo(json.dumps(asdict(comparison), indent=2) if as_json else _sentence(comparison, len(files)))


def _detect(model: Path, files: list[Path], options: dict[str, Any]) -> list[Detections]:
    detector = open_detector(model, options)
    found = []
    with _bar(model, len(files)) as progress:
        for done, file in enumerate(files, 1):
            found.append(detector(read_image(file)))
            progress(done)
    return found


@contextlib.contextmanager
def _bar(model: Path, images: int) -> Iterator[Callable[[int], None]]:
    """In a terminal, how many images a model has seen; on standard error, which nobody parses."""
    console = OutputConsole(stderr=True)
    with progress_bar(console) as bar:
        task = bar.add_task(printable(model.name), total=images, detail="")
        yield lambda done: bar.update(task, completed=done)


def _figures(result: Evaluation) -> dict[str, Any]:
    truths = [image.truth for image in result.labels.images]
    rows = {}
    for entry in result.classes:
        number = result.labels.names.index(entry.name)
        coco = coco_figures(result.detections, truths, [number])
        rows[entry.name] = {
            "average_precision": entry.average_precision,
            "miss_rate": entry.miss_rate,
            "coco": coco,
        }
    figures: dict[str, Any] = {
        "images": len(result.labels.images),
        "average_precision": result.average_precision,
        "miss_rate": result.miss_rate,
        "classes": rows,
    }
    return {name: _without_nan(value) for name, value in figures.items()}


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null is "nothing to find"."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _show(results: list[tuple[str, Evaluation]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class")
    for name in ("AP@0.5", "COCO AP", "miss rate"):
        table.add_column(name, justify="right")
    table.add_column("model", overflow="fold")
    for path, result in results:
        for name, row in _figures(result)["classes"].items():
            figures = (row["average_precision"], row["coco"]["AP"], row["miss_rate"])
            texts = ["-" if value is None else f"{value:.3f}" for value in figures]
            table.add_row(Text(printable(name)), *texts, Text(printable(path)))
    OutputConsole().print(table)


def _sentence(result: Comparison, images: int) -> str:
    return (
        f"on {images} images: of {result.reference_boxes} boxes {result.matched} are found again "
        f"(mean IoU {result.mean_iou:.3f}), {result.boxes - result.matched} are new; AP@0.5 against the "
        f"other model's boxes {result.average_precision:.3f}"
    )
