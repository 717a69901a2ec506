from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageInput


def model(*inputs: tuple[str, int, list[Any] | None], weights: tuple[str, ...] = ()) -> onnx.ModelProto:
    """A graph with these inputs, of which `weights` are initializers too; it computes nothing."""
    values = [helper.make_tensor_value_info(*value) for value in inputs]
    initializers = [helper.make_tensor(name, TensorProto.FLOAT, [1], [0.0]) for name in weights]
    return helper.make_model(helper.make_graph([], "graph", values, [], initializers))


def test_layout_type_and_size() -> None:
    assert ImageInput.of(model(("x", TensorProto.FLOAT, [1, 3, 32, 64]))) == ImageInput("x", 32, 64)
    nhwc = ImageInput.of(model(("x", TensorProto.UINT8, ["n", 32, 64, 3])))
    assert nhwc == ImageInput("x", 32, 64, "NHWC", "uint8")
    assert nhwc.shape == (32, 64, 3)
    assert ImageInput.of(model(("x", TensorProto.FLOAT16, [1, 3, 8, 8]))).dtype == "float16"


def test_weights_listed_as_inputs_are_no_images() -> None:
    graph = model(
        ("w", TensorProto.FLOAT, [8, 3, 3, 3]), ("x", TensorProto.FLOAT, [1, 3, 32, 32]), weights=("w",)
    )
    assert ImageInput.of(graph).name == "x"


def test_an_open_size_must_be_given_and_a_given_size_must_fit() -> None:
    dynamic = model(("x", TensorProto.FLOAT, ["n", 3, "h", "w"]))
    with pytest.raises(OnnxbinError, match=r"'x' \[n, 3, h, w\].*give the size"):
        ImageInput.of(dynamic)
    assert ImageInput.of(dynamic, (320, 640)) == ImageInput("x", 320, 640)
    half_open = model(("x", TensorProto.FLOAT, [1, 3, 320, "w"]))
    assert ImageInput.of(half_open, (320, 640)) == ImageInput("x", 320, 640)
    with pytest.raises(OnnxbinError, match="416x640 does not fit"):
        ImageInput.of(half_open, (416, 640))


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [
        (model(), "0 image inputs.*none"),
        (model(("x", TensorProto.FLOAT, [1, 1, 32, 32])), r"0 image inputs.*'x' \[1, 1, 32, 32\]"),
        (model(("x", TensorProto.FLOAT, None)), "0 image inputs"),
        (model(*[(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in "ab"]), "2 image inputs"),
        (model(("x", TensorProto.DOUBLE, [1, 3, 32, 32])), "'x' is double"),
    ],
)
def test_anything_else_is_refused_in_one_line(graph: onnx.ModelProto, complaint: str) -> None:
    with pytest.raises(OnnxbinError, match=complaint) as error:
        ImageInput.of(graph)
    assert "\n" not in str(error.value)


def test_feed_stacks_and_casts_to_the_models_type() -> None:
    tensors = [np.full((2, 2, 3), value, np.float32) for value in (-3, 254.6, 300)]
    fed = ImageInput("x", 2, 2, "NHWC", "uint8").feed(tensors)
    assert fed["x"].dtype == np.uint8
    assert fed["x"][:, 0, 0, 0].tolist() == [0, 255, 255]
    assert ImageInput("x", 2, 2, "NHWC", "float16").feed(tensors)["x"].dtype == np.float16
