"""The colours of page and plots, by day and by night."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours as CSS and matplotlib both read them.

    ground: behind everything. panel: behind what is set apart. ink, muted: text. line: rules and grids.
    accent: the compressed model. original: the original.
    """

    ground: str
    panel: str
    ink: str
    muted: str
    line: str
    accent: str
    original: str


LIGHT = Theme("#ffffff", "#f5f6f8", "#1a1e24", "#5a6370", "#dfe3e8", "#0b66c2", "#b3590a")
DARK = Theme("#101418", "#191f25", "#e7eaee", "#9da7b3", "#2d353e", "#62b0f5", "#f0a35a")
