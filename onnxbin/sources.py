"""Where models come from, a file, the ONNX model zoo, Hugging Face; and where what is made of them goes.

`fetch` turns a name of any kind into a local file; what is downloaded is checked and kept in a cache.

* `hub:tiny-yolov3` is looked up in the manifest of the ONNX model zoo. The module onnx.hub did that, which
  newer releases of onnx no longer have: the zoo's files moved to Hugging Face, where they lie under the paths
  that the manifest states. Wherever a file comes from, it must have the manifest's SHA-256. The environment
  variable ONNXBIN_HUB names another hub: a folder or URL with an ONNX_HUB_MANIFEST.json. The cache is the
  folder that onnx.hub used.
* `hf:owner/name/model.onnx` is fetched by the package huggingface_hub, with its cache, its tokens and its
  environment variables (HF_HOME, HF_TOKEN, HF_ENDPOINT).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import google.protobuf.message
import onnx

from onnxbin.errors import OnnxbinError, first_line
from onnxbin.model import Model, check_writable, write_atomically

HUB, HUGGING_FACE = "hub:", "hf:"

MANIFEST = "ONNX_HUB_MANIFEST.json"
_ZOO_MANIFEST = f"https://raw.githubusercontent.com/onnx/models/main/{MANIFEST}"
_ZOO_FILES = "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/"

_TIMEOUT = 30  # seconds without a byte
_CHUNK = 1 << 20


def fetch(source: str | os.PathLike[str]) -> Path:
    """The local file of a model: `hub:NAME`, `hf:OWNER/NAME/FILE`, or a path, which is returned as it is.

    Files fetched before are taken from the cache, without a network. Raises OnnxbinError where there is no
    such model, where it cannot be fetched, or where it is not the file that was announced.
    """
    name = os.fspath(source)
    if name.startswith(HUB):
        return _Hub.of_environment().fetch(name)
    if name.startswith(HUGGING_FACE):
        return _from_hugging_face(name)
    return Path(name)


def default_output(model: Path, suffix: str) -> Path:
    """Where to write what is made from a model: beside it, or, for one out of a cache, in the working folder.

    >>> default_output(Path("models/net.onnx"), ".binary.onnx")
    PosixPath('models/net.binary.onnx')
    """
    beside = model.with_suffix(suffix)
    fetched = any(model.absolute().is_relative_to(cache) for cache in _caches())
    return Path(beside.name) if fetched else beside


def output_file(output: Path | None, original: Model, suffix: str) -> Path:
    """The file to write, with links followed: `output`, or the default. OnnxbinError where it cannot be."""
    target = (output or default_output(original.path, suffix)).resolve()
    if target in [file.resolve() for file in (original.path, *original.external)]:
        raise OnnxbinError(f"{target}: is the model itself, or a part of it; name another output file")
    check_writable(target)
    return target


def _caches() -> Iterator[Path]:
    yield _hub_cache()
    try:
        from huggingface_hub import constants
    except ModuleNotFoundError:
        return
    yield from (Path(constants.HF_HUB_CACHE), Path(constants.HF_HOME))


def _hub_cache() -> Path:
    """The folder that onnx.hub used."""
    if home := os.environ.get("ONNX_HOME"):
        return Path(home, "hub").absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "onnx", "hub").absolute()


@dataclass(frozen=True)
class _Entry:
    """One model of a manifest. path: of its file, in the hub. sha256: of its content, in hexadecimal."""

    name: str
    path: str
    opset: int
    sha256: str


@dataclass(frozen=True)
class _Hub:
    """manifest: the URL of the list of models. files: the URL that the paths in it are relative to."""

    manifest: str
    files: str

    @classmethod
    def of_environment(cls) -> _Hub:
        """The hub that ONNXBIN_HUB names; the ONNX model zoo where it names none."""
        other = os.environ.get("ONNXBIN_HUB")
        if not other:
            return cls(_ZOO_MANIFEST, _ZOO_FILES)
        base = other if "://" in other else Path(other).absolute().as_uri()
        return cls(f"{base.rstrip('/')}/{MANIFEST}", f"{base.rstrip('/')}/")

    def fetch(self, name: str) -> Path:
        """The file of the model called `hub:...`."""
        entry = self._entry(name)
        target = _hub_cache() / entry.sha256 / PurePosixPath(entry.path).name
        if not target.is_file() or _sha256(target) != entry.sha256:
            self._download(name, entry, target)
        return target

    def _entry(self, name: str) -> _Entry:
        """The newest opset of the model; letter case, blanks and dashes in its name do not matter."""
        entries = self._entries(name)
        wanted = _plain(name.removeprefix(HUB))
        found = [entry for entry in entries if _plain(entry.name) == wanted]
        if not found:
            names = {_plain(entry.name): entry.name for entry in entries}
            close = [names[key] for key in difflib.get_close_matches(wanted, names)]
            hint = f"; there is {', '.join(close)}" if close else ""
            raise OnnxbinError(
                f"{name}: no model of that name among the {len(names)} of {self.manifest}{hint}"
            )
        return max(found, key=lambda entry: entry.opset)

    def _entries(self, name: str) -> list[_Entry]:
        """All models of the manifest; without a network, of the manifest as it was last seen."""
        kept = _hub_cache() / f"{hashlib.sha256(self.manifest.encode()).hexdigest()[:16]}.manifest.json"
        try:
            with _opened(self.manifest) as response:
                content = response.read()
        except OSError as error:
            if not kept.is_file():
                raise OnnxbinError(
                    f"{name}: the list of models cannot be fetched from {self.manifest}: {_reason(error)}; "
                    "without a network, name a file"
                ) from None
            content = kept.read_bytes()
        try:
            entries = [_entry_of(item) for item in json.loads(content)]
        except (KeyError, TypeError, ValueError):
            raise OnnxbinError(f"{name}: {self.manifest} is not an ONNX hub manifest") from None
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, content)
        return entries

    def _download(self, name: str, entry: _Entry, target: Path) -> None:
        url = self.files + entry.path
        handle, part = tempfile.mkstemp(dir=_hub_cache(), suffix=".part")
        try:
            digest = hashlib.sha256()
            with os.fdopen(handle, "wb") as file, _opened(url) as response:
                while chunk := response.read(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != entry.sha256:
                raise OnnxbinError(
                    f"{name}: {url} has the SHA-256 {digest.hexdigest()[:12]}..., the manifest says "
                    f"{entry.sha256[:12]}...: another file than was announced; it was not kept"
                )
            target.parent.mkdir(exist_ok=True)
            Path(part).replace(target)
        except OSError as error:
            raise OnnxbinError(f"{name}: cannot be fetched from {url}: {_reason(error)}") from None
        finally:
            Path(part).unlink(missing_ok=True)


def _entry_of(item: Any) -> _Entry:
    sha256 = item["metadata"]["model_sha"]
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError("not a SHA-256")
    return _Entry(str(item["model"]), str(item["model_path"]), int(item["opset_version"]), sha256)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _opened(url: str) -> IO[bytes]:
    response: IO[bytes] = urllib.request.urlopen(url, timeout=_TIMEOUT)
    return response


def _reason(error: OSError) -> str:
    """Why a URL could not be read, in one line; URLError wraps what it met."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return (inner.strerror if isinstance(inner, OSError) else None) or str(inner)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _from_hugging_face(name: str) -> Path:
    owner, repository, file = (*name.removeprefix(HUGGING_FACE).split("/", 2), "", "")[:3]
    if not (owner and repository and file):
        raise OnnxbinError(f"{name}: expected hf:OWNER/NAME/FILE, such as hf:owner/detector/model.onnx")
    try:
        import huggingface_hub as hub
    except ModuleNotFoundError:
        raise OnnxbinError(f"{name}: needs huggingface_hub: `pip install 'onnxbin[hub]'`") from None
    path = _hugging_face_file(name, f"{owner}/{repository}", file)
    if locations := _external_locations(path):
        # The cache consists of links, and onnx follows none to external data: such models get a folder.
        folder = Path(hub.constants.HF_HOME, "onnxbin", owner, repository)
        for part in (PurePosixPath(file).parent / location for location in locations):
            _hugging_face_file(name, f"{owner}/{repository}", str(part), folder)
        return _hugging_face_file(name, f"{owner}/{repository}", file, folder)
    return path


