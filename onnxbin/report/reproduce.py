"""The command line that repeats a run, or the call in Python where the command line has no words for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import fields

from onnxbin.report.run import Run
from onnxbin.settings import Settings


def command_line(run: Run) -> str:
    """`onnxbin compress` with the settings of a run that are not the defaults."""
    if run.settings.order is not None:
        return _call(run)
    options = list(_options(run.settings))
    return shlex.join(["onnxbin", "compress", str(run.model), "-o", str(run.output), *options])


def _call(run: Run) -> str:
    values = [(f.name, getattr(run.settings, f.name), f.default) for f in fields(run.settings)]
    changed = [f"{name}={value!r}" for name, value, default in values if value != default]
    arguments = ", ".join([repr(str(run.model)), repr(str(run.output)), *changed])
    return f"onnxbin.compress({arguments})"


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
