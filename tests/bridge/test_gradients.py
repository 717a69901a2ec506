"""Gradients of the ops whose code is more than a call of PyTorch, against finite differences in float64."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from onnxbin.bridge import GraphModule, ops


def floats(*shape, seed=0, low=-1.0, high=1.0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, shape))


def ints(*values):
    return torch.tensor(values)


IMAGE = floats(1, 2, 5, 6)
PAIR = {"strides": [2, 1], "pads": [1, 0, 2, 1]}
CASES = {  # name: (op, inputs, attributes)
    "AveragePool": ("AveragePool", [IMAGE], {"kernel_shape": [3, 2], "ceil_mode": 1, **PAIR}),
    "Clip": ("Clip", [IMAGE, torch.tensor(-0.5), torch.tensor(0.5)], {}),
    "Col2Im": ("Col2Im", [floats(1, 8, 4), ints(3, 3), ints(2, 2)], {}),
    "Conv": ("Conv", [IMAGE, floats(4, 1, 3, 2), floats(4)], {"group": 2, **PAIR}),
    "ConvTranspose": (
        "ConvTranspose",
        [IMAGE, floats(2, 3, 3, 2), floats(3)],
        {"output_shape": [9, 7], "strides": [2, 1]},
    ),
    "CumProd": ("CumProd", [floats(2, 4), torch.tensor(1)], {"exclusive": 1, "reverse": 1}),
    "CumSum": ("CumSum", [floats(2, 4), torch.tensor(1)], {"exclusive": 1, "reverse": 1}),
    "DeformConv": (
        "DeformConv",
        [IMAGE, floats(2, 1, 2, 2), floats(1, 16, 4, 5) / 3, floats(2), floats(1, 8, 4, 5)],
        {"group": 2, "offset_group": 2},
    ),
    "DequantizeLinear": ("DequantizeLinear", [torch.arange(6).reshape(2, 3).byte(), floats(3)], {}),
    "DFT": ("DFT", [floats(1, 6, 1)], {"onesided": 1}),
    "Gather": ("Gather", [floats(3, 4), ints(0, -1, 0)], {"axis": 1}),
    "GatherND": ("GatherND", [floats(3, 4, 2), torch.tensor([[0, 1], [2, -1]])], {}),
    "GRU": ("GRU", [floats(3, 2, 2), floats(1, 9, 2), floats(1, 9, 3), floats(1, 18)], {}),
    "LayerNormalization": (
        "LayerNormalization",
        [floats(2, 3, 4), floats(4), floats(4)],
        {"axis": -2, "outputs": 3},
    ),
    "LpNormalization": ("LpNormalization", [floats(2, 5)], {"p": 1}),
    "LpPool": ("LpPool", [floats(1, 2, 5, 6, low=0.1)], {"kernel_shape": [3, 2], "p": 3}),
    "LRN": ("LRN", [floats(1, 5, 2, 2)], {"size": 4}),
    "LSTM": ("LSTM", [floats(3, 2, 2), floats(1, 12, 2), floats(1, 12, 3), floats(1, 24), ints(3, 2)], {}),
    "MaxPool": ("MaxPool", [IMAGE], {"kernel_shape": [3, 2], "ceil_mode": 1, **PAIR}),
    "Pad": ("Pad", [IMAGE, ints(0, 0, 1, 2, 0, 0, 2, 1)], {"mode": "reflect"}),
    "PRelu": ("PRelu", [IMAGE, floats(2, 1, 1)], {}),
    "ReduceL2": ("ReduceL2", [IMAGE, ints(1, -1)], {"keepdims": 0}),
    "ReduceLogSumExp": ("ReduceLogSumExp", [IMAGE, ints(2)], {}),
    "ReduceProd": ("ReduceProd", [floats(2, 3, 2), ints(0, 1)], {}),
    "Resize, linear, antialiased": (
        "Resize",
        [IMAGE, None, None, ints(1, 2, 3, 9)],
        {"mode": "linear", "antialias": 1},
    ),
    "Resize, cubic": (
        "Resize",
        [IMAGE, None, None, ints(1, 2, 8, 4)],
        {"mode": "cubic", "exclude_outside": 1},
    ),
    "ReverseSequence": ("ReverseSequence", [floats(4, 3, 2), ints(1, 4, 3)], {}),
    "RoiAlign": (
        "RoiAlign",
        [IMAGE, torch.tensor([[0.3, 0.4, 4.2, 3.7], [2.0, 1.0, 9.0, 3.0]]), ints(0, 0)],
        {"output_height": 2, "output_width": 3},
    ),
    "ScatterElements": (
        "ScatterElements",
        [floats(3, 4), torch.tensor([[0, 2], [1, 1], [3, -4]]), floats(3, 2, seed=1)],
        {"axis": 1, "reduction": "add"},
    ),
    "ScatterND": ("ScatterND", [floats(4, 3), torch.tensor([[1], [-1]]), floats(2, 3, seed=1)], {}),
    "Slice": ("Slice", [floats(5, 4), ints(-1), ints(0), ints(0), ints(-2)], {}),
    "SpaceToDepth": ("SpaceToDepth", [floats(1, 2, 4, 4)], {"blocksize": 2}),
    "Swish": ("Swish", [IMAGE], {"alpha": 1.7}),
}


@pytest.mark.parametrize(("op", "inputs", "attributes"), CASES.values(), ids=CASES)
def test_gradient_equals_finite_differences(op, inputs, attributes):
    def function(*trained):
        given = iter(trained)
        result = operator.function(
            *(next(given) if i in places else x for i, x in enumerate(inputs)), **attributes
        )
        return result if isinstance(result, tuple) else (result,)

    operator = ops.find(op)
    assert operator.differentiable
    fixed = {"RoiAlign": {1}, "Clip": {1, 2}}.get(op, set())  # inputs that no gradient reaches
    places = [i for i, x in enumerate(inputs) if x is not None and x.is_floating_point() and i not in fixed]
    assert torch.autograd.gradcheck(function, [inputs[i].clone().requires_grad_() for i in places])


EXPANDED = {  # ops that are run by the definition that the ONNX standard gives: (shapes, attributes)
    "Attention": ({"q": (1, 2, 3, 4), "k": (1, 2, 3, 4), "v": (1, 2, 3, 4)}, {"is_causal": 1}),
    "Celu": ({"x": (3, 4)}, {"alpha": 0.3}),
    "MeanVarianceNormalization": ({"x": (2, 2, 3, 3)}, {}),
    "RMSNormalization": ({"x": (2, 3, 4), "scale": (4,)}, {"stash_type": TensorProto.DOUBLE}),
    "Shrink": ({"x": (3, 4)}, {"lambd": 0.2, "bias": 0.1}),
}


@pytest.mark.parametrize("op", EXPANDED)
def test_gradient_through_a_definition_equals_finite_differences(op):
    shapes, attributes = EXPANDED[op]
    graph = helper.make_graph(
        [helper.make_node(op, list(shapes), ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.DOUBLE, shape) for n, shape in shapes.items()],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
    )
    module = GraphModule(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)]))
    inputs = [floats(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes.values())]
    assert torch.autograd.gradcheck(lambda *xs: module(dict(zip(shapes, xs, strict=True)))["y"], inputs)
