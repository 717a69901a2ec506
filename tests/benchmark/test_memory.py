"""Memory against what must be resident: a session holds its weights."""

import dataclasses
import sys

import graphs
import pytest
from onnx import helper

from onnxbin.benchmark.memory import peak_memory
from onnxbin.errors import OnnxbinError

MEBIBYTE = 1 << 20

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")


def multiplying(mebibytes):
    """One MatMul by a weight of that size."""
    width = mebibytes * MEBIBYTE // 4 // 1024
    weight = graphs.tensor("w", [[0.5] * width] * 1024)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return graphs.model([node], [weight], shape=(1, 1, 1, 1024))


def test_weights_are_part_of_it(contender):
    small = peak_memory(contender(multiplying(1), "small"), 1)
    large = peak_memory(contender(multiplying(65), "large"), 1)
    assert small > 0
    # The file's bytes are there while the session takes them over, and perhaps once more.
    assert 64 * MEBIBYTE <= large - small <= 4 * 64 * MEBIBYTE


def test_a_process_that_fails_says_why_in_one_line(contender):
    entry = contender(multiplying(1))
    with pytest.raises(OnnxbinError, match=r"model: .* fails: .*nowhere\.onnx") as caught:
        peak_memory(dataclasses.replace(entry, path=entry.path.with_name("nowhere.onnx")), 1)
    assert len(str(caught.value).splitlines()) == 1
