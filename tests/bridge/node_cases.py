"""The ONNX standard's own test cases, one node each, and the list of those that the bridge does not pass."""

import re
import warnings
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import OptionalProto, SequenceProto, TensorProto, numpy_helper

from onnxbin.bridge import GraphModule
from onnxbin.bridge.tensors import to_tensor

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the generators of the cases overflow on purpose
    from onnx.backend.test.case.node import collect_testcases

    CASES = collect_testcases(None)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "bridge.md"


def documented(section):
    """The rows of a table of the document: the names of the cases, and the number that the row states."""
    text = DOCUMENT.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    for patterns, number in re.findall(r"^\| (`.*?) \| (\d+) \|", text, re.MULTILINE):
        matchers = [f"test_{pattern}" for pattern in re.findall(r"`(.*?)`", patterns)]
        names = [case.name for case in CASES if any(fnmatchcase(case.name, m) for m in matchers)]
        yield names, int(number)


REFUSED = {name for names, _ in documented("Cases that are refused") for name in names}
DIFFERENT = {name for names, _ in documented("Cases that are meant to differ") for name in names}


def run(case):
    """Pairs of what the bridge found and what the standard expects, for each output of the case.

    Real inputs want gradients, as an image's features do in training.
    """
    module = GraphModule(case.model)
    inputs, expected = case.data_sets[0]
    names = [value.name for value in case.model.graph.input]
    feed = {name: _value(x) for name, x in zip(names, inputs, strict=True) if name in module.input_names}
    for value in feed.values():
        if isinstance(value, torch.Tensor) and value.dtype in (torch.float32, torch.float64):
            value.requires_grad_()
    found = module(feed)
    return [(found[o.name], want) for o, want in zip(case.model.graph.output, expected, strict=True)]


def agree(found, want):
    """Whether an output is what the standard expects; sequences element by element."""
    if isinstance(want, TensorProto | SequenceProto | OptionalProto):
        want = _array(want)
    if isinstance(want, list):
        return len(found) == len(want) and all(map(agree, found, want))
    if want is None:
        return found is None
    standing_for = to_tensor(numpy_helper.from_array(np.zeros((), want.dtype))).dtype
    found = found.detach()
    if found.dtype != standing_for or tuple(found.shape) != want.shape:
        return False
    if not found.is_floating_point():
        return np.array_equal(found.numpy(), want)
    if found.dtype.itemsize == 1:
        return np.array_equal(found.float().numpy(), want.astype(np.float32), equal_nan=True)
    half = want.dtype.itemsize == 2  # computed, and returned, in float32
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if half else {"rtol": 1e-3, "atol": 1e-5}
    return np.allclose(found.numpy(), want.astype(found.numpy().dtype), equal_nan=True, **tolerance)


def _value(value):
    """An input of a case as the bridge takes it."""
    if isinstance(value, SequenceProto | OptionalProto):
        value = _array(value)
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, TensorProto):
        return to_tensor(value)
    return None if value is None else to_tensor(numpy_helper.from_array(np.asarray(value)))


def _array(value):
    if isinstance(value, SequenceProto):
        return numpy_helper.to_list(value)
    if isinstance(value, OptionalProto):
        return onnx.numpy_helper.to_optional(value)
    return numpy_helper.to_array(value)
