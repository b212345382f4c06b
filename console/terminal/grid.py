"""What a terminal shows, as cells: one glyph and one style each.

A glyph is what one cell holds: a character with its combining marks, ``""`` for the second half of a wide one, or
`UNKNOWN`. Widths are Rich's, because Textual lays out by them.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import split_graphemes

UNKNOWN = "\x00"
"""Nobody knows what this cell shows: it differs from everything."""

_JOINERS = {"\u200c", "\u200d"}


@lru_cache(maxsize=8192)
def cells_of(text: str) -> tuple[str, ...]:
    """The glyphs of a text, one for each cell it takes.

    Control and format characters take no cell and are left out: what steers a terminal does not reach it through a
    cell, even where a widget forgot to escape a name.
    """
    spans, _ = split_graphemes(text)
    found: list[str] = []
    for start, end, width in spans:
        if width == 0:
            continue
        glyph = text[start] if end - start == 1 else text[start] + _marks(text[start + 1 : end])
        found.append(glyph)
        if width == 2:
            found.append("")
    return tuple(found)


def _marks(text: str) -> str:
    # After a joiner stands a whole character; everything else that may follow is a mark or a variation selector.
    return "".join(c for c in text if c in _JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


class Grid:
    """Rows of glyphs and rows of styles, both ``[y][x]``. Every wide glyph has its second half beside it."""

    __slots__ = ("glyphs", "height", "styles", "width")

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.glyphs: list[list[str]] = [[UNKNOWN] * width for _ in range(height)]
        self.styles: list[list[str]] = [[""] * width for _ in range(height)]

    def put(self, x: int, y: int, text: str, style: str, *, until: int | None = None) -> int:
        """Write a text from a cell on, cut at the right edge; returns the column after it.

        until   the column where it is cut before that; a wide glyph that begins before it is written whole
        """
        row = self.glyphs[y]
        glyphs = text if text.isascii() and text.isprintable() else cells_of(text)
        end = min(x + len(glyphs), self.width)
        if until is not None and until < end:
            end = until + 1 if glyphs[until - x] == "" else until
        if end <= x:
            return x
        if (room := end - x) < len(glyphs):
            # A wide glyph that has room for its first half only is a blank.
            glyphs = (*glyphs[: room - 1], " ") if glyphs[room] == "" else glyphs[:room]
        # A wide glyph that is half overwritten is gone, as on a terminal.
        if row[x] == "":
            row[x - 1] = " "
        if end < self.width and row[end] == "":
            row[end] = " "
        row[x:end] = glyphs
        self.styles[y][x:end] = [style] * (end - x)
        return end

    def copy_row(self, y: int, source: Grid) -> None:
        self.glyphs[y] = source.glyphs[y].copy()
        self.styles[y] = source.styles[y].copy()

    def forget(self) -> None:
        """What is shown is no longer known: after a resize, a suspend, another program's output."""
        for y in range(self.height):
            self.glyphs[y] = [UNKNOWN] * self.width

    def scroll(self, top: int, bottom: int, lines: int) -> None:
        """Move the rows from ``top`` to ``bottom`` up (``lines`` > 0) or down; the rows that come in are unknown."""
        for rows, blank in ((self.glyphs, UNKNOWN), (self.styles, "")):
            incoming = [[blank] * self.width for _ in range(abs(lines))]
            kept = rows[top : bottom + 1]
            rows[top : bottom + 1] = kept[lines:] + incoming if lines > 0 else incoming + kept[:lines]
