"""The command line of a report, read by the command line's own parser, gives the settings of the run."""

import dataclasses
import shlex
from pathlib import Path

import pytest

from onnxbin.report.reproduce import command_line
from onnxbin.report.run import read_run
from onnxbin.settings import Settings
from onnxbin_cli.compress import compress

CASES = [
    Settings(),
    Settings(until_ratio=20.0, images="/a folder/with 'quotes'", finetune=False),
    Settings(max_drop=0.1, input_size=(320, 640), mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0)),
    Settings(include=("a.*", "b"), exclude=("$c",), bases=2, finetune="module:function", seed=7),
    Settings(budget=5400.0, batch_size=2, priority="depth", device="cpu"),
    Settings(max_drop=0.1234567, steps_per_layer=3, last_steps=9, rest="float16", inputs="4"),
]


def test_a_given_order_becomes_a_call(finished):
    settings = Settings(order=("a", 'b"c'), max_drop=0.25, seed=3)
    run = dataclasses.replace(read_run(finished.folder), settings=settings)
    given = {}

    class Called:
        @staticmethod
        def compress(model, output, **settings):
            given.update(model=model, output=output, settings=settings)

    exec(command_line(run), {"onnxbin": Called})
    assert given["model"] == str(finished.model)
    assert given["output"] == str(finished.result.path)
    assert Settings(**given["settings"]) == settings


@pytest.mark.parametrize("settings", CASES)
def test_gives_the_same_settings(finished, settings):
    run = dataclasses.replace(read_run(finished.folder), settings=settings)
    program, command, *arguments = shlex.split(command_line(run))
    assert (program, command) == ("onnxbin", "compress")
    given = compress.make_context("compress", arguments).params
    assert Path(given["model"]) == finished.model
    assert Path(given["output"]) == finished.result.path
    values = {f.name: given[f.name] for f in dataclasses.fields(Settings) if f.name in given}
    values["finetune"] = given["finetune"] or not given["no_finetune"]
    read = Settings(**values)
    if read.images is not None:
        read = dataclasses.replace(read, images=str(read.images))
    assert read == settings
