"""No graph of the zoo makes onnxbin stumble, none changes unnoticed, and docs/zoo.md says so."""

from pathlib import Path

import pytest
import zoo

DOCUMENT = Path(__file__).parents[1] / "docs" / "zoo.md"

PREPARED, BINARY = 1e-5, 1e-5
"""Rounding: float32 sums in another order."""

HALF = 2e-3
"""Two steps of float16."""

SLOW = ("alexnet", "densenet", "resnet", "vgg", "zfnet", "inception_v2")
"""Seconds each; they repeat what others show, and are in the document all the same."""


@pytest.fixture(scope="module")
def documented():
    """The first cell of each row, split into names, with the cells behind it."""
    rows = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| "):
            rows.update((name, cells[1:]) for name in cells[0].split(", "))
    return rows


@pytest.mark.parametrize("kind", [zoo.STANDARD, zoo.PACKAGE, zoo.FORMS])
def test_every_graph(kind, documented):
    for case in zoo.cases():
        if case.kind != kind or any(name in case.name for name in SLOW):
            continue
        found = zoo.examine(case.build())
        limits = (HALF, HALF) if "float16 throughout" in case.name else (PREPARED, BINARY)
        if found.prepared is not None:
            assert found.prepared <= limits[0], case.name
            assert found.binary <= limits[1], case.name
        _, _, taken, left_alone, *_ = documented[case.name]
        assert taken == f"{found.candidates} of {found.convolutions}", case.name
        assert all(reason in left_alone for reason in found.reasons), case.name


@pytest.mark.parametrize("name", zoo.FORM_BUILDERS)
def test_the_forms_are_understood(name):
    """A chain of four convolutions, of which the middle two can become binary, whatever its form."""
    untouchable = {
        "1-D": 0,
        "ConvTranspose": 1,
        "QDQ": 0,
        "auto_pad SAME_UPPER with stride 2 and dynamic size": 1,
    }
    assert zoo.examine(zoo.FORM_BUILDERS[name]()).candidates == untouchable.get(name, 2)


@pytest.mark.shared
def test_real_detectors_are_documented(shared, documented):
    names = {path.stem for path in (shared / "models").glob("*.onnx")}
    assert names <= documented.keys()