def _hugging_face_file(name: str, repository: str, file: str, folder: Path | None = None) -> Path:
    """One file of a repository, in the cache, or else under its own path in `folder`."""
    import huggingface_hub as hub

    try:
        path = Path(hub.hf_hub_download(repository, file, local_dir=folder))
    except hub.errors.LocalEntryNotFoundError:
        raise OnnxbinError(
            f"{name}: cannot be fetched from {hub.constants.ENDPOINT} and is not in the cache; "
            "without a network, name a file"
        ) from None
    except hub.errors.EntryNotFoundError:
        raise OnnxbinError(f"{name}: the repository {repository} has no file {file}") from None
    except hub.errors.GatedRepoError:
        raise OnnxbinError(
            f"{name}: accept the terms of {repository} on its page first, then log in with `hf auth login`"
        ) from None
    except hub.errors.RepositoryNotFoundError:
        raise OnnxbinError(
            f"{name}: no repository {repository} at {hub.constants.ENDPOINT}; "
            "a private one needs `hf auth login`"
        ) from None
    except Exception as error:  # its own types, those of the HTTP client, and OSErrors
        raise OnnxbinError(f"{name}: cannot be fetched: {first_line(error)}") from None
    # Large files lie in its cache under their SHA-256.
    announced = path.resolve().name
    if re.fullmatch("[0-9a-f]{64}", announced) and _sha256(path) != announced:
        raise OnnxbinError(
            f"{path}: is damaged: its SHA-256 is not {announced}; delete it and fetch it again"
        )
    return path


def _external_locations(path: Path) -> list[str]:
    """Where a model keeps tensors outside its file, relative to it; none for what is not a model."""
    try:
        proto = onnx.load(path, load_external_data=False)
    except google.protobuf.message.DecodeError:
        return []
    tensors = onnx.external_data_helper._get_all_tensors(proto)
    locations = {
        onnx.external_data_helper.ExternalDataInfo(tensor).location
        for tensor in tensors
        if onnx.external_data_helper.uses_external_data(tensor)
    }
    return sorted(location for location in locations if _is_below(PurePosixPath(location)))


def _is_below(path: PurePosixPath) -> bool:
    return not path.is_absolute() and ".." not in path.parts
