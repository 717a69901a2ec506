"""Model files as detectors, with the options that commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxbin import model as files
from onnxbin.detection import Detector, Selection
from onnxbin.images import choose


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
