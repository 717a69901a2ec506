"""The bridge on the ONNX standard's test cases: each passes, or docs/bridge.md lists it with the reason."""

import re

import pytest
from bridge.node_cases import CASES, DIFFERENT, DOCUMENT, REFUSED, agree, documented, run

from onnxbin.errors import OnnxbinError


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case):
    if case.name in REFUSED:
        with pytest.raises(OnnxbinError):
            run(case)
        return
    agreement = [agree(found, want) for found, want in run(case)]
    assert all(agreement) == (case.name not in DIFFERENT)


def test_the_document_counts_right():
    for section in ("Cases that are refused", "Cases that are meant to differ"):
        for names, number in documented(section):
            assert len(names) == number > 0
    stated = [int(number) for number in re.findall(r"^\|.*\| (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE)]
    passed = len(CASES) - len(REFUSED) - len(DIFFERENT)
    assert stated == [len(CASES), passed, len(REFUSED), len(DIFFERENT)]
