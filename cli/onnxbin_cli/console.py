"""Where tables and lines go: a terminal, or a file or pipe, which get lines as they are."""

from __future__ import annotations

import os

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_WIDE = 1000  # columns of a file: nothing is cut or folded


def is_first_process() -> bool:
    """Of the processes that torchrun has started, the first alone speaks."""
    return os.environ.get("RANK", "0") == "0"


class OutputConsole(Console):
    """A rich console on standard output, or standard error, that a vanished reader does not stop."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, quiet=not is_first_process())
        if not self.is_terminal:
            self.width = _WIDE

    def on_broken_pipe(self) -> None:
        """Go silent: what is being computed may still be wanted."""
        self.quiet = True


def progress_bar(console: OutputConsole) -> Progress:
    """A bar that vanishes when it is done, in a terminal only; tasks say `detail` behind the count."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total} {task.fields[detail]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
