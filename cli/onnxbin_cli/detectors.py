"""Model files as detectors, with the options that commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from onnxbin import OnnxbinError
from onnxbin import model as files
from onnxbin.detection import Detector, Selection
from onnxbin.images import choose

class_option = click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME=N",
    help="The labels' class NAME is the model's number N. Repeatable; by default matched by name.",
)


def class_numbers(classes: tuple[str, ...]) -> dict[str, int] | None:
    """What `class_option` says: the model's number of each of the labels' classes; None where nothing."""
    numbers = {}
    for text in classes:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal():
            raise OnnxbinError(f"--class {text!r}: expected NAME=N, such as person=0")
        numbers[name] = int(number)
    return numbers or None


def open_detector(path: Path, options: Mapping[str, Any], selection: Selection | None = None) -> Detector:
    """The detector in a file; `options` are those of `options.detector_options`."""
    proto = files.load(path).proto
    names = ("profile", "resize", "channels", "mean", "std")
    choice = choose(proto, **{name: options[name] for name in names})
    return Detector(
        proto,
        size=options["input_size"],
        preprocessing=choice.preprocessing,
        family=options["family"],
        selection=selection,
    )
