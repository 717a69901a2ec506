"""The run folder: what a compression was asked to do, and every step of it, made to last.

    run.json        what was asked of the run, and with what it runs
    curve.json      the trade-off curve: a record for each finished step; the result at the end
    steps/07.onnx   the whole model after step 7
    finished.npz    the state of training after the last finished turn of a layer
    turn.npz        the state within the turn that is under way
    last.npz        that the last phase is over, and its record
    costs.json      with --inputs auto: what layers cost, see onnxbin.benchmark.costs
    widths.json     and what was chosen for them, see onnxbin.inputs.auto

Every file is replaced atomically. `finished.npz` is what counts: it holds the records too, and is written
last, so that a run that stopped anywhere goes on from the last whole turn, or from within the next. The last
phase leaves it as it is: from there a run goes on to another goal, or to a last phase with other inputs.
Arrays and JSON only: reading a folder runs no code from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock
from onnx import ModelProto

from onnxbin import model as files
from onnxbin.benchmark.costs import Costs, read_costs
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.inputs.auto import WidthChoice
from onnxbin.inputs.widths import Widths
from onnxbin.records import Record, without_infinities
from onnxbin.state_file import Arrays, read_state, write_state
from onnxbin.typed import typed
from onnxbin.version import __version__

FORMAT = 2
"""Of the folder; raised when an older onnxbin could no longer read it rightly."""

_STATES = ("finished.npz", "turn.npz", "last.npz")
_OF_AUTO = ("costs.json", "widths.json")
_PACKAGES = ("numpy", "onnx", "onnxruntime", "torch", "lightning-fabric")


@dataclass(frozen=True)
class Turn:
    """A turn that is under way: see records.Step.

    layer: None in the last phase; inputs: the widths that it gives. before: agreement before its training.
    began: the run's seconds when it began.
    """

    layer: str | None
    bases: int
    inputs: Widths
    training_steps: int
    before: float | None
    began: float


@dataclass(frozen=True)
class End:
    """Why no further layer becomes binary, and whether that is what was asked for."""

    reason: str
    reached: bool


@dataclass(frozen=True)
class Progress:
    """How far a run is, beside the values of weights.

    records: the finished steps that were kept. model: SHA-256 of the file of the last of them. tried: the
    layers whose last turn was undone, with the bases they had. waiting: the state of the queue. seconds: that
    the run has taken. turn: the one under way. end: of the layers' turns, once the last phase has begun.
    over: whether that has ended, too.
    """

    records: tuple[Record, ...] = ()
    model: str = ""
    tried: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    turn: Turn | None = None
    end: End | None = None
    over: bool = False

    def follows(self, finished: Progress) -> bool:
        """Whether the turn under way, or the last phase, is the one after what is finished."""
        layers = tuple(record for record in self.records if record.layer is not None)
        return layers == finished.records and dict(self.tried) == dict(finished.tried)


class RunFolder:
    """A run folder on the disk. Held by one process at a time, from `begin` or `take_up` to `end`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = filelock.FileLock(path / "lock")

    def begin(self, description: Mapping[str, Any]) -> None:
        """Make the folder for a new run, and hold it: where there is none, or in place of a finished run.

        description: JSON values, see `describe`. Raises OnnxbinError where the folder holds something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OnnxbinError(f"{self.path}: is a file, expected a folder for the run; give another --run")
        with files.naming_write_errors(self.path):
            (self.path / "steps").mkdir(parents=True, exist_ok=True)
        self.hold()
        try:
            self._make_room()
            self._write_json("run.json", {"format": FORMAT, **description})
        except BaseException:
            self.release()
            raise

    def take_up(self, description: Mapping[str, Any]) -> None:
        """Hold the folder of an earlier run, to go on with it; description: with its present goal."""
        self.hold()
        self._write_json("run.json", {"format": FORMAT, **description})
        self.write_curve(tuple(self.records()))

    def end(self) -> None:
        """Let other processes have the folder; one in which nothing was reached is removed."""
        if not (self._has_state() or self.curve.get("result")):
            for path in (
                *self._steps(),
                *(self.path / name for name in (*_OF_AUTO, "curve.json", "run.json", "lock")),
            ):
                path.unlink(missing_ok=True)
            for folder in (self.path / "steps", self.path):
                with contextlib.suppress(OSError):  # somebody else has put something there
                    folder.rmdir()
        self.release()

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run. Raises OnnxbinError where there is none, or it is damaged."""
        folder = cls(path)
        if not (path / "run.json").is_file():
            what = "is not a run folder: it has no run.json" if path.exists() else "no such folder"
            raise OnnxbinError(f"{path}: {what}; `onnxbin compress` makes one beside the file it writes")
        found = folder.description.get("format")
        if found != FORMAT:
            raise OnnxbinError(
                f"{path}: is of format {found}, this is onnxbin {__version__}, which reads format {FORMAT}"
            )
        return folder

    def hold(self) -> None:
        """Keep other processes from running in this folder, until this one ends."""
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise OnnxbinError(f"{self.path}: another run is going on in this folder") from None
        except OSError as error:
            raise OnnxbinError(f"{self.path}: cannot be written: {error.strerror or error}") from None

    def release(self) -> None:
        """Let other processes have it."""
        self._lock.release()

    @property
    def description(self) -> dict[str, Any]:
        """What `begin` was given."""
        return self._read_json("run.json")

    @property
    def curve(self) -> dict[str, Any]:
        """The content of curve.json: "steps", a list of records, and "result", null until the end."""
        return self._read_json("curve.json")

    def records(self) -> list[Record]:
        """The finished steps."""
        try:
            return [_record(entry) for entry in self.curve["steps"]]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self.damaged("curve.json", error) from None

    def model_path(self, step: int) -> Path:
        """The model after a step, from 1 on. Raises OnnxbinError where there is no such step."""
        count = len(self.records())
        path = self.path / "steps" / f"{step:02}.onnx"
        if not 1 <= step <= count:
            there = f"there are 1 to {count}" if count else "none is finished yet"
            raise OnnxbinError(f"{self.path}: has no step {step}; {there}")
        if not path.is_file():
            raise OnnxbinError(f"{self.path}: is damaged: steps/{path.name} is missing")
        return path

    def write_step(self, number: int, model: ModelProto) -> str:
        """Keep the model after a step; the file's SHA-256."""
        path = self.path / "steps" / f"{number:02}.onnx"
        files.save(model, path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def read_step(self, progress: Progress) -> ModelProto:
        """The model after the last finished step. Raises OnnxbinError where it is not as it was written."""
        path = self.path / "steps" / f"{len(progress.records):02}.onnx"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise OnnxbinError(f"{self.path}: is damaged: steps/{path.name} is missing") from None
        if hashlib.sha256(content).hexdigest() != progress.model:
            raise OnnxbinError(f"{self.path}: is damaged: steps/{path.name} is not as it was written")
        model = ModelProto()
        model.ParseFromString(content)
        return model

    def write_curve(self, records: tuple[Record, ...], result: Mapping[str, Any] | None = None) -> None:
        """Keep the records of the finished steps, and in the end the result."""
        steps = [{"number": number, **asdict(record)} for number, record in enumerate(records, 1)]
        self._write_json(
            "curve.json", without_infinities({"format": FORMAT, "steps": steps, "result": result})
        )

    def write_finished(self, progress: Progress, state: Arrays) -> None:
        """Keep the state after a layer's turn."""
        self._write_state("finished.npz", progress, state)
        self.forget_last_phase()

    def write_turn(self, progress: Progress, state: Arrays) -> None:
        """Keep the state within a turn."""
        self._write_state("turn.npz", progress, state)

    def write_last(self, progress: Progress) -> None:
        """Keep that the last phase is over."""
        self._write_state("last.npz", progress, {})
        (self.path / "turn.npz").unlink(missing_ok=True)

    def forget_last_phase(self) -> None:
        """Drop it, and any turn that is under way."""
        for name in ("last.npz", "turn.npz", "widths.json"):
            (self.path / name).unlink(missing_ok=True)

    def write_costs(self, costs: Costs) -> None:
        """Keep what layers cost, so that the run comes to the same choice when it is resumed."""
        costs.write(self.path / "costs.json")

    def read_costs(self) -> Costs | None:
        """What was kept; None where nothing was."""
        path = self.path / "costs.json"
        return read_costs(path) if path.exists() else None

    def write_widths(self, choice: WidthChoice) -> None:
        """Keep what was chosen, and why."""
        files.write_atomically(self.path / "widths.json", choice.to_json().encode())

    def read_finished(self) -> tuple[Progress, Arrays] | None:
        """The state after the last finished turn of a layer; None before the first."""
        return self._read_state("finished.npz")

    def read_turn(self) -> tuple[Progress, Arrays] | None:
        """The state within the turn that was under way; None where none was."""
        return self._read_state("turn.npz")

    def read_last(self) -> tuple[Progress, Arrays] | None:
        """How far the run is after the last phase; None before its end."""
        return self._read_state("last.npz")

    def _make_room(self) -> None:
        """Empty the folder of a finished run, or of one that has saved nothing."""
        known = {"run.json", "curve.json", *_STATES, *_OF_AUTO, "lock", "steps", "report"}
        strange = [p.name for p in self.path.iterdir() if p.name not in known and p.suffix != ".part"]
        if strange:
            raise OnnxbinError(
                f"{self.path}: holds something else than a run ({min(strange)}); name another folder by --run"
            )
        if self._has_state() and (self.path / "run.json").exists() and not self.curve.get("result"):
            raise OnnxbinError(
                f"{self.path}: holds an unfinished run of {len(self.records())} steps: go on with "
                f"`onnxbin compress --resume {self.path}`, delete it, or name another folder by --run"
            )
        # The curve first: should this be stopped half-way, it names no step that is gone.
        self.write_curve(())
        for path in (*(self.path / name for name in (*_STATES, *_OF_AUTO)), *self._steps()):
            path.unlink(missing_ok=True)

    def _has_state(self) -> bool:
        return any((self.path / name).exists() for name in _STATES)

    def _steps(self) -> list[Path]:
        """The files of steps, and what a killed process may have left of files that it was writing."""
        return [*self.path.glob("steps/*.onnx"), *self.path.glob("**/.*.part")]

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        files.write_atomically(self.path / name, json.dumps(content, indent=2).encode())

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.path / name).read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise self.damaged(name, error) from None
        if not isinstance(content, dict):
            raise self.damaged(name, ValueError("holds no JSON object"))
        return content

    def _write_state(self, name: str, progress: Progress, state: Arrays) -> None:
        write_state(self.path / name, asdict(progress), state)

    def _read_state(self, name: str) -> tuple[Progress, Arrays] | None:
        path = self.path / name
        if not path.exists():
            return None
        try:
            progress, state = read_state(path)
            return _progress(progress), state
        except Exception as error:  # of damaged archives and arrays, zipfile and NumPy raise many kinds
            raise self.damaged(name, error) from None

    def damaged(self, name: str, why: Exception) -> OnnxbinError:
        """An error that names a file of the folder, and what is wrong with it."""
        return OnnxbinError(f"{self.path}: is damaged: {name}: {first_line(why)}")


