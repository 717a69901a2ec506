"""The entry point of `onnxbin`: what becomes of errors.

Exit status: 0 done; 1 `doctor` found something broken; 2 the input or the options are at fault, said in one
line; 3 the goal of a compression was not reached, the best file was written all the same; 130 stopped by
Ctrl-C with nothing written.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # for programmers; what users should know is printed as a line
    try:
        # Here, not above: the imports take a moment, in which Ctrl-C must not give a traceback either.
        from onnxbin_cli.group import run

        status = run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        folder = getattr(error, "run", None)  # of a compression, which may have saved its state
        resumable = folder is not None and folder.exists()
        go_on = f"; to go on: onnxbin compress --resume {folder}" if resumable else ""
        print(f"onnxbin: stopped by Ctrl-C; no model was written{go_on}", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        status = 0  # the reader of our output has gone, as `| head` does
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        print(f"onnxbin: {where}{error.strerror or error}", file=sys.stderr)
        status = 2
    _discard_what_cannot_be_written()
    sys.exit(status)


def _discard_what_cannot_be_written() -> None:
    """Python flushes standard output once more at its end, and complains where that fails."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
