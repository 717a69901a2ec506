"""Models are fetched by the real loading code: from a hub in a folder, and from a server that answers as
Hugging Face does."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import graphs
import onnx
import pytest

from onnxbin import OnnxbinError
from onnxbin.sources import default_output, fetch

SMALL = graphs.chain([4, 4], shape=(1, 3, 8, 8)).SerializeToString()
NEWER = graphs.chain([4, 6], shape=(1, 3, 8, 8)).SerializeToString()


def entry(name, opset, path, content):
    """One model of a manifest, as the ONNX model zoo writes it."""
    metadata = {"model_sha": hashlib.sha256(content).hexdigest(), "model_bytes": len(content), "tags": []}
    return {
        "model": name,
        "model_path": path,
        "onnx_version": "1.6",
        "opset_version": opset,
        "metadata": metadata,
    }


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub in a folder, and an empty cache."""
    folder = tmp_path / "hub"
    (folder / "vision").mkdir(parents=True)
    (folder / "vision" / "tiny-8.onnx").write_bytes(SMALL)
    (folder / "vision" / "tiny-11.onnx").write_bytes(NEWER)
    manifest = [
        entry("Tiny YOLOv3", 8, "vision/tiny-8.onnx", SMALL),
        entry("Tiny YOLOv3", 11, "vision/tiny-11.onnx", NEWER),
        entry("replaced", 8, "vision/tiny-8.onnx", NEWER),
        entry("gone", 8, "vision/gone.onnx", SMALL),
    ]
    (folder / "ONNX_HUB_MANIFEST.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("ONNXBIN_HUB", str(folder))
    monkeypatch.setenv("ONNX_HOME", str(tmp_path / "cache"))
    return folder


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["hub:tiny-yolov3", "hub:Tiny YOLOv3", "hub:TINY_YOLOV3"])
def test_hub_gives_the_newest_opset(name):
    assert fetch(name).read_bytes() == NEWER


def test_hub_works_from_the_cache_when_the_network_is_gone(hub):
    fetched = fetch("hub:tiny-yolov3")
    (hub / "vision").rename(hub / "elsewhere")
    (hub / "ONNX_HUB_MANIFEST.json").unlink()
    assert fetch("hub:tiny-yolov3") == fetched


@pytest.mark.usefixtures("hub")
def test_hub_fetches_again_what_was_damaged_in_the_cache():
    path = fetch("hub:tiny-yolov3")
    path.write_bytes(NEWER[:100])
    assert fetch("hub:tiny-yolov3").read_bytes() == NEWER


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hub:replaced", "another file than was announced"),
        ("hub:gone", "No such file"),
        ("hub:tiny-yolov4", "there is Tiny YOLOv3"),
    ],
)
def test_hub_says_what_is_wrong_and_keeps_nothing(tmp_path, name, expected):
    with pytest.raises(OnnxbinError, match=expected):
        fetch(name)
    assert [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".json"]


@pytest.mark.parametrize("content", ["<html>", "{}", '[{"model": "m"}]', '["m"]'])
def test_hub_names_a_bad_manifest(hub, content):
    (hub / "ONNX_HUB_MANIFEST.json").write_text(content)
    expected = "no model of that name among the 0" if content == "{}" else "not an ONNX hub manifest"
    with pytest.raises(OnnxbinError, match=expected):
        fetch("hub:tiny-yolov3")


@pytest.mark.usefixtures("hub")
def test_hub_out_of_reach(monkeypatch):
    monkeypatch.setenv("ONNXBIN_HUB", "http://127.0.0.1:9")
    with pytest.raises(OnnxbinError, match=r"http://127.0.0.1:9/.*: Connection refused; without a network"):
        fetch("hub:tiny-yolov3")


@pytest.mark.usefixtures("hub")
def test_what_is_made_from_a_fetched_model_lies_in_the_working_folder(tmp_path):
    path = fetch("hub:tiny-yolov3")
    assert default_output(path, ".binary.onnx") == Path("tiny-11.binary.onnx")
    own = tmp_path / "models" / "net.onnx"
    assert default_output(own, ".binary.onnx") == tmp_path / "models" / "net.binary.onnx"


def test_a_path_is_itself():
    assert fetch("models/net.onnx") == Path("models/net.onnx")
    assert fetch(Path("net.onnx")) == Path("net.onnx")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _HuggingFace(http.server.BaseHTTPRequestHandler):
    """Answers /OWNER/NAME/resolve/main/FILE from a folder OWNER/NAME."""

    root: Path

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        repository, _, file = self.path.lstrip("/").partition("/resolve/main/")
        path = self.root / repository / file
        if not path.is_file():
            known = (self.root / repository).is_dir()
            self.send_response(404 if known else 401)
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
            self.end_headers()
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hugging_face(tmp_path):
    """A repository `zoo/detector` on a server of this machine; runs `onnxbin inspect` against it."""
    pytest.importorskip("huggingface_hub", reason="`hf:` needs the extra `hub`")
    repository = tmp_path / "server" / "zoo" / "detector"
    (repository / "onnx").mkdir(parents=True)
    (repository / "model.onnx").write_bytes(SMALL)
    big = graphs.chain([4, 6], shape=(1, 3, 8, 8))
    for tensor in big.graph.initializer:  # `save` moves only what is raw
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save(
        big,
        repository / "onnx" / "big.onnx",
        save_as_external_data=True,
        location="big.data",
        size_threshold=0,
    )

    handler = type("Handler", (_HuggingFace,), {"root": tmp_path / "server"})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(*arguments, offline=False):
        environment = {
            **os.environ,
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "1" if offline else "0",
        }
        return subprocess.run(
            [sys.executable, "-m", "onnxbin_cli", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=environment,
            cwd=tmp_path,
        )

    yield run
    server.shutdown()


def test_hugging_face(hugging_face):
    name = "hf:zoo/detector/model.onnx"
    missing = hugging_face("inspect", name, offline=True)
    assert missing.returncode == 2
    assert "is not in the cache; without a network, name a file" in missing.stderr

    assert json.loads(hugging_face("inspect", name, "--json").stdout)["bytes"] == len(SMALL)
    cached = hugging_face("inspect", name, "--json", offline=True)
    assert json.loads(cached.stdout)["bytes"] == len(SMALL)

    blob = Path(json.loads(cached.stdout)["file"]).resolve()
    blob.write_bytes(SMALL[:-1] + b"x")
    damaged = hugging_face("inspect", name, offline=True)
    assert damaged.returncode == 2
    assert "is damaged" in damaged.stderr


def test_hugging_face_model_with_external_data(hugging_face, tmp_path):
    files = (tmp_path / "server" / "zoo" / "detector" / "onnx").iterdir()
    size = sum(file.stat().st_size for file in files)
    for offline in (False, True):
        result = hugging_face("inspect", "hf:zoo/detector/onnx/big.onnx", "--json", offline=offline)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["bytes"] == size


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf:zoo/detector/none.onnx", "the repository zoo/detector has no file none.onnx"),
        ("hf:zoo/other/model.onnx", "no repository zoo/other at http://127.0.0.1"),
        ("hf:model.onnx", "expected hf:OWNER/NAME/FILE"),
    ],
)
def test_hugging_face_says_what_is_wrong(hugging_face, name, expected):
    result = hugging_face("inspect", name)
    assert result.returncode == 2
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1