def describe(
    model: files.Model, output: Path, settings: Mapping[str, Any], images: Mapping[str, Any]
) -> dict[str, Any]:
    """What run.json says: the model, the output, the settings, the images, and what the run is made with."""
    return {
        "onnxbin": __version__,
        "model": {
            "path": str(model.path.resolve()),
            "bytes": model.file_bytes,
            "sha256": model.sha256,
        },
        "output": str(output),
        "settings": dict(settings),
        "images": dict(images),
        "versions": {"python": platform.python_version(), **_versions()},
        "platform": platform.platform(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def changed_versions(description: Mapping[str, Any]) -> str:
    """The packages that a run was begun with in another version than is here now, as text; mostly none."""
    begun, here = description.get("versions"), _versions()
    if not isinstance(begun, Mapping):
        return ""
    return ", ".join(
        f"{package} {begun[package]!s} (now {version})"
        for package, version in here.items()
        if package in begun and begun[package] != version
    )


def digest_of(paths: list[Path]) -> str:
    """A hash of files' names and bytes, to tell whether the images of a run are still the same."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _record(content: Mapping[str, Any]) -> Record:
    record = typed(Record, {name: value for name, value in content.items() if name != "number"})
    numbers = (record.ratio, record.share, record.difference, record.seconds)
    sizes = (record.bases, *record.shape)
    sized = sizes == (0,) if record.layer is None else min(sizes) > 0 and len(sizes) == 5
    if not (all(map(math.isfinite, numbers)) and record.ratio > 0 and sized):
        raise ValueError(f"step of {record.layer!r}: has numbers that no step can have")
    return record


def _progress(content: Mapping[str, Any]) -> Progress:
    turn, end = content["turn"], content["end"]
    records = [_record(entry) for entry in content["records"]]
    return typed(
        Progress,
        {
            **content,
            "records": records,
            "turn": typed(Turn, turn) if turn is not None else None,
            "end": typed(End, end) if end is not None else None,
        },
    )
