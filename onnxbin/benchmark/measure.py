"""All measurements of some models, side by side."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onnxbin import model as files
from onnxbin.benchmark.contender import Contender, Feed, is_compressed
from onnxbin.benchmark.inputs import FEEDS, Inputs, inputs
from onnxbin.benchmark.latency import Timing, alternate, clock, processor_time
from onnxbin.benchmark.layers import Profile, profile
from onnxbin.benchmark.machine import LoadOfOthers, Machine, physical_cores
from onnxbin.benchmark.memory import peak_memory
from onnxbin.errors import OnnxbinError
from onnxbin.images import Choice, choose
from onnxbin.model import Model
from onnxbin.prepare import prepare

Progress = Callable[[str], None]
"""Is told, in a few words, what is being measured."""


@dataclass(frozen=True)
class Measurement:
    """One contender's figures.

    name: the path of its file, and behind a comma what distinguishes it from others of that file.
    runtime: "onnxbin" where it ran on our operator library, else "stock". file_bytes: its size.
    load: creating a session. peak_memory: bytes that a session adds to a process, None if not known.
    latency, profiles: by number of threads; no profiles unless asked for.
    """

    name: str
    runtime: str
    file_bytes: int
    load: Timing
    peak_memory: int | None
    latency: dict[int, Timing]
    profiles: dict[int, Profile]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: lists instead of numbers as keys."""
        return {
            "name": self.name,
            "runtime": self.runtime,
            "file_bytes": self.file_bytes,
            "load": self.load.as_dict(),
            "peak_memory": self.peak_memory,
            "latency": [
                {"threads": n, "processor_time": processor_time(n), **timing.as_dict()}
                for n, timing in self.latency.items()
            ],
            "profiles": [{"threads": n, **profile.as_dict()} for n, profile in self.profiles.items()],
        }


