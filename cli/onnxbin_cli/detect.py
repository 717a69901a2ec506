"""`onnxbin detect`: boxes on images, for looking."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import click
from PIL import Image

from onnxbin.detection import Selection
from onnxbin.detection.draw import draw
from onnxbin.errors import OnnxbinError
from onnxbin.images import find_images, read_image
from onnxbin.model import check_writable, naming_write_errors, write_atomically
from onnxbin.text import printable
from onnxbin_cli.detectors import open_detector
from onnxbin_cli.options import ModelFile, detector_options


@click.command(short_help="Draw what a detector finds on images.")
@click.argument("model", type=ModelFile())
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write to.")
@click.option("--min-score", type=float, default=0.3, show_default=True, help="Draw boxes from here on.")
@detector_options
def detect(model: Path, images: tuple[Path, ...], output: Path, min_score: float, **options: Any) -> None:
    """Draw what MODEL finds on IMAGES (files, folders, lists) and write the pictures as PNG.

    \b
    Example:
      onnxbin detect model.binary.onnx street.jpg -o found/
    """
    detector = open_detector(model, options, Selection(min_score=min_score))
    paths = [path for given in images for path in find_images(given)]
    with naming_write_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    for path, target in zip(paths, _targets(paths, output), strict=True):
        check_writable(target)
        pixels = read_image(path)
        found = detector(pixels)
        content = io.BytesIO()
        Image.fromarray(draw(pixels, found, detector.names)).save(content, "PNG")
        write_atomically(target, content.getvalue())
        counts = {name: int((found.classes == k).sum()) for k, name in enumerate(detector.names)}
        seen = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"
        click.echo(printable(f"{path}: {seen} -> {target}"))


def _targets(paths: Sequence[Path], output: Path) -> list[Path]:
    """A picture for each image, called like it; images of the same name, in several folders, get numbers.

    Raises OnnxbinError where a picture would take the place of an image.
    """
    targets: list[Path] = []
    for path in paths:
        names = chain([f"{path.stem}.png"], (f"{path.stem}-{number}.png" for number in count(2)))
        targets.append(next(output / name for name in names if output / name not in targets))
    images = {path.resolve() for path in paths}
    for target in targets:
        if target.resolve() in images:
            raise OnnxbinError(f"{target}: is one of the images; give another folder with -o")
    return targets
