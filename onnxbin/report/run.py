"""What a run folder says, as a report needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxbin.errors import OnnxbinError
from onnxbin.records import Record
from onnxbin.run_folder import RunFolder
from onnxbin.settings import Settings


@dataclass(frozen=True)
class Run:
    """A run with at least one finished step.

    model: of the original, its path; it may be gone. original_bytes, sha256: what it was when the run began.
    output: the file that the run writes. images: see run_images.RunImages.description. versions: of the
    packages it ran with, and its onnxbin. platform: the machine. started: when. steps: their records.
    models: those after each step. reason: why it ended; None while it goes on, or where it was broken off.
    """

    folder: Path
    model: Path
    original_bytes: int
    sha256: str
    output: Path
    settings: Settings
    images: Mapping[str, Any]
    versions: Mapping[str, str]
    platform: str
    started: str
    steps: tuple[Record, ...]
    models: tuple[Path, ...]
    reason: str | None


def read_run(path: Path) -> Run:
    """Read a run folder. Raises OnnxbinError where it is none, is damaged, or has no finished step."""
    folder = RunFolder.open(path)
    records = tuple(folder.records())
    if not records:
        raise OnnxbinError(f"{path}: no step of this run is finished yet, so there is nothing to report")
    content = folder.description
    result: Mapping[str, Any] | None = folder.curve.get("result")
    try:
        return Run(
            folder=path,
            model=Path(content["model"]["path"]),
            original_bytes=content["model"]["bytes"],
            sha256=content["model"]["sha256"],
            output=Path(content["output"]),
            settings=Settings.from_json(content["settings"]),
            images=content["images"],
            versions={"onnxbin": content["onnxbin"], **content["versions"]},
            platform=content["platform"],
            started=content["started"],
            steps=records,
            models=tuple(folder.model_path(number) for number in range(1, len(records) + 1)),
            reason=result["reason"] if result is not None else None,
        )
    except (KeyError, TypeError) as error:
        raise OnnxbinError(
            f"{path}: is damaged: run.json or curve.json: missing or malformed {error}"
        ) from None
