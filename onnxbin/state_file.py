"""The state of something that is under way, in one file: JSON, and arrays by name.

Reading it runs no code from it, and nothing in it is larger than the file, whatever the file says.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxbin import model as files

Arrays = Mapping[str, npt.NDArray[Any]]


def write_state(path: Path, progress: Any, state: Arrays) -> None:
    """Replace the file atomically. progress: JSON values."""
    text = json.dumps(progress).encode()
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"state/{key}": value for key, value in state.items()}
    np.savez(buffer, progress=np.frombuffer(text, np.uint8), **arrays)
    files.write_atomically(path, buffer.getvalue())


def read_state(path: Path) -> tuple[Any, Arrays]:
    """What was written. Damaged files raise what zipfile, NumPy and json have, of many kinds."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("is compressed")
    with np.load(path, allow_pickle=False) as content:
        arrays = {key: content[key] for key in content.files}
    progress = json.loads(arrays.pop("progress").tobytes())
    return progress, {key.partition("/")[2]: value for key, value in arrays.items()}
