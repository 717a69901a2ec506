"""The images of a run: opened, divided into those to train on and those to measure on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageInput, ImageSet
from onnxbin.plan import Plan
from onnxbin.run_folder import digest_of
from onnxbin.settings import Settings

HELD_BACK_SHARE, MOST_HELD_BACK = 0.15, 24
"""Of the images, this share but at most so many are never trained on: the run is measured on them."""

RENDERED = 256
"""Images that are rendered where the user gives none."""


class RunImages:
    """training, held_back: the two parts. warn: is told what the user should know of them.

    Raises OnnxbinError where the model is fed with more than an image, or there are no images.
    """

    def __init__(self, plan: Plan, settings: Settings, warn: Callable[[str], None]) -> None:
        images = _open(plan, settings, warn)
        self._paths = images.paths
        self._count = len(images)
        if len(images) == 1:
            warn("one image only: agreement is measured on the image that is trained on")
            self.training, self.held_back = images, images
        else:
            share = min(HELD_BACK_SHARE, MOST_HELD_BACK / len(images))
            self.training, self.held_back = images.split(share, settings.seed)

    def description(self) -> dict[str, Any]:
        """For the run folder: how many images, and what tells them from others."""
        return {"count": self._count, "sha256": digest_of(self._paths)}

    def check(self, description: Mapping[str, Any], run: Path) -> None:
        """Raise OnnxbinError where an earlier run had other images."""
        if description != self.description():
            raise OnnxbinError(
                f"{run}: its images have changed: there were {description.get('count')}, now {self._count}, "
                "or their names or bytes differ; bring them back, or start a new run"
            )


def _open(plan: Plan, settings: Settings, warn: Callable[[str], None]) -> ImageSet:
    target = ImageInput.of(plan.prepared, settings.input_size)
    others = [v.name for v in plan.prepared.graph.input if v.name != target.name]
    if others:
        raise OnnxbinError(f"{plan.original.path}: wants more than an image: {', '.join(others)}")
    preprocessing = plan.preprocessing.preprocessing
    if settings.images is not None:
        return ImageSet.open(Path(settings.images), target, preprocessing)
    if settings.finetune is not False:
        warn("no --images: fine-tuning on images that onnxbin renders; real photos do better")
    return ImageSet.rendered(RENDERED, target, preprocessing, settings.seed)