@dataclass(frozen=True)
class Benchmark:
    """measurements: the models' in the order given, the int8 version second.

    inputs: what they were run on, in words. others: cores that other programs kept busy meanwhile, on
    average, None if not known. warnings: what the user should know.
    """

    machine: Machine
    inputs: str
    others: float | None
    measurements: tuple[Measurement, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """All of it on one line, every single time included; times in milliseconds."""
        content = {
            "machine": asdict(self.machine),
            "inputs": self.inputs,
            "cores_used_by_others": self.others,
            "warnings": self.warnings,
            "measurements": [measurement.as_dict() for measurement in self.measurements],
        }
        return json.dumps(content)


def measure(
    models: Sequence[str | os.PathLike[str]],
    *,
    threads: Sequence[int] | None = None,
    runs: int | None = None,
    images: str | os.PathLike[str] | None = None,
    int8: bool = False,
    stock: bool = False,
    layers: bool = False,
    input_size: tuple[int, int] | None = None,
    progress: Progress | None = None,
    **preprocessing: Any,
) -> Benchmark:
    """Run models in ONNX Runtime in turns and measure them; the first is what the others are compared with.

    threads: numbers of threads to time with; by default one, and all cores. runs: timed runs of each; by
    default as many as `latency` allows. images: what to feed, see onnxbin.images.find_images; by default
    rendered. int8: also the first model quantized to 8 bits by ONNX Runtime, see static_int8. stock: also
    compressed models without our operator library. layers: also where the time goes, see `layers`.
    input_size: height and width, where the models leave them open. preprocessing: see onnxbin.images.choose.
    Raises OnnxbinError where a model cannot be run or a number makes no sense.

    >>> benchmark = measure(["model.onnx", "model.binary.onnx"], threads=[1])
    >>> [m.latency[1].median for m in benchmark.measurements]
    """
    numbers = sorted(set(threads or {1, physical_cores()}))
    if not models:
        raise OnnxbinError("no model to measure")
    if numbers[0] < 1:
        raise OnnxbinError(f"--threads {numbers[0]}: expected at least 1")
    if runs is not None and runs < 1:
        raise OnnxbinError(f"--runs {runs}: expected at least 1")
    tell = progress or (lambda _: None)
    tell("reading")
    entrants = [
        _entrant(Path(path), None if images is None else Path(images), input_size, preprocessing)
        for path in models
    ]
    first = entrants[0]
    with tempfile.TemporaryDirectory() as folder:
        contenders = [contender for entrant in entrants for contender in entrant.contenders(stock)]
        if int8:
            tell("quantizing to int8")
            contenders.insert(1, first.int8(Path(folder)))
        measurements, others = _measured(contenders, numbers, runs, layers, tell)
    warnings = [first.choice.warning] if int8 and first.choice.warning else []
    return Benchmark(Machine.here(), first.description, others, measurements, tuple(warnings))


@dataclass(frozen=True, eq=False)
class _Entrant:
    """A model and what it is fed."""

    model: Model
    choice: Choice
    inputs: Inputs
    feeds: list[Feed]

    @property
    def description(self) -> str:
        return f"{len(self.feeds)} {self.inputs.description}"

    def contenders(self, stock: bool) -> list[Contender]:
        """The model; if it is compressed and `stock`, also without our library."""
        path, proto, size = self.model.path, self.model.proto, self.model.file_bytes
        compressed = is_compressed(proto)
        found = [Contender(str(path), path, proto, size, compressed, self.feeds)]
        if compressed and stock:
            found.append(Contender(f"{path}, stock runtime", path, proto, size, False, self.feeds))
        return found

    def int8(self, folder: Path) -> Contender:
        """Its int8 version; that one's file goes into `folder`."""
        # Here, not above: the quantizer takes a while to import.
        from onnxbin.static_int8 import CALIBRATION, with_static_int8

        name = self.model.path
        if is_compressed(self.model.proto):
            raise OnnxbinError(f"{name}: is compressed; --int8 needs the original, named first")
        if self.inputs.images is None:
            raise OnnxbinError(f"{name}: --int8 calibrates on images, but it takes none")
        path = folder / "int8.onnx"
        # Batch norms folded, opset 13: what weights per channel need.
        made = with_static_int8(prepare(self.model.proto), self.inputs.feeds(CALIBRATION))
        return Contender(f"{name}, int8", path, made, files.save(made, path), False, self.feeds)


def _entrant(
    path: Path, images: Path | None, size: tuple[int, int] | None, preprocessing: dict[str, Any]
) -> _Entrant:
    model = files.load(path)
    choice = choose(model.proto, **preprocessing)
    given = inputs(model, choice, images, size)
    return _Entrant(model, choice, given, list(given.feeds(FEEDS)))


def _measured(
    contenders: Sequence[Contender], threads: Sequence[int], runs: int | None, layers: bool, tell: Progress
) -> tuple[tuple[Measurement, ...], float | None]:
    """The measurements, and the cores that other programs used meanwhile."""
    latency: dict[int, list[Timing]] = {}
    profiles: dict[int, list[Profile]] = {}
    with LoadOfOthers() as load_of_others:
        tell("loading")
        openings = [lambda _, entry=entry: entry.session(threads[0]) for entry in contenders]
        loads = alternate(openings, runs, clock(threads[0]))
        for number in threads:
            plural = "thread" if number == 1 else "threads"
            tell(f"timing, {number} {plural}")
            latency[number] = alternate(
                [functools.partial(entry.run, entry.session(number)) for entry in contenders],
                runs,
                clock(number),
            )
            if layers:
                tell(f"timing layers, {number} {plural}")
                profiles[number] = profile(contenders, number, runs)
    tell("measuring memory")
    measurements = tuple(
        Measurement(
            name=entry.name,
            runtime="onnxbin" if entry.kernels else "stock",
            file_bytes=entry.file_bytes,
            load=loads[position],
            peak_memory=peak_memory(entry, threads[0]),
            latency={number: latency[number][position] for number in threads},
            profiles={number: profiles[number][position] for number in profiles},
        )
        for position, entry in enumerate(contenders)
    )
    return measurements, load_of_others.cores
