"""What each layer of a network costs on some machine, for every width its input may have: a file of times.

Times are measured within whole networks (see `measure_costs`), so that the latency of a network whose layers
differ in width is a sum: of what its layers cost, and of the rest.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onnxbin import model as files
from onnxbin.benchmark.machine import Machine
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.typed import typed

Width = int | None
"""The bits of a binary layer's input; None where it stays real."""

WIDTHS: tuple[Width, ...] = (None, 8, 4, 2, 1)


def width_name(width: Width) -> str:
    """`real`, or how many bits, as the option --inputs has it."""
    return "real" if width is None else str(width)


FORMAT = 1
"""Of the file; raised when an older onnxbin could no longer read it rightly."""


@dataclass(frozen=True)
class LayerCost:
    """One layer, its activation included. Times are in milliseconds.

    conv: as a convolution of floats, in the original. binary: as an operator of ours, for the name of every
    width.
    """

    name: str
    conv: float
    binary: Mapping[str, float]

    def milliseconds(self, width: Width) -> float:
        """As an operator of ours, with its input in this width."""
        return self.binary[width_name(width)]


@dataclass(frozen=True)
class Costs:
    """All that was measured of one model on one machine. Times are in milliseconds.

    model: SHA-256 of the original's file. inputs: what it was run on, in words. original: a run of it.
    rest: of all nodes but the `layers`, where these are binary. networks: a run of the network with all of
    the layers in one width, to compare sums with.
    """

    model: str
    machine: Machine
    threads: int
    inputs: str
    original: float
    rest: float
    layers: tuple[LayerCost, ...]
    networks: Mapping[str, float]

    def latency(self, widths: Mapping[str, Width]) -> float:
        """The time of a run with these layers binary, each in its width, and all others as they were."""
        return self.rest + sum(
            layer.milliseconds(widths[layer.name]) if layer.name in widths else layer.conv
            for layer in self.layers
        )

    def covers(self, names: Iterable[str]) -> bool:
        """Whether these layers are among those that were measured."""
        return set(names) <= {layer.name for layer in self.layers}

    def of(self, names: Sequence[str]) -> list[LayerCost]:
        """These layers. Raises OnnxbinError where one was not measured."""
        known = {layer.name: layer for layer in self.layers}
        missing = [name for name in names if name not in known]
        if missing:
            raise OnnxbinError(
                f"layer {missing[0]!r}: is not among the {len(known)} whose costs were measured; "
                "measure them in this network: onnxbin profile ORIGINAL COMPRESSED -o costs.json"
            )
        return [known[name] for name in names]

    def to_json(self) -> str:
        """The content of a file, for `read_costs`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        files.write_atomically(path, self.to_json().encode())


def read_costs(path: str | os.PathLike[str]) -> Costs:
    """Read a file of costs, measured here or on another machine; OnnxbinError says what is wrong with it."""
    path = Path(path)
    if path.exists() and not path.is_file():  # a pipe or a device may have no end
        raise OnnxbinError(f"{path}: is not a regular file, expected a file of costs")
    try:
        return costs_from_json(json.loads(path.read_bytes()))
    except OSError as error:
        raise OnnxbinError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        said = f"{first_line(error)} is missing" if isinstance(error, KeyError) else first_line(error)
        raise OnnxbinError(
            f"{path}: is no file of costs: {said}; `onnxbin profile MODEL -o costs.json` makes one"
        ) from None


def costs_from_json(content: Any) -> Costs:
    """Costs from what `to_json` gave. Raises KeyError, TypeError or ValueError where it is something else."""
    if not isinstance(content, dict):
        raise TypeError("it holds no JSON object")
    if content["format"] != FORMAT:
        raise ValueError(f"it is of format {str(content['format'])[:40]}, expected {FORMAT}")
    fields = {name: value for name, value in content.items() if name != "format"}
    machine = typed(Machine, fields["machine"])
    if not isinstance(fields["layers"], list):
        raise TypeError("layers: expected a list")
    layers = [typed(LayerCost, layer) for layer in fields["layers"]]
    costs = typed(Costs, {**fields, "machine": machine, "layers": layers})
    if costs.threads < 1:
        raise ValueError(f"threads is {costs.threads}, expected at least 1")
    expected = [width_name(width) for width in WIDTHS]
    _check_time("original", costs.original, 1e-9)
    _check_time("rest", costs.rest, 1e-9)
    for what, times in [("networks", costs.networks), *((i.name, i.binary) for i in layers)]:
        if set(times) != set(expected):
            raise ValueError(f"{what}: has widths {', '.join(times)[:40]}; expected {', '.join(expected)}")
        for width, time in times.items():
            _check_time(f"{what}, {width}", time)
    for layer in layers:
        _check_time(f"{layer.name}, conv", layer.conv)
    if len({layer.name for layer in layers}) < len(layers):
        raise ValueError("a layer is there twice")
    return costs


MOST = 1e9
"""Milliseconds, eleven days; no layer takes longer."""


def _check_time(what: str, milliseconds: float, least: float = 0.0) -> None:
    if not (math.isfinite(milliseconds) and least <= milliseconds <= MOST):
        raise ValueError(f"{what}: {milliseconds} ms is no time that anything takes")
