"""Dataclasses out of JSON: values of the types that the fields state, or an error that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from onnxbin.typed import typed


@dataclass(frozen=True)
class Thing:
    name: str
    count: int = 0
    share: float | None = None
    size: tuple[int, int] | None = None
    sizes: tuple[int, ...] = ()
    kind: Literal["a", "b"] = "a"
    costs: Mapping[str, float] | None = None


@pytest.mark.parametrize(
    "content",
    [
        {"name": "x"},
        {"name": "x", "count": -3, "share": 1, "size": [1, 2], "sizes": [], "kind": "b"},
        {"name": "x", "share": float("nan"), "sizes": [1, 2, 3], "costs": {"y": 1, "z": float("inf")}},
    ],
)
def test_what_fits_is_taken(content):
    tuples = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
    assert repr(typed(Thing, content)) == repr(Thing(**tuples))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([], "JSON object"),
        ({}, "name"),
        ({"name": 1}, "name"),
        ({"name": "x", "other": 1}, "other"),
        ({"name": "x", "count": True}, "count"),
        ({"name": "x", "count": 1.0}, "count"),
        ({"name": "x", "count": 10**400}, "count"),
        ({"name": "x", "share": "1"}, "share"),
        ({"name": "x", "share": 10**400}, "share"),
        ({"name": "x", "size": [1]}, "size"),
        ({"name": "x", "size": [1, "2"]}, "size"),
        ({"name": "x", "sizes": None}, "sizes"),
        ({"name": "x", "kind": "c"}, "kind"),
        ({"name": "x", "kind": []}, "kind"),
        ({"name": "x", "costs": {"y": "z"}}, "costs"),
        ({"name": "x", "costs": [1]}, "costs"),
    ],
)
def test_what_does_not_is_named(content, named):
    with pytest.raises(TypeError, match=named):
        typed(Thing, content)
