"""Plots: readable files, whatever layers are called and however many there are."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from onnxbin.report.plots import Curve, Point, _spread, png, svg
from onnxbin.report.theme import DARK, LIGHT

NAMES = ("$x_1$", "<script>", "a -- b", "\N{CJK UNIFIED IDEOGRAPH-5C42}", "x" * 300, "\N{BELL}", "")


def curve(names=NAMES, **changes):
    points = [Point(i, name, 1.2**i, 1 / i) for i, name in enumerate(names, 1)]
    values = {"label": "AP", "original": 0.9, "share": True, "form": "{:.3f}", "caption": "", **changes}
    return Curve(points=points, **values)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_svg_is_xml_without_links_or_scripts(theme):
    root = ElementTree.fromstring(svg(curve(), theme))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "path" in tags
    assert not tags & {"script", "image", "text", "a"}
    targets = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert all(target.startswith("#") for target in targets)


def test_same_figures_same_bytes():
    assert svg(curve(), LIGHT) == svg(curve(), LIGHT)


def test_themes_differ():
    assert svg(curve(), LIGHT) != svg(curve(), DARK)
    corner = Image.open(io.BytesIO(png(curve(), DARK))).convert("RGB").getpixel((0, 0))
    assert "#{:02x}{:02x}{:02x}".format(*corner) == DARK.ground


@pytest.mark.parametrize(
    "shown",
    [
        curve(names=["one"]),
        curve(names=[f"layer.{i}" for i in range(120)]),
        curve(original=None),
        curve(share=False, original=40.0),
    ],
    ids=["one step", "many steps", "no original", "latency"],
)
def test_no_number_of_steps_is_too_many(shown):
    image = Image.open(io.BytesIO(png(shown, LIGHT)))
    assert 800 < image.width < 2000
    assert 600 < image.height < 2000


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20).map(sorted))
def test_names_keep_their_distance_and_their_order(wanted):
    space = 1 / 20
    places = _spread(np.array(wanted), space)
    assert (np.diff(places) >= space - 1e-9).all()
    assert places[-1] <= max(1.0, wanted[-1])
    assert places[0] >= min(0.0, wanted[0]) - 1e-9 or len(wanted) == 20
