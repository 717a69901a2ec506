"""The bridge on the ONNX standard's test cases: each passes, or docs/bridge.md lists it with the reason.

Where the op table promises a gradient, there is one.
"""

import re

import pytest
import torch
from bridge.node_cases import CASES, DIFFERENT, DOCUMENT, REFUSED, agree, documented, run
from onnx import TensorProto

from onnxbin.bridge import ops
from onnxbin.errors import OnnxbinError

REAL = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def gradient_is_promised(case):
    """Whether real numbers of 16 bits or more, and some, go in, and all ops are differentiable."""
    table = [ops.find(node.op_type) for node in case.model.graph.node if node.op_type != "Constant"]
    real = any(value.type.tensor_type.elem_type in REAL for value in case.model.graph.input)
    real = real and not re.search("FLOAT8|empty_set", case.name)
    return real and all(known and known.differentiable for known in table)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case):
    if case.name in REFUSED:
        with pytest.raises(OnnxbinError):
            run(case)
        return
    pairs = run(case)
    assert all(agree(found, want) for found, want in pairs) == (case.name not in DIFFERENT)
    if gradient_is_promised(case):
        found = [value for value, _ in pairs if isinstance(value, torch.Tensor)]
        assert all(value.requires_grad for value in found if value.is_floating_point())


def test_the_document_counts_right():
    for section in ("Cases that are refused", "Cases that are meant to differ"):
        for names, number in documented(section):
            assert len(names) == number > 0
    stated = [int(number) for number in re.findall(r"^\|.*\| (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE)]
    passed = len(CASES) - len(REFUSED) - len(DIFFERENT)
    assert stated == [len(CASES), passed, len(REFUSED), len(DIFFERENT)]
