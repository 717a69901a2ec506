"""`onnxbin profile`, and what --inputs auto makes of it, as a user meets them."""

import io
import json

import graphs
import pytest
from rich.console import Console

from onnxbin.benchmark.costs import WIDTHS, Costs, LayerCost, costs_from_json, read_costs, width_name
from onnxbin.benchmark.machine import Machine
from onnxbin.inputs.auto import LayerWidth, WidthChoice
from onnxbin_cli import width_table
from onnxbin_cli.profile import show


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([8, 64, 6], shape=(1, 3, 16, 16)).SerializeToString())
    return path


def test_the_file_is_what_json_prints(onnxbin, model, tmp_path):
    result = onnxbin("profile", model, "-o", tmp_path / "costs.json", "--json")
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


def test_compress_shows_what_auto_has_chosen(onnxbin, model, tmp_path):
    assert onnxbin("profile", model, "-o", tmp_path / "costs.json").returncode == 0
    options = ["--no-finetune", "--inputs", "auto", "--costs", tmp_path / "costs.json"]
    result = onnxbin("compress", model, *options, "--speedup", "0.001")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.startswith("inputs chosen by damage")]
    assert lines[head + 1].split() == ["layer", "bits", "damage", "ms", "saved"]
    assert lines[head + 2].split()[:3] == ["c1", "real", "0.00000"]
    result = onnxbin("compress", model, *options, "--speedup", "1e9")
    assert result.returncode == 3
    assert "warning: --speedup 1e+09 is out of reach" in result.stdout


def test_the_widths_fit_80_columns():
    layers = tuple(
        LayerWidth(f"/model.22/a_long_name/of_a_module/of_layers/{n}", bits, 0.123456, 123.456, 234.567)
        for n, bits in enumerate(WIDTHS)
    )
    console = Console(width=80, file=io.StringIO())
    width_table.show(WidthChoice(layers, 1234.5, 1000.0, 999.9, 888.8, 2), console)
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert lines[2].split()[-4:] == ["real", "0.12346", "123.456", "111.111"]
