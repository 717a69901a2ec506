"""A compression, from the model's file to the file that is written: all that is around the loop.

What can be at fault is found before the first layer is touched; what has been reached is written whatever
ends the run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxbin import model as files
from onnxbin.benchmark.contender import Feed
from onnxbin.benchmark.costs import Costs, read_costs
from onnxbin.benchmark.inputs import FEEDS
from onnxbin.benchmark.measure_costs import measure_costs
from onnxbin.errors import OnnxbinError, Stopped
from onnxbin.inputs.network import BinaryNetwork
from onnxbin.inputs.widths import GAMMA, Inputs
from onnxbin.large import MESSAGE, byte_size
from onnxbin.loop import Loop
from onnxbin.measures import Measured, Measures
from onnxbin.plan import Plan, plan
from onnxbin.processes import Alone, Processes, in_first, training_engine
from onnxbin.records import Listener, Result
from onnxbin.rest import with_rest_restored
from onnxbin.run_folder import RunFolder, changed_versions, describe
from onnxbin.run_images import RunImages
from onnxbin.settings import FineTune, Rest, Settings
from onnxbin.sources import fetch, output_file
from onnxbin.trainer import Trainer, Untrained
from onnxbin.user_function import user_function


def compress(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    run: str | os.PathLike[str] | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> Result:
    """Compress an ONNX model layer by layer and write the result.

    model: the ONNX file, or a name of one, see onnxbin.sources. output: where to write; `model.binary.onnx`
    beside `model.onnx` by default.
    run: the run folder, see onnxbin.run_folder; `model.binary.run` beside the output by default.
    settings: the fields of `onnxbin.settings.Settings`, such as until_ratio=20, images="photos/".
    Ctrl-C ends the run with what has been reached so far. Raises OnnxbinError where the input is at fault.

    >>> result = onnxbin.compress("model.onnx", until_ratio=20, images="photos/")
    >>> result.ratio, result.agreement, result.reached
    """
    wanted = Settings(**settings)
    original = files.load(fetch(model))
    target = output_file(Path(output) if output is not None else None, original, ".binary.onnx")
    job = _Job(original, wanted, listener or Listener())
    description = describe(original, target, wanted.to_json(), job.images.description())
    folder = RunFolder(Path(run) if run is not None else target.with_suffix(".run"))
    costs = _costs(wanted, original, [layer.name for layer in job.plan.order])
    in_first(job.processes, lambda: folder.begin(description))
    if costs is not None:
        in_first(job.processes, lambda: folder.write_costs(costs))
    return job.run(folder, target)


def resume(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    until_ratio: float | None = None,
    max_drop: float | None = None,
    inputs: Inputs | None = None,
    gamma: float | None = None,
    speedup: float | None = None,
    costs: str | os.PathLike[str] | None = None,
    last_steps: int | None = None,
    rest: Rest | None = None,
    finetune: str | FineTune | None = None,
    listener: Listener | None = None,
) -> Result:
    """Go on with a run that was stopped, with the same result as if it had not been.

    run: its folder. output: where to write, from now on; where the run was to write by default.
    until_ratio, max_drop: another goal, to go further or to be content with less. inputs, gamma, speedup,
    costs, last_steps: another last phase. With any of these, a run that has had its last phase goes on from
    before it. rest: how the layers that stay real compute in what is written, "int8" (in floats) or
    "static-int8", of a run that was begun with one of the two.
    finetune: your function again, or its name, where the run is fine-tuned by one: no folder says which code
    is run.
    Raises OnnxbinError where the folder is damaged, or the model or the images are not those of the run.
    """
    folder = RunFolder.open(Path(run))
    description = folder.description
    try:
        wanted = Settings.from_json(description["settings"])
        source = Path(description["model"]["path"])
        target = Path(output if output is not None else description["output"])
        sha256, images = description["model"]["sha256"], description["images"]
    except (KeyError, TypeError) as error:
        raise OnnxbinError(f"{folder.path}: is damaged: run.json: {error}") from None
    if isinstance(wanted.finetune, str) and finetune is None:
        raise OnnxbinError(
            f"{folder.path}: is fine-tuned by {wanted.finetune}; a run folder alone starts no code: "
            "name the function again by --finetune"
        )
    _check_goal(folder, until_ratio, max_drop)
    if rest not in (None, wanted.rest) and not {rest, wanted.rest} <= {"int8", "static-int8"}:
        raise OnnxbinError(
            f"--rest {rest}: {folder.path} was begun with --rest {wanted.rest}, and its steps are stored so; "
            "only int8 and static-int8 can take each other's place"
        )
    goal: dict[str, Any] = {
        "until_ratio": until_ratio,
        "max_drop": max_drop,
        "inputs": inputs,
        "gamma": gamma if gamma is not None or inputs is None else GAMMA,
        "speedup": speedup,
        "costs": costs,
        "last_steps": last_steps,
    }
    goal = {name: value for name, value in goal.items() if value is not None}
    looser = max_drop is not None and max_drop > (wanted.max_drop or 1.0)
    if inputs not in (None, "auto"):
        goal = {"speedup": None, "costs": None, **goal}  # the earlier ones were for other inputs
    wanted = replace(wanted, **goal, finetune=finetune if finetune is not None else wanted.finetune)
    wanted = replace(wanted, rest=rest if rest is not None else wanted.rest)
    if not source.is_file():
        raise OnnxbinError(f"{source}: is gone; {folder.path} was begun with it: bring it back there")
    original = files.load(source)
    if original.sha256 != sha256:
        raise OnnxbinError(f"{source}: is not the model that {folder.path} was begun with: its bytes differ")
    target = output_file(target, original, ".binary.onnx")
    job = _Job(original, wanted, listener or Listener())
    job.images.check(images, folder.path)
    found = None
    if costs is not None:
        layers = [record.layer for record in folder.records() if record.layer is not None]
        found = _costs(wanted, original, layers)
    description |= {"settings": wanted.to_json(), "output": str(target)}
    if changed := changed_versions(description):
        job.warn(f"the run was begun with {changed}: its bits may differ from those of a run of one version")
    in_first(job.processes, lambda: folder.take_up(description))
    if found is not None:
        in_first(job.processes, lambda: folder.write_costs(found))
    return job.run(folder, target, resumed=True, another_goal=bool(goal), looser=looser)


class _Job:
    """Everything that a run works with, checked."""

    def __init__(self, original: files.Model, settings: Settings, listener: Listener) -> None:
        self._started = time.monotonic()
        self._settings = settings
        self._listener = listener
        self.warnings: list[str] = []
        self._function = _user_function(settings)
        self.plan = plan(original, settings)
        listener.planned(self.plan)
        _check(self.plan, settings, self.warn)
        self.images = RunImages(self.plan, settings, self.warn)
        self.processes, self._make_trainer = self._training()
        self._measures = Measures(self.plan, self.images.held_back, self.processes)

    def run(
        self,
        folder: RunFolder,
        target: Path,
        *,
        resumed: bool = False,
        another_goal: bool = False,
        looser: bool = False,
    ) -> Result:
        """Run the loop in a folder that is held, and write what it has reached.

        another_goal, looser: see Loop.restore.
        """
        try:
            loop = Loop(
                self.plan,
                self._settings,
                self._measures,
                self.images.training,
                self._measure_costs,
                self._make_trainer,
                folder,
                self.processes,
                self._listener,
                self._started,
            )
            if resumed:
                loop.restore(another_goal, looser)
            reason, reached = loop.run()
            return self._write(loop, folder, target, reason, reached)
        except KeyboardInterrupt:
            raise Stopped(folder.path) from None
        finally:
            if self.processes.rank == 0:
                folder.end()

    def _write(self, loop: Loop, folder: RunFolder, target: Path, reason: str, reached: bool) -> Result:
        """Write the last kept model, be it the original with no layer binary."""
        records = loop.records
        model = loop.model
        if records and records[-1].after is not None:
            measured = Measured(records[-1].after, records[-1].boxes)
        else:
            measured = self._measures.of(model)
        int8 = False
        if self._settings.rest == "static-int8" and records and not loop.stopped:
            int8, model, measured = self._with_int8_rest(model, measured)
        size = byte_size(model)
        if self.processes.rank == 0:
            size = files.save(model, target)
        result = Result(
            path=target,
            run=folder.path,
            ratio=self.plan.original.file_bytes / size,
            agreement=measured.agreement,
            boxes=measured.boxes,
            int8=int8,
            reached=reached,
            reason=reason,
            steps=records,
            original_bytes=self.plan.original.file_bytes,
            bytes=size,
            preprocessing=self.plan.preprocessing,
            warnings=tuple(self.warnings),
            seconds=loop.seconds,
        )
        if self.processes.rank == 0 and not loop.stopped:
            content = asdict(result)
            del content["steps"]
            folder.write_curve(records, {**content, "path": str(result.path), "run": str(result.run)})
        return result

    def _measure_costs(self, network: BinaryNetwork) -> Costs:
        """What its binary layers cost on this machine on one thread, beside a rest as it will be."""
        feeds, model = self._feeds(FEEDS), network.model
        if self._settings.rest == "static-int8":
            model = self._faster_rest(model) or model
        return measure_costs(self.plan.original, model, feeds, f"{len(feeds)} of the run's images")

    def _with_int8_rest(self, model: ModelProto, before: Measured) -> tuple[bool, ModelProto, Measured]:
        """Whether the layers that stay real compute in int8, the model then, and what is measured of it."""
        from onnxbin.int8_rest import LARGEST_LOSS

        goal, most = self._settings.until_ratio, self._settings.max_drop
        found = in_first(self.processes, lambda: self._faster_rest(model))
        if found is None:
            return False, model, before
        size = byte_size(found)
        if goal is not None and size * goal > self.plan.original.file_bytes >= byte_size(model) * goal:
            return False, model, before
        measured = self._measures.of(found)
        if before.kept - measured.kept > LARGEST_LOSS or (most is not None and 1 - measured.kept > most):
            return False, model, before
        return True, found, measured

    def _faster_rest(self, model: ModelProto) -> ModelProto | None:
        """The model whose layers that stay real compute in int8; None where that is no faster."""
        # Here, not above: ONNX Runtime's quantizer takes a while to import.
        from onnxbin.int8_rest import is_faster, with_int8_rest
        from onnxbin.static_int8 import CALIBRATION

        self._listener.making_int8()
        plain, feeds = with_rest_restored(model), self._feeds(CALIBRATION)
        found = with_int8_rest(plain, feeds)
        return found if is_faster(found, plain, feeds) else None

    def _feeds(self, most: int) -> list[Feed]:
        images = self.images.training
        return [images.target.feed([images.tensor(i)]) for i in range(min(most, len(images)))]

    def _training(self) -> tuple[Processes, Callable[[], Trainer]]:
        """The processes that share the run, and what makes its trainer."""
        if self._settings.finetune is False:
            if int(os.environ.get("WORLD_SIZE", "1")) > 1:
                raise OnnxbinError("--no-finetune has nothing to share out: start it as one process")
            return Alone(), partial(Untrained, self.plan.prepared)
        engine = training_engine(self._settings.device)
        from onnxbin.bridge.trainer import NetworkTrainer

        if engine.count > 1 and self._function is not None:
            raise OnnxbinError(
                "--finetune: your own function trains in one process; start it without torchrun"
            )
        if self._settings.batch_size < engine.count:
            raise OnnxbinError(
                f"--batch-size {self._settings.batch_size}: expected at least {engine.count}, "
                "an image for each process"
            )
        # Without a reference to this job: what it holds, images above all, goes with the last one.
        images = self.images.training
        return engine, partial(NetworkTrainer, self.plan, self._settings, self._function, images, engine)

    def warn(self, text: str) -> None:
        """Tell, and keep for the result."""
        self.warnings.append(text)
        self._listener.warned(text)


def _costs(settings: Settings, original: files.Model, layers: Sequence[str]) -> Costs | None:
    """The costs that were given, which are of these layers of this model."""
    if settings.costs is None:
        return None
    costs = read_costs(settings.costs)
    if costs.model != original.sha256:
        raise OnnxbinError(f"{settings.costs}: was measured of another model than {original.path}")
    costs.of(layers)
    return costs


def _check_goal(folder: RunFolder, until_ratio: float | None, max_drop: float | None) -> None:
    """A run that is taken up again goes on; what it has passed is in its steps."""
    records = [record for record in folder.records() if record.layer is not None]
    if not records:
        return
    earlier = f"`onnxbin export {folder.path} --step N` gives the model of an earlier step"
    if until_ratio is not None and until_ratio < records[-1].ratio:
        raise OnnxbinError(
            f"--until-ratio {until_ratio:g}: the run has already reached {records[-1].ratio:.2f}; {earlier}"
        )
    drop = records[-1].drop
    if max_drop is not None and drop is not None and not drop <= max_drop:
        raise OnnxbinError(f"--max-drop {max_drop:g}: the run has already lost {drop:.3f}; {earlier}")


def _user_function(settings: Settings) -> FineTune | None:
    if isinstance(settings.finetune, str):
        return user_function(settings.finetune, "--finetune")
    return settings.finetune if callable(settings.finetune) else None


def _check(plan: Plan, settings: Settings, warn: Callable[[str], None]) -> None:
    """Refuse what cannot begin, warn of what cannot be reached."""
    goal = settings.until_ratio
    if not plan.layers:
        raise OnnxbinError(f"{plan.original.path}: has no convolution, so there is nothing to binarize")
    if not plan.order:
        raise OnnxbinError(
            f"{plan.original.path}: none of its {len(plan.layers)} convolutions can be binarized; "
            "`onnxbin inspect` says why"
        )
    if plan.original.file_bytes / plan.ratios[0] > MESSAGE:
        smaller = "" if "int8" in settings.rest else "; --rest int8 makes it smaller"
        raise OnnxbinError(
            f"{plan.original.path}: with the first layer binary the file would have more than the 2 GiB that "
            f"one ONNX file can hold{smaller}"
        )
    if goal is not None and plan.largest_ratio < goal:
        warn(
            f"--until-ratio {goal:g} is out of reach: with every candidate layer binary the file is "
            f"{plan.largest_ratio:.2f} times smaller"
        )
    if plan.preprocessing.warning:
        warn(plan.preprocessing.warning)
