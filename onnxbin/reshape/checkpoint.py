"""What is kept of a reshaping whose training is under way, so that it can be gone on with.

It is a file beside the output, `wide.reshape.npz` for `wide.onnx`: what was asked for, what has come of it,
the network with its present weights, and the state of training. It is replaced atomically now and then, and
removed when the training is over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxbin.errors import OnnxbinError, first_line
from onnxbin.measures import Measured
from onnxbin.reshape.depth import Dropped
from onnxbin.state_file import Arrays, read_state, write_state
from onnxbin.typed import typed

FORMAT = 1
"""Of the file; raised when an older onnxbin could no longer read it rightly."""


@dataclass(frozen=True)
class Progress:
    """phases: those that were measured, the last of which is being trained; dropped, left_alone: see
    onnxbin.reshape.transform.Transformed.
    """

    phases: tuple[tuple[str, Measured], ...]
    dropped: tuple[Dropped, ...]
    left_alone: Mapping[str, tuple[str, ...]]


class Checkpoint:
    """The file for an output. asked: all that decides about the result, as JSON values by name."""

    def __init__(self, output: Path, asked: Mapping[str, Any]) -> None:
        self.path = output.with_suffix(".reshape.npz")
        self._asked = json.loads(json.dumps(asked))

    def refuse_to_lose(self) -> None:
        """Raise OnnxbinError where a training that was stopped would be lost."""
        if self.path.exists():
            raise OnnxbinError(
                f"{self.path}: is of a reshaping that was stopped: go on with it by --resume, or delete it"
            )

    def write(self, progress: Progress, network: ModelProto, state: Arrays) -> None:
        """Replace it."""
        content = {"format": FORMAT, "asked": self._asked, **asdict(progress)}
        # A model with a state of training is far below the 2 GiB of a message, or could not be trained here.
        stored = np.frombuffer(network.SerializeToString(), np.uint8)
        write_state(self.path, content, {"network": stored, **{f"training/{k}": v for k, v in state.items()}})

    def read(self) -> tuple[Progress, ModelProto, Arrays]:
        """What was written last. Raises OnnxbinError where that is nothing, damaged, or something else."""
        if not self.path.exists():
            raise OnnxbinError(
                f"{self.path}: no such file: nothing was stopped that --resume could go on with"
            )
        try:
            content, arrays = read_state(self.path)
            found, asked = content["format"], dict(content["asked"])
            network = ModelProto()
            network.ParseFromString(arrays["network"].tobytes())
            progress = Progress(
                tuple((str(name), typed(Measured, measured)) for name, measured in content["phases"]),
                tuple(typed(Dropped, dropped) for dropped in content["dropped"]),
                {reason: tuple(names) for reason, names in content["left_alone"].items()},
            )
        except Exception as error:  # of damaged files, zipfile, NumPy, json and protobuf raise many kinds
            raise OnnxbinError(f"{self.path}: is damaged: {first_line(error)}; delete it") from None
        if found != FORMAT:
            raise OnnxbinError(f"{self.path}: is of format {found}, expected {FORMAT}; delete it")
        for name, value in self._asked.items():
            if asked.get(name) != value:
                raise OnnxbinError(
                    f"{self.path}: was begun with another {name}; give what it was begun with, or delete it"
                )
        parts = (key.partition("/") for key in arrays)
        return progress, network, {name: arrays[f"training/{name}"] for kind, _, name in parts if name}

    def remove(self) -> None:
        """It is no longer needed."""
        self.path.unlink(missing_ok=True)
