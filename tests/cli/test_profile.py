"""`onnxbin profile` as a user meets it."""

import io
import json

import graphs
import pytest
from rich.console import Console

from onnxbin.benchmark.costs import WIDTHS, Costs, LayerCost, costs_from_json, read_costs, width_name
from onnxbin.benchmark.machine import Machine
from onnxbin_cli.profile import show


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([8, 64, 6], shape=(1, 3, 16, 16)).SerializeToString())
    return path


def test_the_file_is_what_json_prints(onnxbin, model, tmp_path):
    result = onnxbin("profile", model, "-o", tmp_path / "costs.json", "--runs", "2", "--json")
    assert result.returncode == 0, result.stderr
    costs = read_costs(tmp_path / "costs.json")
    assert costs == costs_from_json(json.loads(result.stdout))
    assert [layer.name for layer in costs.layers] == ["c1"]


def test_bad_input_gives_one_line(onnxbin, model, tmp_path):
    for arguments in (
        [model, "--threads", "0"],
        [model, "-o", tmp_path / "no" / "where.json"],
        [model, model],
    ):
        result = onnxbin("profile", *arguments)
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("onnxbin: ")


def test_the_table_fits_80_columns():
    times = {width_name(width): 123.456 for width in WIDTHS}
    machine = Machine("AMD EPYC", 2, "Linux x86_64", "avx512", "1.31.1", "0.1.0")
    layers = tuple(LayerCost(f"/model.22/a_long_name/of_a_module/{n}", 234.567, times) for n in range(2))
    costs = Costs("0", machine, 1, "8 images that onnxbin renders", 999.9, 1.0, layers, times)
    console = Console(width=80, file=io.StringIO())
    show(costs, console)
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    (total,) = [line.split() for line in lines if line.startswith("sum")]
    assert total[1:] == [f"{1 + 2 * 123.456:.2f}"] * len(WIDTHS)
