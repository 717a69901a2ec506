"""Files of costs: what is written is read; anything else gets one line."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxbin.benchmark.costs import WIDTHS, Costs, LayerCost, costs_from_json, read_costs, width_name
from onnxbin.benchmark.machine import Machine
from onnxbin.errors import OnnxbinError

TIMES = st.floats(0, 1e6)
NAMED = [width_name(width) for width in WIDTHS]
BY_WIDTH = st.fixed_dictionaries(dict.fromkeys(NAMED, TIMES))
MACHINE = Machine("Some CPU", 4, "Linux x86_64", None, "1.31.1", "0.1.0")
COSTS = st.builds(
    Costs,
    model=st.text(),
    machine=st.just(MACHINE),
    threads=st.integers(1, 64),
    inputs=st.text(),
    original=st.floats(1e-6, 1e6),
    rest=st.floats(1e-6, 1e6),
    layers=st.lists(
        st.builds(LayerCost, st.text(), TIMES, BY_WIDTH), max_size=4, unique_by=lambda i: i.name
    ).map(tuple),
    networks=BY_WIDTH,
)


def some():
    times = dict(zip(NAMED, [4.0, 3.0, 2.5, 2.0, 1.0], strict=True))
    layers = tuple(LayerCost(name, 5.0, times) for name in ("left", "right"))
    return Costs("0" * 64, MACHINE, 1, "noise", 14.0, 2.0, layers, dict.fromkeys(NAMED, 9.0))


@given(COSTS)
def test_what_is_written_is_read(costs):
    assert costs_from_json(json.loads(costs.to_json())) == costs


def test_a_latency_is_a_sum():
    costs = some()
    assert costs.latency({}) == 2 + 5 + 5
    assert costs.latency({"left": None}) == 2 + 4 + 5
    assert costs.latency({"left": 8, "right": 1}) == 2 + 3 + 1


def test_a_layer_that_was_not_measured_is_named():
    with pytest.raises(OnnxbinError, match="layer 'middle'"):
        some().of(["left", "middle"])


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["format"], 2, "format 2"),
        (["original"], math.nan, "original"),
        (["original"], 0.0, "original"),
        (["rest"], 0.0, "rest"),
        (["rest"], math.inf, "rest"),
        (["threads"], "two", "threads"),
        (["threads"], 0, "threads"),
        (["machine"], [], "JSON object"),
        (["machine", "cores"], "many", "cores"),
        (["layers"], {}, "layers"),
        (["layers", 0, "name"], 7, "name"),
        (["layers", 0, "name"], "right", "twice"),
        (["layers", 0, "conv"], 1e300, "conv"),
        (["layers", 0, "binary", "8"], None, "binary"),
        (["layers", 0, "binary", "3"], 1.0, "widths"),
        (["layers", 0, "binary"], {}, "widths"),
        (["networks", "real"], -math.inf, "networks"),
        (["surprise"], 1, "surprise"),
    ],
)
def test_what_is_no_file_of_costs_gets_one_line(tmp_path, path, value, said):
    content = json.loads(some().to_json())
    target = content
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    file = tmp_path / "costs.json"
    file.write_text(json.dumps(content))
    with pytest.raises(OnnxbinError) as caught:
        read_costs(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{file}: is no file of costs: ")
    assert said in line
    assert "onnxbin profile" in line


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_other_files_get_one_line(tmp_path, content):
    file = tmp_path / "costs.json"
    file.write_bytes(content)
    with pytest.raises(OnnxbinError) as caught:
        read_costs(file)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file(tmp_path):
    with pytest.raises(OnnxbinError, match="cannot be read"):
        read_costs(tmp_path / "costs.json")
