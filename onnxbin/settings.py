"""What a compression is asked to do, checked when it is stated, long before the first layer is touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxbin.binarize import MAX_BASES
from onnxbin.errors import OnnxbinError
from onnxbin.images.preprocess import Channels, Resize

FineTune = Callable[[Any, Any, Any], None]
"""A user's own training: called with the torch module, the training images and the step (a records.Step)."""

STEPS_PER_LAYER = 40
"""Fine-tuning steps after each layer; about half a minute each on a laptop for a 416x416 tiny detector."""


@dataclass(frozen=True)
class Settings:
    """How to compress a model. Raises OnnxbinError on a value that makes no sense.

    until_ratio: stop when the file is this many times smaller. max_drop: stop before the outputs' relative
    change on held-back images exceeds this (0 to 1). With neither, every candidate layer is binarized.
    images: a folder, a COCO json, a list or one image; None: images that onnxbin renders itself.
    profile, resize, channels, mean, std: the preprocessing, see onnxbin.images.choose.
    input_size: height and width, for models that leave them open.
    include, exclude: regular expressions on layer names, see onnxbin.layers.inventory.
    bases: binary tensors summed for each weight.
    finetune: True for distillation from the original, False for none (torch is not needed then), or a
    function.
    steps_per_layer, batch_size: the effort of fine-tuning. seed: of everything random.
    """

    until_ratio: float | None = None
    max_drop: float | None = None
    images: Path | str | None = None
    profile: str | None = None
    resize: Resize | None = None
    channels: Channels | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    input_size: tuple[int, int] | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    bases: int = 1
    finetune: bool | FineTune = field(default=True)
    steps_per_layer: int = STEPS_PER_LAYER
    batch_size: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.until_ratio is not None and not 1 < self.until_ratio < float("inf"):
            raise OnnxbinError(
                f"--until-ratio {self.until_ratio:g}: expected more than 1; 20 means a file of one twentieth"
            )
        if self.max_drop is not None and not 0 < self.max_drop <= 1:
            raise OnnxbinError(f"--max-drop {self.max_drop:g}: expected more than 0 and at most 1")
        if not 1 <= self.bases <= MAX_BASES:
            raise OnnxbinError(f"--bases {self.bases}: expected 1 to {MAX_BASES}")
        for name, least in (("steps_per_layer", 1), ("batch_size", 1), ("seed", 0)):
            if getattr(self, name) < least:
                option = "--" + name.replace("_", "-")
                raise OnnxbinError(f"{option} {getattr(self, name)}: expected at least {least}")
        for name in ("include", "exclude"):
            if isinstance(getattr(self, name), str):
                raise OnnxbinError(f"{name}={getattr(self, name)!r}: expected a list of patterns")
