"""What models are fed: the right names, types and sizes, the same each time."""

import graphs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from onnxbin import model as files
from onnxbin.benchmark.inputs import inputs
from onnxbin.errors import OnnxbinError
from onnxbin.images import choose


def given(path, images=None, size=None):
    model = files.load(path)
    return inputs(model, choose(model.proto), images, size)


def saved(path, **values):
    """A model of Identities, one for each input: name=(type, shape)."""
    ports = [helper.make_tensor_value_info(name, *value) for name, value in values.items()]
    outputs = [helper.make_tensor_value_info(f"{name}.y", *value) for name, value in values.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}.y"]) for name in values]
    graph = helper.make_graph(nodes, "graph", ports, outputs)
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def test_rendered_images_are_the_same_each_time(path):
    path.write_bytes(graphs.chain([4], shape=(1, 3, 24, 32)).SerializeToString())
    first, second = (list(given(path).feeds(3)) for _ in range(2))
    assert len(first) == 3
    for a, b in zip(first, second, strict=True):
        assert a["x"].shape == (1, 3, 24, 32)
        np.testing.assert_array_equal(a["x"], b["x"])
    assert not np.array_equal(first[0]["x"], first[1]["x"])


def test_photographs_are_fed_as_the_model_wants_them(path, tmp_path):
    saved(path, image=(TensorProto.UINT8, [1, 8, 8, 3]))
    Image.new("RGB", (20, 20), (10, 20, 30)).save(tmp_path / "photo.png")
    (feed,) = given(path, tmp_path).feeds(5)
    assert feed["image"].dtype == np.uint8
    np.testing.assert_array_equal(feed["image"], np.full((1, 8, 8, 3), (10, 20, 30)))


def test_other_inputs_get_noise_of_their_type(path):
    saved(
        path,
        image=(TensorProto.FLOAT, ["n", 3, 8, 8]),
        size=(TensorProto.INT64, ["n", 2]),
        state=(TensorProto.FLOAT16, [4, 5]),
    )
    (feed,), (again,) = (given(path).feeds(1) for _ in range(2))
    assert all(np.array_equal(feed[name], again[name]) for name in feed)
    found = {name: (value.dtype, value.shape) for name, value in feed.items()}
    assert found == {
        "image": (np.float32, (1, 3, 8, 8)),
        "size": (np.int64, (1, 2)),
        "state": (np.float16, (4, 5)),
    }


def test_models_without_images_get_noise_only(path):
    saved(path, tokens=(TensorProto.INT64, [1, 7]))
    found = given(path)
    assert found.images is None
    assert [feed["tokens"].shape for feed in found.feeds(8)] == [(1, 7)]


def test_an_open_size_is_given_or_named(path):
    path.write_bytes(graphs.chain([4], shape=(1, 3, "h", "w")).SerializeToString())
    (feed,) = given(path, size=(16, 24)).feeds(1)
    assert feed["x"].shape == (1, 3, 16, 24)
    with pytest.raises(OnnxbinError, match=r"model\.onnx: .*\[1, 3, h, w\].*--input-size"):
        given(path)


def test_images_for_a_model_that_takes_none(path, tmp_path):
    saved(path, tokens=(TensorProto.INT64, [1, 7]))
    with pytest.raises(OnnxbinError, match="0 image inputs"):
        given(path, tmp_path)


def test_strings_cannot_be_made_up(path):
    saved(path, text=(TensorProto.STRING, [1]))
    with pytest.raises(OnnxbinError, match="'text' takes strings"):
        given(path)


def test_initializers_listed_as_inputs_are_not_fed(path):
    proto = graphs.chain([4], shape=(1, 3, 8, 8))
    listed = proto.graph.initializer[0]
    proto.graph.input.append(helper.make_tensor_value_info(listed.name, listed.data_type, listed.dims))
    path.write_bytes(proto.SerializeToString())
    onnx.checker.check_model(proto)
    (feed,) = given(path).feeds(1)
    assert list(feed) == ["x"]


@pytest.mark.parametrize("shape", [[1, 3, 1 << 20, 1 << 20], [1, 3, -4, 8], [1 << 40, 1 << 40]])
def test_sizes_that_no_input_has_are_refused(path, shape):
    saved(path, x=(TensorProto.FLOAT, shape))
    with pytest.raises(
        OnnxbinError, match=r"input 'x' \[.*\]: expected sizes from 1 on, and at most 100,000,000"
    ):
        given(path)
