"""Reading and writing: one clear line for a bad file, whole files or none."""

import errno
import os
import stat

import graphs
import onnx
import pytest

from onnxbin import OnnxbinError, model


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xff\xd8\xff\xe0 JFIF", "looks like a JPEG image"),
        (b"PK\x03\x04 zip", "zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<!doctype html><html>", "web page"),
        (b"\x1c\x00\x00\x00TFL3 flat buffer", "TensorFlow Lite"),
        (graphs.chain([8, 8]).SerializeToString()[:-100], "not an ONNX file, or cut short"),
        (onnx.ModelProto(producer_name="someone").SerializeToString(), "not an ONNX model"),
    ],
)
def test_what_is_not_a_model_is_told_in_one_line(tmp_path, content, message):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(OnnxbinError, match=message) as error:
        model.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(OnnxbinError, match="No such file"):
        model.load(tmp_path / "none.onnx")
    with pytest.raises(OnnxbinError, match="is a folder"):
        model.load(tmp_path)


def test_invalid_graphs_are_refused(tmp_path):
    proto = graphs.chain([4])
    proto.graph.node[0].input[0] = "nowhere"
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(OnnxbinError, match="not a valid ONNX model"):
        model.load(path)


def test_external_data_is_loaded_and_counted(tmp_path):
    proto = graphs.chain([64])
    path = tmp_path / "model.onnx"
    onnx.save(graphs.chain([64]), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    loaded = model.load(path)
    assert loaded.file_bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert loaded.proto.graph.initializer[0].raw_data == proto.graph.initializer[0].raw_data
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(OnnxbinError, match=r"'weights.bin', missing"):
        model.load(path)


def test_save_and_load_are_inverse(tmp_path):
    proto = graphs.chain([4, 4])
    path = tmp_path / "model.onnx"
    assert model.save(proto, path) == path.stat().st_size
    assert model.load(path).proto == proto
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~model._umask()


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OnnxbinError, match="No space left on device"):
        model.write_atomically(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_bytes() == b"old"


def test_what_cannot_be_written_is_known_beforehand(tmp_path):
    with pytest.raises(OnnxbinError, match="No such file or directory"):
        model.check_writable(tmp_path / "none" / "model.onnx")
    with pytest.raises(OnnxbinError, match="is a folder"):
        model.check_writable(tmp_path)
    model.check_writable(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_metadata_is_added_beside_what_is_there():
    proto = graphs.chain([4])
    model.set_metadata(proto, {"a": "1"})
    model.set_metadata(proto, {"b": "2", "a": "3"})
    assert model.metadata(proto) == {"a": "3", "b": "2"}
