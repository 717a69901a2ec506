"""An ONNX file in and out: reading with clear errors, metadata, checked and atomic writing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google.protobuf.message
import onnx
import onnx.checker
from onnx import ModelProto

from onnxbin.errors import OnnxbinError, first_line
from onnxbin.large import MESSAGE, as_message, load_external, serialized, to_check

LARGEST = 16 * 2**30
"""Bytes of a model with all the files that its tensors are in."""

MOST_SUBGRAPHS = 1000
"""Of If, Loop and Scan, however deep: the time that onnx_graphsurgeon takes grows with their square."""


@dataclass(frozen=True)
class Model:
    """A model as it was read.

    proto: all tensors loaded, also those that were stored outside the file; of a model of more than 2 GiB all
    but the large ones, see onnxbin.large.
    path: where it came from. external: the files of its external data. file_bytes: the size of all of them.
    sha256: of the file and those of its external data, one after another, in hexadecimal.
    """

    proto: ModelProto
    path: Path
    external: tuple[Path, ...]
    file_bytes: int
    sha256: str


def load(path: str | os.PathLike[str]) -> Model:
    """Read and check an ONNX file; OnnxbinError says what is wrong with it."""
    path = Path(path)
    try:
        if path.is_dir():
            raise OnnxbinError(f"{path}: is a folder, expected an ONNX file")
        if path.exists() and not path.is_file():  # a pipe or a device may have no end
            raise OnnxbinError(f"{path}: is not a regular file, expected an ONNX file")
        if path.stat().st_size > MESSAGE:
            raise OnnxbinError(f"{path}: has {path.stat().st_size} bytes, at most 2 GiB can be read")
        content = path.read_bytes()
    except OSError as error:
        raise OnnxbinError(f"{path}: cannot be read: {error.strerror or error}") from None
    proto = _parse(path, content)
    try:
        external = external_data_files(proto, path.parent)
        size = len(content) + sum(file.stat().st_size for file in external)
        if size > LARGEST:
            raise OnnxbinError(f"{path}: has {size} bytes with its external data, at most 16 GiB can be read")
        load_external(proto, path.parent, size)
        _check_subgraphs(path, proto)
        onnx.checker.check_model(to_check(proto))
        digest = _digest(content, external)
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise OnnxbinError(f"{path}: not a valid ONNX model: {first_line(error)}") from None
    return Model(proto, path, tuple(external), size, digest)


def _digest(content: bytes, external: list[Path]) -> str:
    digest = hashlib.sha256(content)
    for path in external:
        with path.open("rb") as file:
            while part := file.read(2**20):
                digest.update(part)
    return digest.hexdigest()


def _parse(path: Path, content: bytes) -> ModelProto:
    if not content:
        raise OnnxbinError(f"{path}: is empty, expected an ONNX file")
    proto = ModelProto()
    try:
        proto.ParseFromString(content)
    except google.protobuf.message.DecodeError:
        raise OnnxbinError(
            f"{path}: not an ONNX file, or cut short ({_what_it_looks_like(content)})"
        ) from None
    # Protobuf reads almost any short byte string as some message: ask for what every model has.
    if not proto.ir_version or not proto.opset_import or not proto.graph.node:
        raise OnnxbinError(f"{path}: not an ONNX model: it has no IR version, no opset or no nodes")
    return proto


_SIGNATURES = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"PK\x03\x04": "a zip archive, as PyTorch and many others write",
    b"\x1f\x8b": "gzip-compressed data",
    b"version https://git-lfs": "a Git LFS pointer: fetch the real file with `git lfs pull`",
    b"<": "a web page or XML: was it saved from a download page?",
}


def _what_it_looks_like(content: bytes) -> str:
    if content[4:8] == b"TFL3":
        return "it looks like a TensorFlow Lite model"
    for signature, name in _SIGNATURES.items():
        if content.startswith(signature):
            return f"it looks like {name}"
    return f"its {len(content)} bytes do not parse"


def _check_subgraphs(path: Path, proto: ModelProto) -> None:
    count = 0
    waiting = [proto.graph]
    while waiting:
        for attribute in (a for node in waiting.pop().node for a in node.attribute):
            waiting += [attribute.g] if attribute.HasField("g") else attribute.graphs
        count += 1
        if count + len(waiting) > MOST_SUBGRAPHS:
            raise OnnxbinError(f"{path}: has more than {MOST_SUBGRAPHS} subgraphs, which no network has")


def external_data_files(proto: ModelProto, folder: Path) -> list[Path]:
    """The files that hold tensors of this model outside its own file, all of them below its folder.

    Raises OnnxbinError where one is elsewhere or missing, or where the tensors are said to be larger than
    2 GiB and than the files.
    """
    found = set()
    total = 0
    for tensor in onnx.external_data_helper._get_all_tensors(proto):
        if onnx.external_data_helper.uses_external_data(tensor):
            info = onnx.external_data_helper.ExternalDataInfo(tensor)
            where = f"{folder}: tensor {tensor.name!r} is stored in {info.location!r}"
            file = folder / info.location
            if not file.resolve().is_relative_to(folder.resolve()):
                raise OnnxbinError(f"{where}, outside the model's folder; nothing is read from there")
            if not file.is_file():
                raise OnnxbinError(f"{where}, missing")
            found.add(file)
            total += info.length or file.stat().st_size  # many tensors may claim the same bytes
    if total > max(MESSAGE, sum(file.stat().st_size for file in found)):
        raise OnnxbinError(f"{folder}: its tensors claim {total} bytes, more than their files hold")
    return sorted(found)


def save(proto: ModelProto, path: str | os.PathLike[str]) -> int:
    """Check a model in full and write it atomically: the file is there whole, or not at all.

    Returns the bytes written.
    """
    check(proto)
    content = serialized(proto)
    write_atomically(Path(path), content)
    return len(content)


def check(proto: ModelProto) -> None:
    """The full ONNX check, with shape inference; OnnxbinError says what it finds."""
    try:
        onnx.checker.check_model(as_message(proto), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise OnnxbinError(f"the model would not pass the ONNX checker: {first_line(error)}") from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that no reader, crash or full disk ever sees half of it."""
    with naming_write_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def check_writable(path: Path) -> None:
    """Raise OnnxbinError now if `path` could not be written later, after hours of work."""
    with naming_write_errors(path):
        if path.is_dir():
            raise OnnxbinError(f"{path}: is a folder, expected the name of the file to write")
        if path.exists() and not path.is_file():
            raise OnnxbinError(f"{path}: cannot be written: it is not a regular file")
        if path.exists() and not os.access(path, os.W_OK):
            raise OnnxbinError(f"{path}: cannot be written: the file is read-only")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        Path(name).unlink()


@contextlib.contextmanager
def naming_write_errors(path: Path) -> Iterator[None]:
    """What the system says of a failed write becomes an OnnxbinError with the file's name."""
    try:
        yield
    except OSError as error:
        raise OnnxbinError(f"{path}: cannot be written: {error.strerror or error}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def metadata(proto: ModelProto) -> dict[str, str]:
    """The model's metadata_props as a dict."""
    return {entry.key: entry.value for entry in proto.metadata_props}


def set_metadata(proto: ModelProto, values: dict[str, str]) -> None:
    """Set metadata_props in place; other keys stay as they are."""
    kept = {**metadata(proto), **values}
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, kept)


def opset(proto: ModelProto) -> int:
    """The model's opset of the standard domain."""
    return next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 1)
