"""What is compared: a table of named runs in a JSON file, each made into the settings of a compression.

All runs of a table go to the same file ratio with the same number of training steps. How many layers that
takes is known from the sizes of the layers, so that the steps can be shared out beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnxbin import OnnxbinError, Settings
from onnxbin.layers import ConvLayer
from onnxbin.model import Model
from onnxbin.plan import plan
from onnxbin.priority import deepest_first, largest_first


def forward(layers: Iterable[ConvLayer]) -> list[ConvLayer]:
    """The candidates from the input on: the order that the paper turns round."""
    return deepest_first(layers)[::-1]


ORDERS: dict[str, Callable[[Iterable[ConvLayer]], list[ConvLayer]]] = {
    "inverse depth": deepest_first,
    "forward": forward,
    "largest first": largest_first,
}
"""The fixed orders of layers that a table can name."""


@dataclass(frozen=True)
class NamedRun:
    """One line of the table.

    order: one of ORDERS; None for that of the settings' priority. layers: one of ORDERS, whose layers up to
    the ratio are taken, in the order of `order`; None for those of `order` itself. last_phase: the share of
    the training that comes when all layers are binary; the rest is shared out over their turns. settings:
    other fields of onnxbin.Settings; images null for rendered ones.
    """

    name: str
    order: str | None = None
    layers: str | None = None
    last_phase: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)

    def settings_for(self, model: Model, ratio: float, steps: int, images: Path) -> Settings:
        """The settings that take `model` to the ratio with so many training steps in all.

        The layers share the steps, the last phase has what is left over; what the run's own settings say of
        steps wins. With priority "damage", which chooses as it goes, the number of layers is an estimate.
        Raises OnnxbinError where the settings make no sense or the ratio is out of reach.
        """
        try:
            settings = Settings.from_json({"images": str(images), **self.settings, "until_ratio": ratio})
        except TypeError as error:
            raise OnnxbinError(f"run {self.name!r}: settings: {error}") from None
        planned = plan(model, settings)
        if self.layers is not None:
            planned = plan(model, replace(settings, order=_names(self.layers, planned.layers)))
            taken = planned.order[: planned.turns_until(ratio)]
        else:
            taken = planned.order
        if self.order is not None:
            settings = replace(settings, order=_names(self.order, taken))
            planned = plan(model, settings)
        if planned.largest_ratio < ratio:
            raise OnnxbinError(
                f"{model.path}: {ratio:g} times smaller is out of reach for {self.name!r}: with every "
                f"candidate layer binary it is {planned.largest_ratio:.2f}; give a smaller --ratio"
            )
        layers = planned.turns_until(ratio)
        each = int(steps * (1 - self.last_phase)) // layers
        own = {
            name: self.settings[name] for name in ("steps_per_layer", "last_steps") if name in self.settings
        }
        return replace(settings, **{"steps_per_layer": each, "last_steps": steps - layers * each, **own})


def _names(order: str, layers: Iterable[ConvLayer]) -> tuple[str, ...]:
    return tuple(layer.name for layer in ORDERS[order](layers))


def read_runs(path: Path) -> list[NamedRun]:
    """The runs of a table: {"settings": {...}, "runs": [{"name": ..., other fields of NamedRun}, ...]}.

    The settings of the table hold for all its runs; what a run says itself wins. Raises OnnxbinError where
    the file is something else.
    """
    try:
        content = json.loads(path.read_bytes())
        shared = content.get("settings", {})
        runs = [
            NamedRun(**{**entry, "settings": {**shared, **entry.get("settings", {})}})
            for entry in content["runs"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OnnxbinError(f"{path}: not a table of runs: {type(error).__name__}: {error}") from None
    names = [run.name for run in runs]
    if not runs or len(set(names)) < len(names):
        raise OnnxbinError(f"{path}: expected runs of different names, found {', '.join(names) or 'none'}")
    for order in (order for run in runs for order in (run.order, run.layers)):
        if order not in (None, *ORDERS):
            raise OnnxbinError(f"{path}: order {order!r}: expected one of {', '.join(ORDERS)}")
    return runs
