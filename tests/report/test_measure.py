"""Which steps are measured where there are many."""

from hypothesis import given
from hypothesis import strategies as st

from onnxbin.report.measure import MOST_MODELS, some


@given(st.integers(1, 200))
def test_some_of_many_end_with_the_last(count):
    chosen = some(range(count))
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, MOST_MODELS)
    assert chosen[-1] == count - 1
