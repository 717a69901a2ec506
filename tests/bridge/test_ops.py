"""The op table against the schemas of the ONNX standard."""

import inspect

import onnx
import pytest
from onnx.defs import OpSchema

from onnxbin.bridge import ops


@pytest.mark.parametrize("name", ops.names())
def test_signature_is_the_schema(name):
    """Every attribute of the op's newest schema is a keyword of the same name and default."""
    schema = onnx.defs.get_schema(name)
    operator = ops.find(name)
    attributes = {
        key: attribute
        for key, attribute in schema.attributes.items()
        if attribute.type != OpSchema.AttrType.TYPE_PROTO
    }
    if inspect.unwrap(operator.function).__module__.startswith(
        "torch"
    ):  # it stands for an op without attributes
        assert not attributes
        return
    parameters = inspect.signature(operator.function).parameters.values()
    keywords = {p.name: p for p in parameters if p.kind == p.KEYWORD_ONLY}
    if any(p.kind == p.VAR_KEYWORD for p in parameters):  # they are handed on to Conv
        assert attributes.keys() == onnx.defs.get_schema("Conv").attributes.keys()
        return
    assert keywords.keys() - ({"outputs"} if operator.counts_outputs else set()) == attributes.keys()
    for attribute in attributes.values():
        default = keywords[attribute.name].default
        if attribute.required:
            assert default is inspect.Parameter.empty
        elif attribute.default_value.type:
            value = onnx.helper.get_attribute_value(attribute.default_value)
            if isinstance(value, list):
                value = [item.decode() if isinstance(item, bytes) else item for item in value]
                assert list(default) == value
            else:
                assert default == pytest.approx(value.decode() if isinstance(value, bytes) else value)


def test_every_op_that_detectors_need_is_there():
    needed = """
        Conv ConvTranspose BatchNormalization InstanceNormalization LayerNormalization GroupNormalization
        Relu LeakyRelu PRelu Sigmoid HardSigmoid HardSwish Mish Tanh Exp Log Sqrt Pow Erf Gelu Softplus
        Softmax Clip Add Sub Mul Div Mod Neg Abs Floor Ceil Round Min Max Equal Greater Less Where Not And
        Or Cast Concat Split Slice Gather GatherElements GatherND ScatterND ScatterElements Reshape
        Transpose Flatten Squeeze Unsqueeze Expand Tile Shape Size Range ConstantOfShape Identity Dropout
        Pad Resize MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean ReduceSum ReduceMax
        ReduceMin ReduceL2 ReduceProd ArgMax TopK NonZero GridSample MatMul Gemm LRN CumSum OneHot
        NonMaxSuppression RoiAlign DeformConv QuantizeLinear DequantizeLinear If Loop
    """
    assert set(needed.split()) <= set(ops.names())
