"""The commands of `onnxbin`, and the one line that an error of the user's becomes."""

from __future__ import annotations

import click

from onnxbin import OnnxbinError, __version__
from onnxbin.text import printable
from onnxbin_cli.bench import bench
from onnxbin_cli.compress import compress
from onnxbin_cli.console import is_first_process
from onnxbin_cli.detect import detect
from onnxbin_cli.doctor import doctor
from onnxbin_cli.evaluate import evaluate
from onnxbin_cli.export import export
from onnxbin_cli.import_ import import_
from onnxbin_cli.inspect import inspect
from onnxbin_cli.profile import profile
from onnxbin_cli.report import report
from onnxbin_cli.reshape import reshape


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="onnxbin")
def cli() -> None:
    """Binarize ONNX detectors layer by layer: 1-bit weights, one file, any ONNX runtime.

    \b
    Example:
      onnxbin compress model.onnx --until-ratio 20 --images photos/
    """


for command in (
    bench,
    compress,
    detect,
    doctor,
    evaluate,
    export,
    import_,
    inspect,
    profile,
    report,
    reshape,
):
    cli.add_command(command)


def run(arguments: list[str]) -> int:
    """Run a command line; its exit status. See onnxbin_cli.main."""
    try:
        # Not cli.main(): that prints a line of its own for Ctrl-C.
        with cli.make_context("onnxbin", arguments) as context:
            status = cli.invoke(context)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except OnnxbinError as error:
        return _fail(str(error))
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "onnxbin"
        return _fail(f"{error.format_message()} (see `{command} --help`)")
    except click.ClickException as error:
        return _fail(error.format_message())


def _fail(message: str) -> int:
    if not is_first_process():
        return 2
    click.echo(f"onnxbin: {printable(message)}", err=True)
    return 2
