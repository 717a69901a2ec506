"""What is no file as it should be: folders, pipes, links, devices; tensors that are stored elsewhere."""

import os

import onnx
import pytest
from onnx import TensorProto

COMMANDS = {
    "inspect": ["inspect", "FILE"],
    "compress": ["compress", "FILE", "--no-finetune"],
    "detect": ["detect", "FILE", "IMAGES", "-o", "found"],
    "evaluate": ["evaluate", "FILE", "--images", "IMAGES", "--against", "MODEL"],
    "bench": ["bench", "FILE"],
    "profile": ["profile", "FILE"],
    "compressed of profile": ["profile", "MODEL", "FILE"],
    "import": ["import", "FILE"],
    "export": ["export", "FILE", "--inline", "-o", "out.onnx"],
    "report": ["report", "FILE"],
    "reshape": ["reshape", "FILE"],
    "resume": ["compress", "--resume", "FILE"],
    "images of compress": ["compress", "MODEL", "--no-finetune", "--images", "FILE", "-o", "out.onnx"],
    "images of detect": ["detect", "MODEL", "FILE", "-o", "found"],
    "labels": ["evaluate", "MODEL", "--data", "FILE"],
}


def make(path, kind):
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder of itself":
        path.mkdir()
        (path / "again").symlink_to(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "empty":
        path.touch()
    elif kind == "folder of pipes":
        path.mkdir()
        for suffix in ("jpg", "png", "txt", "xml", "json", "onnx"):
            os.mkfifo(path / f"a.{suffix}")


KINDS = ["folder", "pipe", "loop", "folder of itself", "endless", "empty", "folder of pipes"]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_regular_files(commands, good, tmp_path, command):
    for kind in KINDS:
        for suffix in {"images of compress": [".txt"], "images of detect": [".jpg"], "labels": [".json"]}.get(
            command, [".onnx"]
        ):
            folder = tmp_path / kind
            folder.mkdir()
            make(folder / f"file{suffix}", kind)
            values = {"FILE": folder / f"file{suffix}", "MODEL": good.model, "IMAGES": good.images}
            commands.refused(folder, *[values.get(a, a) for a in COMMANDS[command]])


def stored_in(good, folder, location, **fields):
    """The model, one of its weights stored at a location."""
    model = onnx.load(good.model)
    tensor = next(t for t in model.graph.initializer if t.name == "w1")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **fields}.items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_tensors_stay_in_the_models_folder(commands, good, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64 * 64 * 9 * 4))
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "link").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    for location in (
        str(secret),
        "../secret",
        "sub/../../secret",
        "link",
        "linked/secret",
        "/etc/passwd",
        ".",
    ):
        path = stored_in(good, folder, location)
        for command in (["inspect"], ["compress", "--no-finetune"], ["import"], ["bench"]):
            said = commands.refused(folder, command[0], path, *command[1:])
            assert "outside the model's folder" in said or "missing" in said, said


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": "-1"},
        {"offset": "x"},
        {"offset": str(2**62)},
        {"length": "-5"},
        {"length": str(2**62)},
        {"length": "1e3"},
        {"length": "7"},
        {"checksum": "0"},
        {"unknown": "0"},
    ],
)
def test_claims_of_stored_tensors(commands, good, tmp_path, fields):
    (tmp_path / "data").write_bytes(bytes(64 * 64 * 9 * 4))
    for command in (["inspect"], ["import"]):
        commands.run(tmp_path, *command, stored_in(good, tmp_path, "data", **fields))


def test_many_tensors_of_the_same_bytes(commands, tmp_path, good):
    """A small model may not make 100 GB out of one file of 1 GB, which is all holes."""
    with (tmp_path / "data").open("wb") as file:
        file.truncate(1 << 30)
    model = onnx.load(good.model)
    for number in range(100):
        tensor = model.graph.initializer.add(name=f"t{number}", data_type=TensorProto.UINT8, dims=[1 << 30])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="data")
    path = tmp_path / "many" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(model.SerializeToString())
    (tmp_path / "data").rename(path.parent / "data")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert "more than their files hold" in commands.refused(folder, "inspect", path)
