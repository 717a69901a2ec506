"""The table of runs: equal ratio, equal steps, and errors of one line."""

import json
from pathlib import Path

import graphs
import pytest
from named_runs import NamedRun, read_runs

from onnxbin import OnnxbinError
from onnxbin.model import load
from onnxbin.plan import plan

STEPS = 100


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.chain([64, 160, 96, 128, 8], shape=(1, 3, 24, 24)).SerializeToString())
    return load(path)


@pytest.fixture
def table(tmp_path):
    def write(content):
        path = tmp_path / "runs.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


FOLDER = Path(__file__).resolve().parents[2] / "examples" / "pedestrians"


def orders():
    return read_runs(FOLDER / "orders.json")


@pytest.mark.parametrize("name", ["leave_out.json", "ours.json", "seeds.json"])
def test_every_run_of_the_other_tables_can_be_made(model, name):
    for run in read_runs(FOLDER / name):
        settings = run.settings_for(model, 4.0, STEPS, Path("photos"))
        assert settings.last_steps >= run.last_phase * STEPS


@pytest.mark.parametrize("ratio", [1.5, 4.0])
@pytest.mark.parametrize("run", orders(), ids=lambda run: run.name)
def test_layers_up_to_the_ratio_share_the_steps(model, run, ratio):
    settings = run.settings_for(model, ratio, STEPS, Path("photos"))
    layers = plan(model, settings).turns_until(ratio)
    assert layers * settings.steps_per_layer + settings.last_steps == STEPS
    assert (settings.steps_per_layer == 0) == (run.last_phase == 1)
    assert run.last_phase * STEPS <= settings.last_steps < run.last_phase * STEPS + layers + 1
    assert settings.rest == "float32"


def test_orders_are_what_they_are_called(model):
    named = {run.name: run.settings_for(model, 4.0, STEPS, Path("photos")) for run in orders()}
    assert named["inverse depth"].order == ("c3", "c2", "c1")
    assert named["all at once"].order == ("c3", "c2", "c1")
    assert named["largest first"].order == ("c2", "c3", "c1")
    assert (named["ours"].order, named["ours"].priority) == (None, "damage")


def test_forward_takes_the_layers_of_inverse_depth_to_the_same_ratio(model):
    for ratio in (1.2, 1.7, 4.0):
        named = {run.name: run.settings_for(model, ratio, STEPS, Path("photos")) for run in orders()}
        inverse, forward = (plan(model, named[name]) for name in ("inverse depth", "forward"))
        count = inverse.turns_until(ratio)
        assert forward.order == inverse.order[:count][::-1]
        # Within a run sizes are estimates: what names and function bodies take is spread over the layers.
        assert forward.largest_ratio == pytest.approx(inverse.ratios[count - 1], rel=5e-3)


def test_an_order_takes_its_own_layers_unless_told_otherwise(model):
    run = NamedRun("a", order="forward").settings_for(model, 1.5, STEPS, Path("photos"))
    assert run.order == ("c1", "c2", "c3")


def test_settings_of_the_table_give_way_to_those_of_a_run(table, model):
    entries = [{"name": "one"}, {"name": "two", "settings": {"rest": "int8", "last_steps": 7}}]
    runs = read_runs(table({"settings": {"rest": "float16", "seed": 3}, "runs": entries}))
    first, second = (run.settings_for(model, 1.5, STEPS, Path("photos")) for run in runs)
    assert [(s.rest, s.seed) for s in (first, second)] == [("float16", 3), ("int8", 3)]
    assert second.last_steps == 7


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not a table of runs"),
        ({"runs": []}, "found none"),
        ([], "not a table of runs"),
        ({"runs": [{"order": "forward"}]}, "name"),
        ({"runs": [{"name": "a", "speed": 1}]}, "speed"),
        ({"runs": [{"name": "a"}, {"name": "a"}]}, "different names, found a, a"),
        ({"runs": [{"name": "a", "order": "sideways"}]}, "'sideways': expected one of inverse depth"),
    ],
)
def test_what_is_no_table_is_named(table, content, says):
    with pytest.raises(OnnxbinError, match=says) as error:
        read_runs(table(content))
    assert "runs.json" in str(error.value)


def test_settings_that_there_are_not_are_named(model):
    with pytest.raises(OnnxbinError, match=r"run 'a': settings: .*speed"):
        NamedRun("a", settings={"speed": 1}).settings_for(model, 4.0, STEPS, Path("photos"))


def test_a_ratio_out_of_reach_is_refused(model):
    with pytest.raises(OnnxbinError, match=r"99 times smaller is out of reach for 'a'.*it is \d"):
        NamedRun("a").settings_for(model, 99.0, STEPS, Path("photos"))
