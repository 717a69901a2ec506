"""The command line that repeats a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import fields

from onnxbin.report.run import Run
from onnxbin.settings import Settings


def command_line(run: Run) -> str:
    """`onnxbin compress` with the settings of a run that are not the defaults."""
    options = list(_options(run.settings))
    return shlex.join(["onnxbin", "compress", str(run.model), "-o", str(run.output), *options])


def _options(settings: Settings) -> Iterator[str]:
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value == field.default:
            continue
        option = "--" + field.name.replace("_", "-")
        if field.name == "finetune":
            yield from ["--no-finetune"] if value is False else [option, value]
        elif field.name == "input_size":
            yield from [option, "x".join(map(str, value))]
        elif field.name in ("mean", "std"):
            yield from [option, ",".join(map(str, value))]
        elif field.name == "budget":
            yield from [option, f"{max(1, round(value))}s"]
        else:
            for item in value if isinstance(value, tuple) else [value]:
                yield from [option, str(item)]
