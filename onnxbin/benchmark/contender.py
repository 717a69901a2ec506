"""One row of a benchmark: a file, the runtime it is run in, and what it is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime
from onnx import ModelProto

from onnxbin.errors import OnnxbinError, first_line
from onnxbin.operator import session
from onnxbin.operator.function import DOMAIN

Feed = dict[str, npt.NDArray[Any]]
"""Input name -> array, as InferenceSession.run takes it."""


@dataclass(frozen=True, eq=False)
class Contender:
    """name: what people call it, with its file. path: its file. proto: what is in it, all tensors loaded.

    file_bytes: its size. kernels: whether it runs on our operator library, not in the stock runtime.
    feeds: inputs to run it on, in turns.
    """

    name: str
    path: Path
    proto: ModelProto
    file_bytes: int
    kernels: bool
    feeds: Sequence[Feed]

    def session(
        self, threads: int, *, content: bytes | None = None, profile: Path | None = None
    ) -> onnxruntime.InferenceSession:
        """An ONNX Runtime session on the CPU.

        content: a serialized model to open instead of the file. profile: where ONNX Runtime's profiler
        writes, the beginning of a file name; not profiled without.
        Raises OnnxbinError where the model cannot be loaded.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised; what it warns of is at no loss here
        options.intra_op_num_threads = threads
        # By default the threads of a session keep spinning after its run, and would take the cores from the
        # contender whose turn is next; and where other programs run, spinning threads wait for those that
        # the system has set aside.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        source = self.path if content is None else content
        if self.kernels:
            return session(source, options)
        try:
            return onnxruntime.InferenceSession(
                source if isinstance(source, bytes) else str(source),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime has no base class of its own for what it raises
            raise OnnxbinError(f"{self.name}: ONNX Runtime cannot load it: {first_line(error)}") from None

    def run(self, session: onnxruntime.InferenceSession, number: int) -> object:
        """Run a session on one of the feeds; `number` counts on, and at their end they start over."""
        try:
            return session.run(None, self.feeds[number % len(self.feeds)])
        except Exception as error:  # as above
            raise OnnxbinError(f"{self.name}: fails when it is run: {first_line(error)}") from None


def is_compressed(proto: ModelProto) -> bool:
    """Whether it has nodes of ours."""
    return any(node.domain == DOMAIN for node in proto.graph.node)
