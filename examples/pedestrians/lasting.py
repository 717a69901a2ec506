"""One compression, led to its end: begun, taken up again where it was stopped, or left alone if finished."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import onnxbin
from onnxbin import Listener, OnnxbinError, Settings
from onnxbin.model import Model
from onnxbin.run_folder import RunFolder


def finished_run(
    model: Model, output: Path, folder: Path, settings: Settings, listener: Listener
) -> RunFolder:
    """The folder of the run that makes `output` from the model, with the run in it finished.

    Raises OnnxbinError where the folder holds a run of another model or other settings, and where the run is
    stopped before its end: it will go on at the next call.
    """
    if not (folder / "run.json").is_file():
        onnxbin.compress(model.path, output, run=folder, listener=listener, **dataclasses.asdict(settings))
    else:
        found = RunFolder.open(folder)
        _check(found, model, settings)
        if found.curve.get("result") is None:
            onnxbin.resume(folder, listener=listener)
    found = RunFolder.open(folder)
    if found.curve.get("result") is None:
        raise OnnxbinError(f"{folder}: stopped before its end; the same command goes on from there")
    return found


def comparable(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values, without the images' place, which may move: runs know them by a hash."""
    content: dict[str, Any] = json.loads(json.dumps(settings.to_json()))
    del content["images"]
    return content


def _check(found: RunFolder, model: Model, settings: Settings) -> None:
    description = found.description
    before = {name: value for name, value in description["settings"].items() if name != "images"}
    if description["model"]["sha256"] != model.sha256:
        raise OnnxbinError(f"{found.path}: is a run of another model: remove it, or give another -o")
    wanted = comparable(settings)
    changed = [name for name in wanted if wanted[name] != before.get(name)]
    if changed:
        raise OnnxbinError(
            f"{found.path}: is a run with another {', '.join(changed)}: remove it, or give another -o"
        )
