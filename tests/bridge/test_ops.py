"""The op table against the ONNX standard's own test cases, node by node."""

import inspect
import re
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from onnxbin.bridge import GraphModule, ops
from onnxbin.bridge.upgrade import OPSET
from onnxbin.errors import OnnxbinError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the generators of the cases overflow on purpose
    from onnx.backend.test.case.node import collect_testcases

    ALL_CASES = collect_testcases(None)

REFUSED = {
    r"(add|sub|div|mod|max|min|greater|greater_equal|less|less_equal)_uint(16|32|64)": "not in PyTorch",
    r"batchnorm_.*_training_mode": "training-mode statistics",
    r"layer_normalization_.*": "the optional outputs Mean and InvStdDev",
    r"maxpool_with_argmax": "the optional output Indices",
    r"reduce_(max|min)_empty_set": "PyTorch has no extreme of nothing",
    r"spacetodepth_.*_mode": "an attribute of a later opset",
}
"""Cases that are answered with an error, and why."""

DIFFERENT = {r"training_dropout": "dropout is off: a detector is fine-tuned in inference mode"}
"""Cases whose result is meant to differ, and why."""

READABLE = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.DOUBLE,
    TensorProto.BOOL,
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
)


def _is_ours(case):
    """Whether all ops and element types of the case are within the op table's reach."""
    graph = case.model.graph
    values = (*graph.input, *graph.output)
    return all(n.op_type in ops.names() and n.domain == "" for n in graph.node) and all(
        v.type.HasField("tensor_type") and v.type.tensor_type.elem_type in READABLE for v in values
    )


def _matches(case, patterns):
    return any(re.search(pattern, case.name) for pattern in patterns)


CASES = [case for case in ALL_CASES if _is_ours(case) and not _matches(case, DIFFERENT)]
RUN = [case for case in CASES if not _matches(case, REFUSED)]
REJECT = [case for case in CASES if _matches(case, REFUSED)]


def _run(case):
    module = GraphModule(case.model)
    inputs, expected = (
        [onnx.numpy_helper.to_array(v) if isinstance(v, TensorProto) else v for v in values]
        for values in case.data_sets[0]
    )
    feed = {
        value.name: torch.tensor(x)
        for value, x in zip(case.model.graph.input, inputs, strict=True)
        if value.name in module.input_names
    }
    with torch.no_grad():
        return module(feed), expected


@pytest.mark.parametrize("case", RUN, ids=lambda case: case.name)
def test_node(case):
    found, expected = _run(case)
    for output, want in zip(case.model.graph.output, expected, strict=True):
        value = found[output.name].numpy()
        half = want.dtype == np.float16  # computed, and returned, in float32
        assert value.dtype == (np.float32 if half else want.dtype)
        assert value.shape == want.shape
        tolerance = 1e-2 if half else 1e-3
        np.testing.assert_allclose(value, want, rtol=tolerance, atol=1e-2 if half else 1e-5)


@pytest.mark.parametrize("case", REJECT, ids=lambda case: case.name)
def test_refused_node_is_named(case):
    with pytest.raises(OnnxbinError, match=r"node '|optional output"):
        _run(case)


@pytest.mark.parametrize("name", ops.names())
def test_signature_is_the_schema(name):
    """Every attribute of the op's schema is a keyword of the same name and default; no input is forgotten."""
    schema = onnx.defs.get_schema(name, OPSET)
    operator = ops.find(name)
    assert operator is not None
    try:
        signature = inspect.signature(operator.function)
    except ValueError:  # a function of PyTorch in C: it stands for an op without attributes
        assert not schema.attributes
        return
    keywords = {p.name: p for p in signature.parameters.values() if p.kind == p.KEYWORD_ONLY}
    if operator.function.__module__.startswith("torch"):
        assert not schema.attributes
        return
    assert keywords.keys() == schema.attributes.keys()
    for attribute in schema.attributes.values():
        default = keywords[attribute.name].default
        if attribute.required:
            assert default is inspect.Parameter.empty
        elif attribute.default_value.type:
            value = onnx.helper.get_attribute_value(attribute.default_value)
            value = value.decode() if isinstance(value, bytes) else value
            assert default == pytest.approx(value)


def test_every_op_that_detectors_need_is_there():
    needed = """
        Conv ConvTranspose BatchNormalization InstanceNormalization LayerNormalization GroupNormalization
        Relu LeakyRelu PRelu Sigmoid HardSigmoid HardSwish Mish Tanh Exp Log Sqrt Pow Erf Gelu Softplus
        Softmax Clip Add Sub Mul Div Mod Neg Abs Floor Ceil Round Min Max Equal Greater Less Where Not And
        Or Cast Concat Split Slice Gather GatherElements GatherND ScatterND ScatterElements Reshape
        Transpose Flatten Squeeze Unsqueeze Expand Tile Shape Size Range ConstantOfShape Identity Dropout
        Pad Resize MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean ReduceSum ReduceMax
        ReduceMin ReduceL2 ReduceProd ArgMax TopK NonZero GridSample MatMul Gemm LRN CumSum OneHot
    """
    assert set(needed.split()) <= set(ops.names())
