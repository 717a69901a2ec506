"""What a compression is asked to do, checked when it is stated, long before the first layer is touched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from onnxbin.binarize import MAX_BASES
from onnxbin.errors import OnnxbinError
from onnxbin.images.preprocess import Channels, Resize
from onnxbin.inputs.widths import GAMMA, Inputs
from onnxbin.typed import typed

FineTune = Callable[[Any, Any, Any], None]
"""A user's own training: called with the torch module, the training images and the step (a records.Step)."""

Priority = Literal["depth", "damage"]

Stored = Literal["float32", "float16", "int8"]

Rest = Literal[Stored, "static-int8"]

Device = Literal["auto", "cpu", "cuda"]

STEPS_PER_LAYER = 20
"""Fine-tuning steps after each layer: so many that the next one is chosen on a network that has recovered."""

LAST_STEPS = 400
"""Of the last phase; five minutes on a laptop for a 416x416 tiny detector."""


@dataclass(frozen=True)
class Settings:
    """How to compress a model. Raises OnnxbinError on a value that makes no sense.

    until_ratio: stop when the file is this many times smaller. max_drop: what may be lost at most (0 to 1):
    of the boxes, where the model is a detector that onnxbin knows (see onnxbin.measures), else of the
    outputs (see agreement). With neither, every candidate layer is binarized.
    images: a folder, a COCO json, a list or one image; None: images that onnxbin renders itself.
    profile, resize, channels, mean, std: the preprocessing, see onnxbin.images.choose.
    input_size: height and width, for models that leave them open.
    include, exclude: regular expressions on layer names, see onnxbin.layers.inventory.
    priority: which layer goes next, see onnxbin.priority. order: the names of the layers to binarize, first
    to last, instead of all that can be in the order of priority.
    bases: binary tensors summed for each weight; None: one, or two where priority "damage" finds that to pay.
    rest: how the weights that stay real are stored, see
    onnxbin.rest; with "static-int8" their layers compute in int8, too, see onnxbin.int8_rest.
    inputs: how binary layers see their inputs after the last phase. gamma: of the hybrid choice, see
    onnxbin.inputs.hybrid. speedup: of the automatic one, how many times as fast as the original the network
    shall be, by the sum of measured times; without it, as fast as `max_drop` lets it be. costs: a file of
    such times, see onnxbin.benchmark.costs; without it, they are measured on this machine.
    finetune: True for distillation from the original, False for none (torch is not needed then), a function
    of your own, or its name as "module:function".
    steps_per_layer: of fine-tuning, after each layer. last_steps: of the last phase, when no further layer is
    to become binary. budget: seconds that the run may take, instead of a number of steps. batch_size: images
    a step, over all processes. device: to train on.
    seed: of everything random.
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
    priority: Priority = "damage"
    order: tuple[str, ...] | None = None
    bases: int | None = None
    rest: Rest = "int8"
    inputs: Inputs = "8"
    gamma: float = GAMMA
    speedup: float | None = None
    costs: Path | str | None = None
    finetune: bool | str | FineTune = True
    steps_per_layer: int = STEPS_PER_LAYER
    last_steps: int = LAST_STEPS
    budget: float | None = None
    batch_size: int = 4
    device: Device = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.until_ratio is not None and not 1 < self.until_ratio < float("inf"):
            raise OnnxbinError(
                f"--until-ratio {self.until_ratio:g}: expected more than 1; 20 means a file of one twentieth"
            )
        if self.max_drop is not None and not 0 < self.max_drop <= 1:
            raise OnnxbinError(f"--max-drop {self.max_drop:g}: expected more than 0 and at most 1")
        if self.budget is not None and not 0 < self.budget < float("inf"):
            raise OnnxbinError(f"--budget {self.budget:g}: expected a time, such as 20m")
        if self.budget is not None and self.finetune is not True:
            raise OnnxbinError("--budget: is shared out over the built-in fine-tuning; leave it away")
        if self.budget is not None and (self.steps_per_layer, self.last_steps) != (
            STEPS_PER_LAYER,
            LAST_STEPS,
        ):
            raise OnnxbinError(
                "--budget: decides how many steps there are; give no --steps-per-layer, --last-steps"
            )
        if self.bases is not None and not 1 <= self.bases <= MAX_BASES:
            raise OnnxbinError(f"--bases {self.bases}: expected 1 to {MAX_BASES}")
        for name, choices in (("priority", Priority), ("rest", Rest), ("inputs", Inputs), ("device", Device)):
            if getattr(self, name) not in get_args(choices):
                expected = ", ".join(get_args(choices))
                raise OnnxbinError(f"--{name} {getattr(self, name)!r}: expected one of {expected}")
        if not 0 <= self.gamma < float("inf"):
            raise OnnxbinError(f"--gamma {self.gamma:g}: expected a number from 0 on")
        if self.gamma != GAMMA and self.inputs != "hybrid":
            raise OnnxbinError(f"--gamma {self.gamma:g}: goes with --inputs hybrid, not {self.inputs}")
        self._check_auto()
        for name, least in (("steps_per_layer", 0), ("last_steps", 0), ("batch_size", 1), ("seed", 0)):
            if getattr(self, name) < least:
                option = "--" + name.replace("_", "-")
                raise OnnxbinError(f"{option} {getattr(self, name)}: expected at least {least}")
        for name in ("include", "exclude", "order"):
            if isinstance(getattr(self, name), str):
                raise OnnxbinError(f"{name}={getattr(self, name)!r}: expected a list of names")

    @property
    def fewest_bases(self) -> int:
        """Of each weight."""
        return self.bases or 1

    def _check_auto(self) -> None:
        if self.speedup is not None and not 0 < self.speedup < float("inf"):
            raise OnnxbinError(
                f"--speedup {self.speedup:g}: expected more than 0; 2 means in half of the original's time"
            )
        if self.inputs == "auto":
            if self.speedup is None and self.max_drop is None:
                raise OnnxbinError("--inputs auto: give a goal, --speedup (2: twice as fast) or --max-drop")
        elif self.speedup is not None or self.costs is not None:
            option = "--costs" if self.speedup is None else "--speedup"
            raise OnnxbinError(f"{option}: is for --inputs auto, which chooses a width for each layer")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values, for `from_json`; paths become absolute, functions names."""
        content = dataclasses.asdict(self)
        for name in ("images", "costs"):
            if content[name] is not None:
                content[name] = str(Path(content[name]).resolve())
        if callable(self.finetune):
            content["finetune"] = f"{self.finetune.__module__}:{self.finetune.__qualname__}"
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Settings:
        """Settings from what `to_json` gave. Raises TypeError where it is something else."""
        return typed(cls, content)
