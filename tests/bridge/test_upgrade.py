"""Old opsets keep their meaning: against ONNX Runtime, which runs them as they are."""

import numpy as np
import pytest
from bridge.onnx_models import make, random, run_ort, tensors
from onnx import helper

from onnxbin.bridge import GraphModule
from onnxbin.errors import OnnxbinError


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def ints(*values):
    return np.array(values, np.int64)


def positive(*shape, seed=0):
    return np.abs(random(*shape, seed=seed)) + 0.1


IMAGE = (1, 2, 5, 5)
CASES = {  # name: (node, shape of x, constants, opset)
    "AveragePool, rounded up": (
        node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1),
        (1, 2, 6, 6),
        {},
        11,
    ),
    "BatchNormalization": (
        node("BatchNormalization", "x a b m v", "y"),
        IMAGE,
        {name: positive(2, seed=i) for i, name in enumerate("abmv")},
        8,
    ),
    "Celu": (node("Celu", "x", "y", alpha=0.3), (2, 8), {}, 12),
    "Clip, limits as attributes": (node("Clip", "x", "y", min=-0.3), IMAGE, {}, 9),
    "DFT, axis as attribute": (node("DFT", "x", "y", axis=2, onesided=1), (1, 2, 8, 1), {}, 17),
    "Dropout": (node("Dropout", "x", "y", ratio=0.3), IMAGE, {}, 9),
    "Gemm": (node("Gemm", "x w b", "y", transB=1), (2, 3), {"w": random(4, 3), "b": random(4)}, 9),
    "GridSample, modes by their old names": (
        node("GridSample", "x g", "y", mode="bicubic", padding_mode="reflection", align_corners=1),
        IMAGE,
        {"g": random(1, 4, 4, 2, seed=1) / 2},
        16,
    ),
    "LogSoftmax, over all axes behind": (node("LogSoftmax", "x", "y"), (2, 3, 4), {}, 11),
    "LSTM": (
        node("LSTM", "x w r b lengths", "h c d", hidden_size=3, direction="bidirectional"),
        (5, 2, 4),
        {
            "w": random(2, 12, 4),
            "r": random(2, 12, 3),
            "b": random(2, 24),
            "lengths": np.array([3, 5], np.int32),
        },
        7,
    ),
    "MaxRoiPool": (
        node("MaxRoiPool", "x rois", "y", pooled_shape=[2, 3], spatial_scale=0.7),
        (2, 3, 12, 12),
        {"rois": np.float32([[0, 1, 1, 9, 9], [1, 0, 2, 5, 7], [1, 9, 9, 20, 30]])},
        11,
    ),
    "MeanVarianceNormalization": (
        node("MeanVarianceNormalization", "x", "y", axes=[0, 2, 3]),
        (2, *IMAGE[1:]),
        {},
        9,
    ),
    "Pad, amounts as attribute": (
        node("Pad", "x", "y", pads=[0, 0, 1, 2, 0, 0, 1, 0], mode="reflect"),
        IMAGE,
        {},
        10,
    ),
    "QuantizeLinear": (
        node("QuantizeLinear", "x s z", "y"),
        (2, 3),
        {"s": np.float32(0.02), "z": np.uint8(120)},
        10,
    ),
    "ReduceSum, axes as attribute": (node("ReduceSum", "x", "y", axes=[-1]), (2, 3, 4), {}, 11),
    "Resize, asymmetric": (
        node("Resize", "x s", "y", mode="nearest"),
        IMAGE,
        {"s": np.float32([1, 1, 2.6, 1.5])},
        10,
    ),
    "Resize, cropped": (
        node("Resize", "x roi s", "y", mode="linear", coordinate_transformation_mode="tf_crop_and_resize"),
        IMAGE,
        {"roi": np.float32([0, 0, 0.1, 0.2, 1, 1, 0.9, 0.8]), "s": np.float32([1, 1, 2, 1.5])},
        11,
    ),
    "Resize, a mode that later opsets lack": (
        node("Resize", "x roi s", "y", coordinate_transformation_mode="tf_half_pixel_for_nn"),
        IMAGE,
        {"roi": np.float32([]), "s": np.float32([1, 1, 2.6, 1.5])},
        11,
    ),
    "RoiAlign, half a pixel off": (
        node("RoiAlign", "x rois image", "y", output_height=3, output_width=2, spatial_scale=0.9),
        (2, 3, 12, 12),
        {"rois": np.float32([[1, 1, 9, 9], [0, 2, 5, 7.5], [3, 3, 3.5, 3.5]]), "image": ints(0, 1, 1)},
        10,
    ),
    "RoiAlign": (
        node("RoiAlign", "x rois image", "y", output_height=3, output_width=2, spatial_scale=0.9),
        (2, 3, 12, 12),
        {"rois": np.float32([[1, 1, 9, 9], [0, 2, 5, 7.5], [3, 3, 3, 3]]), "image": ints(0, 1, 1)},
        16,
    ),
    "Scatter": (
        node("Scatter", "x places updates", "y", axis=1),
        (3, 4),
        {"places": ints(1, 0, 2, 1, 0, 3).reshape(3, 2), "updates": random(3, 2)},
        9,
    ),
    "Slice, bounds as attributes": (
        node("Slice", "x", "y", starts=[1, 0], ends=[3, -1], axes=[2, 3]),
        IMAGE,
        {},
        9,
    ),
    "Softmax, over all axes behind": (node("Softmax", "x", "y", axis=1), (2, 3, 4), {}, 11),
    "Split, sizes as attribute": (node("Split", "x", "y z", axis=1, split=[1, 3]), (1, 4, 5), {}, 12),
    "Split, in equal parts": (node("Split", "x", "y z", axis=1), (1, 4, 5), {}, 11),
    "Squeeze, axes as attribute": (node("Squeeze", "x", "y", axes=[0]), (1, 4, 5), {}, 11),
    "TopK, count as attribute": (node("TopK", "x", "y z", k=2), (3, 5), {}, 9),
    "Unsqueeze, axes as attribute": (node("Unsqueeze", "x", "y", axes=[0, -1]), (4, 5), {}, 11),
    "Upsample, scales as attribute": (
        node("Upsample", "x", "y", scales=[1.0, 1.0, 2.0, 2.0], mode="linear"),
        IMAGE,
        {},
        8,
    ),
}


@pytest.mark.parametrize(("old", "shape", "constants", "opset"), CASES.values(), ids=CASES)
def test_old_form_equals_onnx_runtime(old, shape, constants, opset):
    model = make([old], {"x": shape}, [], constants, opset)
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in old.output)
    x = random(*shape)
    expected = run_ort(model, {"x": x})
    found = GraphModule(model)(tensors({"x": x}))
    assert len(expected) == len(old.output)
    for name, want in expected.items():
        assert found[name].detach().numpy().dtype == want.dtype
        np.testing.assert_allclose(found[name].detach().numpy(), want, rtol=1e-5, atol=2e-5)


def test_a_form_that_the_converter_would_misread_is_refused_where_it_is_needed():
    """Before opset 13 Hardmax chose among all axes behind; the converter takes it for the later one."""
    nodes = [node("Relu", "x", "y"), node("Hardmax", "y", "z", axis=1)]
    model = make(nodes, {"x": [2, 3, 4]}, ["z"], opset=11)
    with pytest.raises(OnnxbinError, match=r"node 'z' \(Hardmax\) is not supported"):
        GraphModule(model)
    assert GraphModule(model, ["y"])(tensors({"x": random(2, 3, 4)}))["y"].shape == (2, 3, 4)
