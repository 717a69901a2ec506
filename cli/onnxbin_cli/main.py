"""The `onnxbin` command: its sub-commands, and what becomes of errors.

Exit status: 0 done; 2 the input or the options are at fault, said in one line; 3 the goal of a compression
was not reached, the best file was written all the same; 130 stopped by Ctrl-C with nothing to write.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from onnxbin import OnnxbinError, __version__
from onnxbin_cli.compress import compress
from onnxbin_cli.detect import detect
from onnxbin_cli.doctor import doctor
from onnxbin_cli.evaluate import evaluate
from onnxbin_cli.inspect import inspect
from onnxbin_cli.text import printable


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="onnxbin")
def cli() -> None:
    """Binarize ONNX detectors layer by layer: 1-bit weights, one file, any ONNX runtime.

    \b
    Example:
      onnxbin compress model.onnx --until-ratio 20 --images photos/
    """


cli.add_command(compress)
cli.add_command(detect)
cli.add_command(doctor)
cli.add_command(evaluate)
cli.add_command(inspect)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    try:
        status = cli.main(arguments, prog_name="onnxbin", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except OnnxbinError as error:
        _fail(str(error), 2)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "onnxbin"
        _fail(f"{error.format_message()} (see `{command} --help`)", 2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped by Ctrl-C; nothing was written", 130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: nothing left to say, or to say it to
        sys.exit(0)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"onnxbin: {printable(message)}", err=True)
    sys.exit(status)
