"""The one exception type whose message is written for the person at the keyboard."""

from __future__ import annotations

from pathlib import Path


class OnnxbinError(Exception):
    """Something about the user's input or machine is wrong, and they can mend it.

    The message is one line that names the file, node or option, says what was found and what was expected,
    and, where there is one, the way out. The command line prints it and exits with status 2; anything
    else that escapes is a defect of onnxbin.
    """


class Stopped(KeyboardInterrupt):
    """Ctrl-C before there was a model to write. run: the folder of the run, where its state was saved."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run


def first_line(error: BaseException) -> str:
    """What an exception of some other library says, cut to its first line; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
