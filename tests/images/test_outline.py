"""What recognition sees of a model whose activations have become part of other operators."""

import graphs
import pytest
from onnx import helper

from onnxbin.images.outline import Outline


@pytest.mark.parametrize(
    ("domain", "op_type", "activation"),
    [
        ("onnxbin", "BinaryConvQuantLeakyRelu", "LeakyRelu"),
        ("onnxbin", "BinaryConvClip", "Clip"),
        ("onnxbin.int8", "QLinearLeakyRelu", "LeakyRelu"),
    ],
)
def test_activations_within_operators_count(domain, op_type, activation):
    proto = graphs.chain([8, 8], shape=(1, 3, 16, 16))
    assert activation not in Outline(proto).operators
    proto.graph.node.append(helper.make_node(op_type, ["y"], ["z"], domain=domain))
    assert {op_type, activation} <= Outline(proto).operators
