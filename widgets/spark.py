"""A row of numbers as a row of little bars."""

from __future__ import annotations

from collections.abc import Sequence

from widgets.theme import plain_glyphs

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.,-=+*#"


def spark(values: Sequence[float | None], width: int, *, top: float | None = None) -> str:
    """The last ``width`` numbers; what is missing at the left, or is None, is a space.

    Args:
        top: the number that fills a cell; the highest of those shown where it is not given
    """
    bars = _PLAIN if plain_glyphs() else _BARS
    last = list(values)[-width:] if width > 0 else []
    highest = top if top is not None else max((value for value in last if value is not None), default=0)
    cells = []
    for value in last:
        if value is None:
            cells.append(" ")
        elif highest <= 0 or value <= 0:
            cells.append(bars[0])
        else:
            # Whatever is above nothing stands above the floor.
            cells.append(bars[min(len(bars) - 1, max(1, round(value / highest * (len(bars) - 1))))])
    return "".join(cells).rjust(width)
