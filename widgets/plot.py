"""Numbers over time as upright bars, several rows high."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from widgets.theme import plain_glyphs

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_PLAIN = " ._-=+*#@"
_WIDEST = 6


def bars(values: Sequence[float], width: int, height: int) -> list[str]:
    """The rows of a plot from top to bottom, each at most ``width`` cells.

    Where there are more numbers than cells, each bar is the highest of those that share it; where there are fewer,
    bars are wider. Whatever is above nothing stands above the floor.
    """
    if width <= 0 or height <= 0 or not values:
        return [""] * max(0, height)
    shares = _shared(values, width)
    each = min(_WIDEST, width // len(shares))
    gap = 1 if each > 2 else 0
    highest = max(shares)
    glyphs = _PLAIN if plain_glyphs() else _EIGHTHS
    full = len(glyphs) - 1
    levels = [0 if value <= 0 else max(1, round(value / highest * height * full)) for value in shares]
    rows = []
    for row in range(height - 1, -1, -1):
        cells = (glyphs[min(full, max(0, level - row * full))] for level in levels)
        rows.append("".join(cell * (each - gap) + " " * gap for cell in cells))
    return rows


def _shared(values: Sequence[float], most: int) -> list[float]:
    if len(values) <= most:
        return list(values)
    edges = [round(number * len(values) / most) for number in range(most + 1)]
    return [max(values[start:end]) for start, end in itertools.pairwise(edges)]
