"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import click

from onnxbin.detection import FAMILIES
from onnxbin.images import PROFILES
from onnxbin.images.preprocess import Channels, Resize
from onnxbin.sources import fetch

Command = TypeVar("Command", bound=Callable[..., Any])


class ModelFile(click.ParamType):  # type: ignore[type-arg]
    """A model's file: a path, or one that is fetched first, `hub:NAME` or `hf:OWNER/NAME/FILE`."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        """The local file's path."""
        return fetch(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
        """Files, as for a path."""
        return click.Path().shell_complete(ctx, param, incomplete)


class Size(click.ParamType):  # type: ignore[type-arg]
    """HEIGHTxWIDTH in pixels, such as 416x416."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`416x416` to (416, 416)."""
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", str(value))
        if match is None:
            self.fail(f"{value!r} is not a size such as 416x416", param, ctx)
        return int(match[1]), int(match[2])


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A time such as 90s, 20m or 1h30m."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`1h30m` to 5400.0 seconds."""
        match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(value))
        if match is None or not any(match.groups()):
            self.fail(f"{value!r} is not a time such as 90s, 20m or 1h30m", param, ctx)
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return float(hours * 3600 + minutes * 60 + seconds)


class Triple(click.ParamType):  # type: ignore[type-arg]
    """Three numbers, one per channel, or one for all."""

    name = "N,N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`128` or `103.5,116.3,123.7` to three floats."""
        try:
            numbers = [float(part) for part in str(value).split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 3):
            self.fail(f"{value!r} is not a number, or three with commas between", param, ctx)
        return tuple(numbers * 3 if len(numbers) == 1 else numbers)


class Widths(click.ParamType):  # type: ignore[type-arg]
    """Numbers of channels, one for each stage."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`96,168,378` to three integers."""
        if not re.fullmatch(r"[1-9]\d{0,4}(,[1-9]\d{0,4})*", str(value)):
            self.fail(f"{value!r} is not a list of widths such as 96,168,378,866", param, ctx)
        return tuple(int(part) for part in str(value).split(","))


_SIZE = click.option("--input-size", type=Size(), help="Image size, where the model leaves it open.")

_LAYERS = [
    click.option(
        "--include",
        multiple=True,
        metavar="REGEX",
        help="Binarize layers of these names too, though they would be left alone. Repeatable.",
    ),
    click.option(
        "--exclude", multiple=True, metavar="REGEX", help="Leave layers of these names alone. Repeatable."
    ),
    _SIZE,
]

_PREPROCESSING = [
    click.option(
        "--profile", type=click.Choice(sorted(PROFILES)), help="Preprocessing of this family of detectors."
    ),
    click.option("--resize", type=click.Choice(get_args(Resize)), help="How images are fitted to the input."),
    click.option("--channels", type=click.Choice(get_args(Channels)), help="Channel order of the input."),
    click.option(
        "--mean", type=Triple(), help="Subtracted from pixels of 0..255, in the input's channel order."
    ),
    click.option("--std", type=Triple(), help="Divides pixels of 0..255 after that. 255 gives [0, 1]."),
]


def layer_options(command: Command) -> Command:
    """--include, --exclude and --input-size."""
    return _with(_LAYERS, command)


def input_size_option(command: Command) -> Command:
    """--input-size alone."""
    return _with([_SIZE], command)


def preprocessing_options(command: Command) -> Command:
    """--profile, --resize, --channels, --mean and --std: the arguments of onnxbin.images.choose."""
    return _with(_PREPROCESSING, command)


def detector_options(command: Command) -> Command:
    """--family, --input-size and the preprocessing: how a model becomes a detector."""
    family = click.option(
        "--family",
        metavar="NAME",
        help=f"How to read the outputs: {', '.join(FAMILIES)}, or your own module:function.",
    )
    return _with([family, _SIZE, *_PREPROCESSING], command)


def _with(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
