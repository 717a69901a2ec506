"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class Size(click.ParamType):  # type: ignore[type-arg]
    """HEIGHTxWIDTH in pixels, such as 416x416."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`416x416` to (416, 416)."""
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", str(value))
        if match is None:
            self.fail(f"{value!r} is not a size such as 416x416", param, ctx)
        return int(match[1]), int(match[2])


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
    click.option("--input-size", type=Size(), help="Image size, where the model leaves it open."),
]


def layer_options(command: Command) -> Command:
    """--include, --exclude and --input-size."""
    for option in reversed(_LAYERS):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
