"""The loop: pick a layer, binarize it, fine-tune the whole network, check, decide whether to go on.

Wang, Xu, Ni, Zhuang, Xu: "Flexible Network Binarization with Layer-Wise Priority", ICIP 2018, section 3.
What the paper leaves to a person at every step, the rules of `Settings` decide here. A step that loses more
than `max_drop` is undone, and its layer tried once more, with one more base, when all others have had their
turn. When no further layer is to become binary comes the last phase: the inputs of the binary layers get
their widths (see onnxbin.inputs), and the network is trained as it will be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from onnx import ModelProto

from onnxbin.benchmark.costs import Costs
from onnxbin.budget import Budget
from onnxbin.errors import OnnxbinError, first_line
from onnxbin.images import ImageSet
from onnxbin.inputs.auto import choose, damages
from onnxbin.inputs.choice import choose_widths
from onnxbin.inputs.network import BinaryNetwork
from onnxbin.inputs.widths import Widths
from onnxbin.large import byte_size
from onnxbin.layers import ConvLayer
from onnxbin.measures import Measures
from onnxbin.pace import Pace
from onnxbin.plan import Plan
from onnxbin.priority import MORE_BASES, Choice, DamageQueue, Damages, FixedQueue, Queue
from onnxbin.processes import Processes, in_first
from onnxbin.records import LAST_PHASE, Listener, Record, Step
from onnxbin.regression import regressed_on_original
from onnxbin.run_folder import End, Progress, RunFolder, Turn
from onnxbin.settings import Settings
from onnxbin.state_file import Arrays
from onnxbin.surgery import BinaryLayer, with_layers, with_values
from onnxbin.trainer import Trainer, closed_form

SAVED_EVERY = 30.0
"""Seconds of training between two savings of its state."""


class Loop:
    """One run through the layers and the last phase, and what it has reached.

    images: to calibrate inputs with. measure_costs: measures what the binary layers cost on this machine.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        measures: Measures,
        images: ImageSet,
        measure_costs: Callable[[BinaryNetwork], Costs],
        make_trainer: Callable[[], Trainer],
        folder: RunFolder,
        processes: Processes,
        listener: Listener,
        started: float,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._measures = measures
        self._images = images
        self._measure_costs = measure_costs
        self._make_trainer = make_trainer
        self._folder = folder
        self._processes = processes
        self._listener = listener
        self._started = self._saved = started
        self._layers = {layer.name: layer for layer in plan.order}
        self._trainer = make_trainer()
        self._queue = self._make_queue()
        self._progress = Progress()
        self._model = plan.build({}, {})
        self._budget: Budget | None = None
        self._pace: Pace | None = None  # once a turn is over
        self._chosen_in = 0.0  # seconds that the choice of the layer whose turn it is took
        self._trained_steps = 0  # of the turn under way
        self.stopped = False

    @property
    def records(self) -> tuple[Record, ...]:
        """The steps that were kept."""
        return self._progress.records

    @property
    def model(self) -> ModelProto:
        """The model after them."""
        return self._model

    @property
    def seconds(self) -> float:
        """What the run has taken so far, before it was resumed included."""
        return self._progress.seconds + time.monotonic() - self._started

    def run(self) -> tuple[str, bool]:
        """Layer after layer until a rule says stop, then the last phase.

        Returns why it stopped, and whether that is what was asked for.
        """
        try:
            end = self._progress.end or self._run_layers()
            self._progress = replace(self._progress, end=end)
            if self.records and not self._progress.over:
                self._run_last_phase()
            return self._outcome()
        except KeyboardInterrupt:
            self.stopped = True
            if not self.records:
                raise
            return "stopped by Ctrl-C", False
        except Exception as error:
            self.stopped = True
            turn = self._progress.turn
            what = first_line(error) if isinstance(error, OnnxbinError) else _described(error)
            if self.records:
                return f"stopped{f' at {turn.layer or LAST_PHASE}' if turn else ''}: {what}", False
            if isinstance(error, (RuntimeError, MemoryError)):
                raise OnnxbinError(
                    f"training fails: {what}; a smaller --batch-size takes less memory"
                ) from error
            raise

    def restore(self, another_goal: bool = False, looser: bool = False) -> None:
        """Go on where an earlier run in this folder has stopped.

        another_goal: than it had then, so that the last phase is to come. looser: more may be lost now, so
        that layers whose turn was undone wait for another.
        """
        finished = in_first(self._processes, self._folder.read_finished)
        file, latest = "finished.npz", finished
        for name, read in (("turn.npz", self._folder.read_turn), ("last.npz", self._folder.read_last)):
            later = in_first(self._processes, read)
            outdated = later is not None and another_goal and later[0].end is not None
            if later and not outdated and later[0].follows(finished[0] if finished else Progress()):
                file, latest = name, later
        if latest is not None:
            try:
                self._go_on_from(*latest)
            except (KeyError, ValueError, RuntimeError) as error:
                raise self._folder.damaged(file, error) from None
        if self.records:
            self._model = in_first(self._processes, lambda: self._folder.read_step(self._progress))
        if looser:
            self._queue.restart(self._left_real())
            self._progress = replace(self._progress, tried={}, waiting=self._queue.state())
        if another_goal and self._processes.rank == 0:
            self._folder.write_curve(self.records)
            if self._progress.turn is None:
                self._folder.forget_last_phase()
        self._listener.resumed(self.records)

    def _go_on_from(self, progress: Progress, state: Arrays) -> None:
        turn = progress.turn
        bases = {record.layer: record.bases for record in progress.records if record.layer is not None}
        if turn is not None and turn.layer is not None:
            bases[turn.layer] = turn.bases
        if not progress.over:
            widths = turn.inputs if turn is not None else {}
            self._trainer.restore([self._layers[name] for name in bases], bases, widths, state)
        self._queue.restore(progress.waiting)
        self._progress = progress

    def _run_layers(self) -> End:
        """Turn after turn until a rule says stop."""
        goal = self._settings.until_ratio
        while True:
            if self._progress.turn is None:
                missing = self._missing()
                if self.records and missing is not None and missing <= 0:
                    return End(f"the file is {self.records[-1].ratio:.2f} times smaller", True)
                if self._out_of_time(2):
                    ratio = self.records[-1].ratio
                    return End(f"the time of --budget is up at {ratio:.2f} times", goal is None)
            step = self._begin()
            if step is None:
                return self._end_of_layers()
            self._work(step)

    def _run_last_phase(self) -> None:
        step = self._begin_last()
        if step is not None:
            self._work(step)

    def _outcome(self) -> tuple[str, bool]:
        """Why the run ended, and whether that is what was asked for, with what became of the inputs."""
        end = self._progress.end
        assert end is not None
        inputs, goal = self._settings.inputs, self._settings.until_ratio
        if inputs == "real" or not self.records:
            return end.reason, end.reached
        last = self.records[-1]
        if last.layer is not None:
            most = f"--max-drop {self._settings.max_drop:g}"
            return f"{end.reason}; inputs stay real: --inputs {inputs} would lose more than {most}", False
        if goal is None or not end.reached:
            return end.reason, end.reached
        return f"the file is {last.ratio:.2f} times smaller", last.ratio >= goal

    # A turn

    def _begin(self) -> Step | None:
        """The turn that is under way, or a new one; None where no layer is left."""
        if self._progress.turn is None:
            began = self.seconds
            chosen = self._queue.take(self._missing(), self._damages())
            if chosen is None:
                return None
            self._chosen_in = self.seconds - began
            layer, bases = chosen
            self._trainer.binarize(layer, bases)
            before, steps = None, 0
            if self._settings.finetune is not False:
                # A first look without training is to take seconds, and this may take one for each layer.
                self._trainer.adjust({layer.name: self._repaired(layer)})
                before = self._measures.of(self._build()).agreement
                seconds = self.seconds - began - self._chosen_in
                steps = self._training_steps(seconds, self._queue.left(self._missing()) + 1)
            turn = Turn(layer.name, bases, {}, self._processes.agree(steps), before, began)
            self._progress = replace(self._progress, turn=turn, waiting=self._queue.state())
        return self._started_step()

    def _repaired(self, layer: ConvLayer) -> BinaryLayer:
        """A layer that has just become binary, its outputs as near to the original's as they get."""
        binary = self._trainer.binary()
        model = self._plan.build_unfused(self._trainer.real(), binary)
        return regressed_on_original(
            self._plan.prepared, model, layer.output, binary[layer.name], self._images, self._processes
        )

    def _begin_last(self) -> Step | None:
        """The last phase; None where nothing is to happen in it, or nothing can any more."""
        if self._progress.turn is None:
            if not self._has_last_phase or (self._settings.inputs == "real" and self._out_of_time(1)):
                return None
            began = self.seconds
            binary = self._trainer.binary()
            layers = [layer for layer in self._plan.layers if layer.name in binary]
            model = self._plan.build_unfused(self._trainer.real(), binary)
            network = BinaryNetwork(model, binary, layers, self._images, self._processes)
            auto = self._settings.inputs == "auto"
            chosen = self._choose_widths(network) if auto else choose_widths(network, self._settings)
            widths = self._processes.agree(dict(chosen))
            self._trainer.adjust(network.with_inputs(widths))
            before, steps = None, 0
            if self._settings.finetune is not False:
                before = self._measures.of(self._build()).agreement
                steps = self._training_steps(self.seconds - began, 0)
            turn = Turn(None, 0, widths, self._processes.agree(steps), before, began)
            self._progress = replace(self._progress, turn=turn)
        return self._started_step()

    def _started_step(self) -> Step:
        turn = self._progress.turn
        assert turn is not None
        number = len(self.records) + 1
        layer = self._layers[turn.layer] if turn.layer is not None else None
        expected = number
        if layer is not None:
            expected += self._queue.left(self._missing()) + self._has_last_phase
        step = Step(layer, number, expected, turn.bases, turn.training_steps)
        self._listener.step_started(step)
        return step

    def _work(self, step: Step) -> None:
        """Fine-tune, check, and keep the step or undo it."""
        turn = self._progress.turn
        assert turn is not None
        training = time.monotonic()
        self._trained_steps = turn.training_steps
        self._trainer.train(step, lambda done, loss: self._trained(step, done, loss))
        training = time.monotonic() - training
        model = self._build()
        measured = None
        if turn.before is not None or self._settings.max_drop is not None:
            measured = self._measures.of(model)
        binary = self._trainer.binary()
        parameters = sum(layer.parameters for layer in self._plan.layers)
        record = Record(
            layer=turn.layer,
            shape=step.layer.shape if step.layer is not None else (),
            bases=turn.bases,
            inputs=turn.inputs,
            share=sum(self._layers[name].parameters for name in binary) / parameters,
            ratio=self._plan.original.file_bytes / byte_size(model),
            before=turn.before,
            after=measured.agreement if measured else None,
            boxes=measured.boxes if measured else None,
            difference=self._difference(step, binary),
            training_steps=self._trained_steps,
            seconds=self._processes.agree(self.seconds - turn.began),
        )
        self._learn_pace(record, training)
        if self._loses_too_much(record):
            self._undo(step, record)
        else:
            self._keep(step, record, model)

    def _learn_pace(self, record: Record, training: float) -> None:
        """From a turn that is over, with so many seconds of training."""
        # The first choice looks at all layers, later ones at few.
        first = self._chosen_in if self._pace is None else 0.0
        step_seconds = training / record.training_steps if record.training_steps else 0.0
        self._pace = Pace(step_seconds, max(0.0, record.seconds - training - first))
        if self._budget is not None and record.training_steps:
            self._budget = replace(self._budget, pace=self._pace)

    def _forecast(self, step: Step) -> float:
        """The seconds that follow this step, as far as is known."""
        assert self._pace is not None
        if self._budget is not None:
            return max(0.0, self._budget.seconds - self.seconds)
        turns = step.expected - step.number
        in_last = int(step.layer is not None and self._has_last_phase)
        settings = self._settings
        steps = (turns - in_last) * settings.steps_per_layer + in_last * settings.last_steps
        return self._pace.seconds(turns, steps if settings.finetune is not False else 0)

    def _difference(self, step: Step, binary: Mapping[str, BinaryLayer]) -> float:
        """Of kernel, function and module of the nodes that the step has changed; see onnxbin.verify."""
        changed = [step.layer] if step.layer is not None else [self._layers[name] for name in binary]
        return max(
            self._measures.verify(layer, binary[layer.name], self._trainer.run_layer) for layer in changed
        )

    def _trained(self, step: Step, done: int, loss: float) -> bool:
        """After a training step: tell, save now and then; whether there is time for another."""
        self._listener.trained(step, done, loss)
        self._trained_steps = done
        if time.monotonic() - self._saved >= SAVED_EVERY and done < step.training_steps:
            if self._processes.rank == 0:
                self._folder.write_turn(self._lasting(), self._trainer.state())
            self._saved = time.monotonic()
        # A turn that takes longer than was planned is cut short at the end, where rates are near zero.
        return self._budget is None or not self._processes.agree(
            self.seconds + self._budget.pace.turn_seconds / 2 > self._budget.seconds
        )

    def _keep(self, step: Step, record: Record, model: ModelProto) -> None:
        records = (*self.records, record)
        digest = ""
        if self._processes.rank == 0:
            digest = self._folder.write_step(step.number, model)
        progress = replace(self._progress, records=records, model=digest)
        if step.layer is not None:
            self._finish_turn(progress, model)
        else:
            self._finish_last(progress, model)
        if self._processes.rank == 0:
            self._folder.write_curve(records)
        self._listener.forecast(self._forecast(step))
        self._listener.step_finished(step, record)

    def _undo(self, step: Step, record: Record) -> None:
        """Back to before the turn: a new trainer that goes on from what was saved then."""
        if step.layer is None:
            self._finish_last(self._progress, self._model)
            self._listener.step_undone(step, record)
            return
        finished = in_first(self._processes, self._folder.read_finished)
        progress = self._progress
        self._trainer = self._make_trainer()
        if finished is not None:
            self._go_on_from(*finished)
        self._queue.restore(progress.waiting)
        self._queue.put_back(step.layer.name, step.bases)
        tried = {**progress.tried, step.layer.name: step.bases}
        progress = replace(progress, tried=tried, waiting=self._queue.state())
        self._finish_turn(progress, self._model, finished[1] if finished else None)
        self._listener.step_undone(step, record)

    def _finish_turn(self, progress: Progress, model: ModelProto, state: Arrays | None = None) -> None:
        # At once: Ctrl-C may come between any two lines.
        self._progress, self._model = replace(progress, turn=None), model
        if self._processes.rank == 0:
            self._folder.write_finished(self._lasting(), state or self._trainer.state())
        self._saved = time.monotonic()

    def _finish_last(self, progress: Progress, model: ModelProto) -> None:
        self._progress, self._model = replace(progress, turn=None, over=True), model
        if self._processes.rank == 0:
            self._folder.write_last(self._lasting())

    def _lasting(self) -> Progress:
        return replace(self._progress, seconds=self.seconds)

    # Decisions

    def _make_queue(self) -> Queue:
        plan, settings = self._plan, self._settings
        bases = range(settings.fewest_bases, settings.fewest_bases + 1)
        if settings.order is not None or settings.priority == "depth":
            return FixedQueue(plan.order, bases, plan.bytes_saved)
        if settings.bases is None:
            bases = range(1, 1 + MORE_BASES + 1)
        return DamageQueue(plan.order, bases, plan.bytes_saved)

    def _damages(self) -> Damages:
        """Of choices made now: what they would add to the error of the outputs, with nothing trained."""
        real, binary = self._trainer.real(), self._trainer.binary()
        values = {tensor.name: tensor for tensor in with_values(self._plan.prepared, real).graph.initializer}

        def error(more: Mapping[str, BinaryLayer]) -> float:
            return self._measures.error(self._plan.build(real, {**binary, **more}))

        @cache
        def before() -> float:
            return error({})

        def measure(choices: Sequence[Choice]) -> list[float]:
            damages = []
            for done, (layer, bases) in enumerate(choices, 1):
                damages.append(error({layer.name: closed_form(layer, values, bases)}) - before())
                self._listener.looked_at(done, len(choices))
            return damages

        return measure

    def _training_steps(self, seconds: float, left: int) -> int:
        """Of the turn that begins.

        seconds: what it has taken since its layer was chosen. left: turns to come, this one included; 0 in
        the last phase.
        """
        settings = self._settings
        if settings.budget is None:
            return settings.steps_per_layer if left else settings.last_steps
        if self._budget is None:
            # What has been measured of this turn is half of it: all is built and measured once more.
            self._budget = Budget(settings.budget, Pace(self._trainer.rehearse(), 2 * seconds))
        return self._budget.steps(self.seconds, len(self.records), left)

    def _choose_widths(self, network: BinaryNetwork) -> Widths:
        """What `--inputs auto` comes to; where its goal is out of reach, the run's end says so."""
        costs = in_first(self._processes, lambda: self._costs(network))
        found = damages(network, self._measures.error_against, self._listener.widths_tried)
        speedup, most = self._settings.speedup, self._settings.max_drop

        def fits(widths: Widths) -> bool:
            model = with_layers(network.model, network.with_inputs(widths))
            return most is None or 1 - self._measures.of(model).kept <= most

        choice = choose(costs, found, speedup=speedup, fits=fits)
        if self._processes.rank == 0:
            self._folder.write_widths(choice)
        self._listener.widths_chosen(choice)
        end = self._progress.end
        if not choice.reached and end is not None:
            fastest = costs.original / choice.fastest
            reason = f"{end.reason}; --speedup {speedup:g} is out of reach: {fastest:.2f} times is the most"
            self._progress = replace(self._progress, end=End(reason, False))
        return choice.widths

    def _costs(self, network: BinaryNetwork) -> Costs:
        """Of the binary layers: those given or measured before, else measured now."""
        costs = self._folder.read_costs()
        if costs is not None and (self._settings.costs is not None or costs.covers(network.binary)):
            return costs
        costs = self._measure_costs(network)
        self._folder.write_costs(costs)
        return costs

    def _out_of_time(self, turns: int) -> bool:
        """Whether so many more, be they without training, would take longer than there is."""
        if self._budget is None or not self.records:
            return False
        end = self.seconds + turns * self._budget.pace.turn_seconds
        return self._processes.agree(end > self._budget.seconds)

    @property
    def _has_last_phase(self) -> bool:
        """Whether anything is to happen in it."""
        settings = self._settings
        trains = settings.finetune is not False and (settings.last_steps > 0 or settings.budget is not None)
        return settings.inputs != "real" or trains

    def _missing(self) -> float | None:
        """Bytes by which the file would be too large, were no further layer to become binary."""
        goal = self._settings.until_ratio
        if goal is None:
            return None
        size = self._plan.final_bytes(self._trainer.real(), self._trainer.binary())
        return size - self._plan.original.file_bytes / goal

    def _loses_too_much(self, record: Record) -> bool:
        most = self._settings.max_drop
        # Not "more than": a drop that is not a number satisfies nothing.
        return most is not None and record.drop is not None and not record.drop <= most

    def _end_of_layers(self) -> End:
        """Why there is no next layer."""
        left = self._left_real()
        met = self._settings.until_ratio is None and bool(self.records)
        if not left:
            return End("every candidate layer is binary", met)
        layers = "layer is" if len(left) == 1 else "layers are"
        most = f"--max-drop {self._settings.max_drop:g}"
        return End(f"{len(left)} {layers} left as before: binary, they would lose more than {most}", met)

    def _left_real(self) -> list[str]:
        """The layers whose last turn was undone."""
        kept = {record.layer for record in self.records}
        return [name for name in self._progress.tried if name not in kept]

    def _build(self) -> ModelProto:
        """The model as it would be written now."""
        return self._plan.build(self._trainer.real(), self._trainer.binary())


def _described(error: Exception) -> str:
    """An error that nobody foresaw, with its type."""
    return f"{type(error).__name__}: {first_line(error)}"
