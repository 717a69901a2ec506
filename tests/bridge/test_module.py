"""GraphModule against ONNX Runtime: values, batches, gradients, and what is written back."""

import copy

import numpy as np
import onnx
import pytest
import torch
from bridge.onnx_models import DETECTORS, make, random, run_ort, tensors
from onnx import TensorProto, helper, numpy_helper

from onnxbin.bridge import GraphModule
from onnxbin.errors import OnnxbinError
from onnxbin.operator import BinaryWeight
from onnxbin.surgery import with_values


def image_input(model):
    weights = {tensor.name for tensor in model.graph.initializer}
    (value,) = (v for v in model.graph.input if v.name not in weights)
    return value.name, [d.dim_value for d in value.type.tensor_type.shape.dim]


def assert_close(found, expected, relative=1e-4):
    """max|found - expected| <= relative * max|expected|, for every tensor."""
    assert found.keys() == expected.keys()
    for name, want in expected.items():
        value = found[name].detach().numpy()
        assert value.shape == want.shape
        assert np.abs(value - want).max() <= relative * np.abs(want).max(), name


CONV_RELU_CONV = make(
    [
        helper.make_node("Conv", ["x", "a.weight", "a.bias"], ["1"], name="/a/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["1"], ["2"]),
        helper.make_node("Conv", ["2", "b.weight"], ["3"], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["3", "s", "b", "m", "v"], ["y"]),
    ],
    {"x": [1, 4, 8, 8]},
    ["y"],
    {
        "a.weight": random(6, 4, 3, 3),
        "a.bias": random(6),
        "b.weight": random(5, 6, 1, 1),
        **{name: np.abs(random(5, seed=i)) + 0.5 for i, name in enumerate("sbmv")},
    },
)
X = random(1, 4, 8, 8, seed=9)


@pytest.mark.shared
@pytest.mark.parametrize("name", DETECTORS)
def test_detector_equals_onnx_runtime_also_in_batches(shared, name):
    model = onnx.load(shared / "models" / f"{name}.onnx")
    image, shape = image_input(model)
    x = np.random.default_rng(0).uniform(0, 1, (2, *shape[1:])).astype(np.float32)
    each = [run_ort(model, {image: x[i : i + 1]}) for i in range(2)]
    with torch.no_grad():
        found = GraphModule(model)({image: torch.from_numpy(x)})
    # On yolox both are 6e-5 to 8e-5 away from the result in float64: box sizes are exponentials.
    tolerance = 2e-4 if name == "yolox_nano_coco" else 1e-4
    assert_close(found, {key: np.concatenate([e[key] for e in each]) for key in each[0]}, tolerance)


@pytest.mark.shared
@pytest.mark.parametrize("name", DETECTORS)
def test_detector_gradient_reaches_every_parameter_and_is_written_back(shared, name):
    model = onnx.load(shared / "models" / f"{name}.onnx")
    image, shape = image_input(model)
    module = GraphModule(model)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    sum(y.square().mean() for y in module({image: x}).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    assert sum(bool(p.grad.any()) for p in module.parameters()) > 0.9 * len(list(module.parameters()))

    with torch.no_grad():
        for p in module.parameters():
            p -= 0.01 * p.abs().mean() * p.grad.sign()
        after = module({image: x})
    model = with_values(model, module.initializers())
    assert_close(after, run_ort(model, {image: x.numpy()}), 3e-4)


@pytest.mark.shared
@pytest.mark.parametrize("name", DETECTORS)
def test_detector_never_waits_for_an_accelerator(shared, name):
    """On the meta device there are no values to read, and no tensor of another device is accepted."""
    model = onnx.load(shared / "models" / f"{name}.onnx")
    image, shape = image_input(model)
    found = GraphModule(model).to("meta")({image: torch.empty(shape, device="meta")})
    for output in model.graph.output:
        sizes = [d.dim_value for d in output.type.tensor_type.shape.dim]
        assert found[output.name].device.type == "meta"
        assert list(found[output.name].shape) == sizes


def test_shapes_are_computed_on_the_cpu_and_meet_data_elsewhere():
    """Integers, and values made from shapes, come to the device where they meet the image's features."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Clip", ["c", "zero", "six"], ["limited"]),
        helper.make_node("Shape", ["limited"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"]),
        helper.make_node("Concat", ["batch", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["limited", "target"], ["flat"]),
        helper.make_node("Gather", ["flat", "chosen"], ["some"], axis=1),
        helper.make_node("Shape", ["some"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("Range", ["start", "stop", "step"], ["count"]),
        helper.make_node("Cast", ["count"], ["columns"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["some", "zeros"], ["sum"]),
        helper.make_node("Add", ["sum", "columns"], ["moved"]),
        helper.make_node("Where", ["mask", "moved", "sum"], ["y"]),
    ]
    constants = {
        "w": random(4, 3, 1, 1),
        "zero": np.float32(0),
        "six": np.float32(6),
        "first": np.array([0], np.int64),
        "rest": np.array([-1, 4], np.int64),
        "chosen": np.array([0, 3, 2], np.int64),
        "start": np.array(0, np.int64),
        "stop": np.array(4, np.int64),
        "step": np.array(1, np.int64),
        "mask": np.array([True, False, True, True]),
    }
    model = make(nodes, {"x": [1, 3, 4, 4]}, ["y"], constants)
    x = random(1, 3, 4, 4)
    assert_close(GraphModule(model)(tensors({"x": x})), run_ort(model, {"x": x}))
    y = GraphModule(model).to("meta")({"x": torch.empty(1, 3, 4, 4, device="meta")})["y"]
    assert (y.device.type, y.shape) == ("meta", (1, 3, 4))


def test_only_weight_slots_are_parameters():
    module = GraphModule(CONV_RELU_CONV)
    assert module.initializers().keys() == {"a.weight", "a.bias", "b.weight", "s", "b"}
    assert len(list(module.parameters())) == 5
    np.testing.assert_array_equal(module.initializers()["a.weight"], random(6, 4, 3, 3))


def test_load_initializers_changes_what_is_computed():
    module = GraphModule(CONV_RELU_CONV)
    values = {"a.weight": random(6, 4, 3, 3, seed=5), "m": random(5, seed=6)}  # a parameter and a statistic
    changed = with_values(CONV_RELU_CONV, values)
    module.load_initializers(values)
    assert_close(module(tensors({"x": X})), run_ort(changed, {"x": X}))


@pytest.mark.parametrize(
    ("values", "message"),
    [({"c": np.zeros(3)}, "no initializer 'c'"), ({"a.bias": np.zeros(3)}, r"'a.bias' has shape \[6\], not")],
)
def test_initializers_that_do_not_fit_are_refused(values, message):
    with pytest.raises(OnnxbinError, match=message):
        GraphModule(CONV_RELU_CONV).load_initializers(values)
    with pytest.raises(OnnxbinError, match=message):
        with_values(CONV_RELU_CONV, values)


def test_intermediate_tensors_and_partial_graphs():
    with_taps = copy.deepcopy(CONV_RELU_CONV)
    with_taps.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "23")
    expected = run_ort(with_taps, {"x": X})
    assert_close(GraphModule(CONV_RELU_CONV)(tensors({"x": X}), also=["2", "3"]), expected)
    assert_close(GraphModule(CONV_RELU_CONV, ["2"])(tensors({"x": X})), {"2": expected["2"]})


def test_unsupported_op_matters_only_where_it_is_needed():
    model = make(
        [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("Unknown", ["a"], ["y"], name="tail", domain="com.example"),
        ],
        {"x": [2]},
        ["y"],
        domains=["com.example"],
    )
    assert GraphModule(model, ["a"])(tensors({"x": random(2)}))
    with pytest.raises(OnnxbinError, match=r"node 'tail' \(Unknown\) is not supported"):
        GraphModule(model)


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({}, "input 'x' is missing"),
        ({"x": torch.zeros(1, 3, 8, 8)}, r"node '/a/Conv' \(Conv\) cannot run: .*channels"),
    ],
)
def test_wrong_input_is_named(feed, message):
    with pytest.raises(OnnxbinError, match=message):
        GraphModule(CONV_RELU_CONV)(feed)


def test_unknown_tensor_is_named():
    with pytest.raises(OnnxbinError, match="no tensor 'z'"):
        GraphModule(CONV_RELU_CONV, ["z"])


@pytest.mark.parametrize("opset", [9, 10, 11, 13, 18])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_keeps_the_meaning_of_its_opset(opset, mode):
    """The converter alone would turn the asymmetric resize of opsets 9 and 10 into a half-pixel one."""
    scales = np.array([1, 1, 1.5, 3], np.float32)
    op, inputs = ("Upsample", ["x", "s"]) if opset == 9 else ("Resize", ["x", "s"])
    inputs = inputs if opset < 11 else ["x", "roi", "s"]
    model = make(
        [helper.make_node(op, inputs, ["y"], mode=mode)],
        {"x": [1, 2, 4, 5]},
        ["y"],
        {"s": scales, "roi": np.float32([0] * 4 + [1] * 4)},
        opset,
    )
    x = random(1, 2, 4, 5)
    assert_close(GraphModule(model)(tensors({"x": x})), run_ort(model, {"x": x}), 1e-5)


def test_local_functions_are_inlined():
    swish = helper.make_function(
        "local",
        "Swish",
        ["x"],
        ["y"],
        [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])],
        [helper.make_opsetid("", 17)],
    )
    node = helper.make_node("Swish", ["x"], ["y"], domain="local")
    model = make([node], {"x": [3]}, ["y"], functions=[swish], domains=["local"])
    x = random(3)
    assert_close(GraphModule(model)(tensors({"x": x})), run_ort(model, {"x": x}), 1e-6)


def test_weight_out_of_a_constant_node_trains_and_is_written_back():
    weight = numpy_helper.from_array(random(2, 3, 1, 1))
    model = make(
        [
            helper.make_node("Constant", [], ["w"], value=weight),
            helper.make_node("Conv", ["x", "w"], ["y"]),
        ],
        {"x": [1, 3, 2, 2]},
        ["y"],
    )
    module = GraphModule(model)
    assert set(module.initializers()) == {"w"}
    with torch.no_grad():
        next(module.parameters()).mul_(2)
    model = with_values(model, module.initializers())
    x = random(1, 3, 2, 2)
    assert_close(module(tensors({"x": x})), run_ort(model, {"x": x}))


def test_shared_weight_is_one_parameter():
    nodes = [helper.make_node("Conv", ["x", "w"], [y]) for y in ("a", "b")]
    model = make(nodes, {"x": [1, 3, 2, 2]}, ["a", "b"], {"w": random(3, 3, 1, 1)})
    module = GraphModule(model)
    (parameter,) = module.parameters()
    y = module(tensors({"x": random(1, 3, 2, 2)}))
    y["a"].sum().backward()
    once = parameter.grad.clone()
    module(tensors({"x": random(1, 3, 2, 2)}))["b"].sum().backward()
    torch.testing.assert_close(parameter.grad, 2 * once)


def test_half_precision_computes_in_float32_and_is_written_back_in_half():
    model = make(
        [helper.make_node("Conv", ["x", "w"], ["y"])], {}, [], {"w": random(2, 3, 1, 1).astype(np.float16)}
    )
    model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 3, 2, 2]))
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT16, None))
    module = GraphModule(model)
    x = random(1, 3, 2, 2).astype(np.float16)
    y = module(tensors({"x": x}))["y"]
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y.detach().numpy(), run_ort(model, {"x": x})["y"], atol=2e-2)
    with torch.no_grad():
        next(module.parameters()).add_(0.25)
    model = with_values(model, module.initializers())
    (written,) = model.graph.initializer
    assert written.data_type == TensorProto.FLOAT16
    np.testing.assert_allclose(numpy_helper.to_array(written), random(2, 3, 1, 1) + 0.25, atol=2e-3)


def test_fixed_batch_of_one_is_freed():
    """A reshape that counts on one image, as exporters write it, must not mix images of a larger batch."""
    shapes = {
        "full": np.array([1, 4, 9], np.int64),
        "open": np.array([1, -1, 3], np.int64),
        "shuffle": np.array([2, 2, 9], np.int64),  # [batch * groups, channels, pixels]
        "sizes": np.array([1, 2, 3, 2], np.int64),
    }
    model = make(
        [
            helper.make_node("Reshape", ["x", "full"], ["a"]),
            helper.make_node("Transpose", ["a"], ["t"], perm=[0, 2, 1]),
            helper.make_node("Reshape", ["t", "open"], ["b"]),
            helper.make_node("Reshape", ["x", "shuffle"], ["c"]),
            helper.make_node("Reshape", ["c", "full"], ["d"]),
            helper.make_node("Slice", ["x", "one", "three", "one"], ["e"]),
            helper.make_node("Resize", ["e", "", "", "sizes"], ["f"], mode="linear"),
        ],
        {"x": [1, 4, 3, 3]},
        ["b", "d", "f"],
        {**shapes, "one": np.array([1], np.int64), "three": np.array([3], np.int64)},
    )
    x = random(3, 4, 3, 3)
    each = [run_ort(model, {"x": x[i : i + 1]}) for i in range(3)]
    expected = {name: np.concatenate([e[name] for e in each]) for name in "bdf"}
    assert_close(GraphModule(model)(tensors({"x": x})), expected, 1e-6)


def test_binarize_replaces_the_convolution_and_its_parameters():
    module = GraphModule(CONV_RELU_CONV)
    weight = random(6, 4, 3, 3)
    binary = BinaryWeight(
        np.where(weight >= 0, 1, -1).astype(np.int8)[None], np.abs(weight).mean((1, 2, 3))[None]
    )
    module.binarize("/a/Conv", binary)
    assert module.initializers().keys() == {"b.weight", "s", "b"}

    expected = with_values(CONV_RELU_CONV, {"a.weight": binary.dense()})
    found = module(tensors({"x": X}))
    assert_close(found, run_ort(expected, {"x": X}))

    found["y"].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())
    ((name, read),) = module.binary_layers().items()
    assert name == "/a/Conv"
    np.testing.assert_array_equal(read.weight.signs, binary.signs)
    np.testing.assert_array_equal(read.weight.scale, binary.scale)
    np.testing.assert_array_equal(read.bias, random(6))


def test_binarize_by_output_where_the_node_has_no_name():
    module = GraphModule(CONV_RELU_CONV)
    module.binarize("3", BinaryWeight(np.ones((1, 5, 6, 1, 1), np.int8), np.ones((1, 5), np.float32)))
    assert set(module.binary_layers()) == {"3"}


def test_copies_are_independent():
    module = GraphModule(CONV_RELU_CONV)
    module.binarize("3", BinaryWeight(np.ones((1, 5, 6, 1, 1), np.int8), np.ones((1, 5), np.float32)))
    twin = copy.deepcopy(module)
    before = module(tensors({"x": X}))["y"]
    with torch.no_grad():
        for p in twin.parameters():
            p.mul_(1.5)
    torch.testing.assert_close(module(tensors({"x": X}))["y"], before)
    assert not torch.equal(twin(tensors({"x": X}))["y"], before)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        ("/c/Conv", (6, 4, 3, 3), "no Conv '/c/Conv'"),
        ("/a/Conv", (6, 4, 1, 1), r"has shape \[6, 4, 3, 3\], the binary one \[6, 4, 1, 1\]"),
    ],
)
def test_binarize_refuses_what_does_not_fit(layer, shape, message):
    weight = BinaryWeight(np.ones((1, *shape), np.int8), np.ones((1, 6), np.float32))
    with pytest.raises(OnnxbinError, match=message):
        GraphModule(CONV_RELU_CONV).binarize(layer, weight)
