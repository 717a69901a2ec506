"""Dataclasses out of JSON that somebody may have edited: every value is of the type that its field states."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_LARGEST = 2**63
"""No number in a file of ours is beyond it; larger integers of JSON fit no array and no float."""


def typed(cls: type[T], content: Any) -> T:
    """A dataclass from a JSON object; lists become tuples. Raises TypeError that names the field at fault."""
    if not isinstance(content, dict):
        raise TypeError(f"expected a JSON object, found {type(content).__name__}")
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
    hints = get_type_hints(cls)
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name in values and not _fits(values[field.name], hints[field.name]):
            raise TypeError(f"{field.name} is {str(values[field.name])[:40]!r}, expected {field.type}")
    return cls(**values)


def _fits(value: Any, hint: Any) -> bool:
    kind, inner = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return any(_fits(value, choice) for choice in inner)
    if kind is Literal:
        return value in inner
    if kind is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = inner[:1] * len(value) if inner[1:] == (...,) else inner
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if kind is Mapping:
        pairs = value.items() if isinstance(value, dict) else [(None, None)]
        return all(_fits(key, inner[0]) and _fits(entry, inner[1]) for key, entry in pairs)
    if hint in (int, float):
        if isinstance(value, float):
            return hint is float  # infinities and NaN too: measures may be
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST
    return isinstance(value, kind or hint)
