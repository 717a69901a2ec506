"""Text for people."""

from hypothesis import given
from hypothesis import strategies as st

from onnxbin.text import shortened


@given(st.text(), st.integers(4, 40))
def test_shortened_keeps_both_ends(text, length):
    found = shortened(text, length)
    assert len(found) == min(len(text), length)
    assert found[0:1] == text[0:1]
    assert found[-1:] == text[-1:]
    assert found == text or "\N{HORIZONTAL ELLIPSIS}" in found
