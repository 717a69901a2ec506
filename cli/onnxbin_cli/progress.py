"""How a compression shows itself: a line for each finished layer, a bar for the one in work below them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from rich.progress import TaskID
from rich.text import Text

from onnxbin import Listener, Record, Step
from onnxbin.inputs.auto import WidthChoice
from onnxbin.inputs.widths import describe
from onnxbin.plan import Plan
from onnxbin.text import duration, file_size, printable, shape
from onnxbin_cli.console import OutputConsole, progress_bar
from onnxbin_cli.width_table import show


class CompressionProgress(Listener):
    """Prints as it is told; the bar in a terminal only."""

    def __init__(self, console: OutputConsole) -> None:
        self._console = console
        self._progress = progress_bar(console)
        self._task: TaskID | None = None
        self._headed = False
        self._left = ""  # how long the rest will take
        self._forecast_said = False

    def __enter__(self) -> CompressionProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def planned(self, plan: Plan) -> None:
        """The head of the table."""
        original = plan.original
        self._print(
            f"{original.path}: {file_size(original.file_bytes)}; {len(plan.order)} of {len(plan.layers)} "
            f"convolutions can become binary, for a file at most {plan.largest_ratio:.2f} times smaller"
        )

    def warned(self, text: str) -> None:
        """A warning, where the user sees it."""
        self._print(f"warning: {text}", style="yellow")

    def resumed(self, steps: Sequence[Record]) -> None:
        """The lines of what was finished before."""
        self._head()
        for number, record in enumerate(steps, 1):
            self._row(number, record, "")

    def looked_at(self, done: int, total: int) -> None:
        """A bar for the candidates, where there are several."""
        self._head()
        if total > 1:
            self._show("choosing a layer", done, total, "layers")

    def widths_tried(self, done: int, total: int) -> None:
        """The bar for the widths that are looked at."""
        self._show("choosing inputs", done, total, "widths of layers")

    def widths_chosen(self, choice: WidthChoice) -> None:
        """A table of them."""
        with contextlib.suppress(OSError):  # as in _print
            show(choice, self._console)
        if not choice.reached and choice.goal is not None:
            self.warned(
                f"--speedup {choice.original / choice.goal:g} is out of reach with inputs alone: what is not "
                "binary takes its time; --rest static-int8, or more binary layers, may help"
            )

    def making_int8(self) -> None:
        """The bar for the rest in int8."""
        self._show("the rest in int8", 0, 1, "models")

    def step_started(self, step: Step) -> None:
        """The bar for this turn."""
        self._head()
        self._show(printable(step.title)[:28], 0, step.training_steps, "steps")

    def trained(self, step: Step, done: int, loss: float) -> None:
        """One more step on the bar."""
        self._show(printable(step.title)[:28], done, step.training_steps, f"steps, loss {loss:.4f}")

    def forecast(self, seconds: float) -> None:
        """For the step's line."""
        self._left = duration(seconds)

    def step_finished(self, step: Step, record: Record) -> None:
        """The step's line; after the first, what may be expected of the rest."""
        self._row(step.number, record, self._left)
        if not self._forecast_said and step.expected > step.number:
            self._print(
                f"forecast: {step.expected - step.number} more steps in about {self._left}", style="dim"
            )
        self._forecast_said = True

    def step_undone(self, step: Step, record: Record) -> None:
        """Its line too: the time went somewhere."""
        drop = 0.0 if record.drop is None else record.drop
        self._print(
            f" - {printable(step.title)} stays as it was: {_change(record)}, {drop:.3f} would be lost",
            style="dim",
        )

    def _head(self) -> None:
        if not self._headed:
            self._headed = True
            self._print(_HEADER, style="bold")

    def _row(self, number: int, record: Record, left: str) -> None:
        self._print(_line(number, record, left), overflow="ellipsis", no_wrap=True)

    def _show(self, what: str, done: int, total: int, detail: str) -> None:
        """The bar, which is one: of a layer in training or of what precedes it."""
        if self._task is None:
            self._task = self._progress.add_task(what, detail="")
        self._progress.update(self._task, description=what, completed=done, total=total, detail=detail)

    def _print(self, text: str, style: str = "", **layout: Any) -> None:
        try:
            self._console.print(Text(printable(text), style=style), **layout)
        except OSError:  # a full disk behind `> log`: no reason to lose the run
            self._console.quiet = True


_HEADER = " #  ratio  binary  before   after   boxes     left  shape        layer"


def _line(number: int, record: Record, left: str) -> str:
    last = record.layer is None
    what, name = ("last phase", describe(record.inputs)) if last else (shape(record.shape), record.title)
    return (
        f"{number:2d} {record.ratio:6.2f} {100 * record.share:6.1f}% {_agreement(record.before)} "
        f"{_agreement(record.after)} {_agreement(record.boxes)} {left:>8}  {what:11}  {name}"
    )


def _change(record: Record) -> str:
    return describe(record.inputs) if record.layer is None else "binary"


def _agreement(value: float | None) -> str:
    return "      -" if value is None else f"{value:7.3f}"
