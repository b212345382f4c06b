"""From the picture that is wanted to the few bytes that make a terminal show it.

The painter keeps two grids: what is wanted, and what was sent. A frame is their difference: runs of changed cells,
with the style and the cursor carried over from the last frame, and a scroll region where rows only moved. A frame may
be left out at any time (a slow line); the next one then carries everything that is still different.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from console.terminal.grid import UNKNOWN, Grid, cells_of
from console.terminal.sgr import erases_alike, transition, without_link

_GAP = 6
"""Unchanged cells between two changes that are sent again rather than jumped over: a jump costs about as much."""
_ERASE = 12
"""From so many blanks on, erasing and jumping is shorter; to the end of the line, from so many:"""
_ERASE_TO_END = 4
_MOVE_COST = 7
_SCROLL_COST = 24
"""Bytes of setting a scroll region, scrolling and resetting it."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Rows ``top`` to ``bottom`` move up by ``lines`` (down where negative)."""

    top: int
    bottom: int
    lines: int


class Painter:
    """Turns wanted cells into bytes for one terminal.

    erases_with_background   see `sgr.erases_alike`
    """

    def __init__(self, *, erases_with_background: bool = True) -> None:
        self._erases_with_background = erases_with_background
        self.wanted = Grid(0, 0)
        self.shown = Grid(0, 0)
        self._style: str | None = None
        self._cursor: tuple[int, int] | None = None

    def resize(self, width: int, height: int) -> None:
        """A terminal of another size: all of it is sent with the next frame."""
        self.wanted = Grid(width, height)
        self.shown = Grid(width, height)
        self._style = self._cursor = None

    def forget(self) -> None:
        """The terminal may show anything now: the next frame sends all of the wanted picture."""
        self.shown.forget()
        self._style = self._cursor = None

    def frame(self, cursor: tuple[int, int] | None = None) -> str:
        """What to send so that the terminal shows what is wanted; empty where it already does.

        cursor   the cell (x, y) where the terminal's cursor is left, for input methods; None leaves it anywhere
        """
        out: list[str] = []
        changed = self._changed()
        shift = self._shift(changed) if len(changed) > 3 else None
        if shift is not None:
            self._scroll(shift, out)
            changed = self._changed()
        for y, columns in changed.items():
            for start, end in self._runs(y, columns):
                self._write(y, start, end, out)
            self.shown.copy_row(y, self.wanted)
        if self._style is not None:
            # A link that is left open would run into what somebody else prints.
            self._write_style(without_link(self._style), out)
        if cursor is not None and cursor != self._cursor:
            self._move(*cursor, out)
        return "".join(out)

    def _changed(self) -> dict[int, list[int]]:
        """The columns that differ, by row."""
        wanted, shown = self.wanted, self.shown
        found: dict[int, list[int]] = {}
        for y in range(wanted.height):
            glyphs, styles, old_glyphs, old_styles = (
                wanted.glyphs[y],
                wanted.styles[y],
                shown.glyphs[y],
                shown.styles[y],
            )
            if glyphs == old_glyphs and styles == old_styles:
                continue
            columns = _different(glyphs, styles, old_glyphs, old_styles)
            if columns:
                found[y] = columns
        return found

    def _runs(self, y: int, columns: list[int]) -> Iterator[tuple[int, int]]:
        """The changed columns as stretches to write, short gaps of one style closed, wide glyphs whole."""
        glyphs, styles = self.wanted.glyphs[y], self.wanted.styles[y]
        columns = _with_neighbours(glyphs, columns)
        start = last = columns[0]
        for column in columns[1:]:
            gap = range(last + 1, column)
            if len(gap) > _GAP or any(styles[x] != styles[last] or glyphs[x] == UNKNOWN for x in gap):
                yield _whole(glyphs, start, last)
                start = column
            last = column
        yield _whole(glyphs, start, last)

    def _write(self, y: int, start: int, end: int, out: list[str]) -> None:
        glyphs, styles = self.wanted.glyphs[y], self.wanted.styles[y]
        x = start
        while x < end:
            style = styles[x]
            after = x + 1
            while after < end and styles[after] == style:
                after += 1
            self._write_style(style, out)
            if erases_alike(style, with_background=self._erases_with_background):
                self._write_erasing(glyphs, x, after, y, out)
            else:
                self._move(x, y, out)
                self._write_glyphs(glyphs, x, after, y, out)
            x = after

    def _write_style(self, style: str, out: list[str]) -> None:
        out.append(transition(self._style, style))
        self._style = style

    def _write_erasing(self, glyphs: list[str], start: int, end: int, y: int, out: list[str]) -> None:
        """Write glyphs of one style, long blanks by erasing."""
        for blank, stretch in groupby(range(start, end), key=lambda x: glyphs[x] == " "):
            columns = list(stretch)
            first, after = columns[0], columns[-1] + 1
            self._move(first, y, out)
            if blank and after == self.wanted.width and len(columns) >= _ERASE_TO_END:
                out.append("\x1b[K")
            elif blank and len(columns) >= _ERASE:
                out.append(f"\x1b[{len(columns)}X")
            else:
                self._write_glyphs(glyphs, first, after, y, out)

    def _write_glyphs(self, glyphs: list[str], start: int, end: int, y: int, out: list[str]) -> None:
        text = "".join(glyphs[start:end])
        if text.isascii() or not any(map(_is_uncertain, glyphs[start:end])):
            out.append(text)
        else:
            for x in range(start, end):
                glyph = glyphs[x]
                if not _is_uncertain(glyph):
                    out.append(glyph)
                    continue
                # Terminals disagree about how wide such a glyph is: blank its cells, draw it, and say where to go on.
                width = 2 if x + 1 < end and glyphs[x + 1] == "" else 1
                after = min(x + width, len(glyphs) - 1)
                out.append(f"{' ' * width}\x1b[{y + 1};{x + 1}H{glyph}\x1b[{y + 1};{after + 1}H")
        # In the last column a terminal waits with its cursor: where it is then differs between terminals.
        self._cursor = (end, y) if end < self.wanted.width else None

    def _move(self, x: int, y: int, out: list[str]) -> None:
        if self._cursor == (x, y):
            return
        if self._cursor is not None and self._cursor[1] == y and x > self._cursor[0]:
            step = x - self._cursor[0]
            out.append(f"\x1b[{step}C" if step > 1 else "\x1b[C")
        else:
            out.append(f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H")
        self._cursor = (x, y)

    def _shift(self, changed: dict[int, list[int]]) -> Shift | None:
        """The scroll that makes the changed rows cheaper, if there is one.

        Rows vote for how far they moved; only what lies between the outermost changed columns is compared, so that
        a frame around a list does not hide that the list moved.
        """
        first, last = min(changed), max(changed)
        left = min(columns[0] for columns in changed.values())
        right = max(columns[-1] for columns in changed.values()) + 1
        band = range(first, last + 1)
        shown = [_content(self.shown, y, left, right) for y in band]
        seen = Counter(shown)
        # A row that stands there twice (a blank one) cannot say how far it moved.
        places = {content: y for y, content in zip(band, shown, strict=True) if seen[content] == 1}
        moves = {y: places.get(_content(self.wanted, y, left, right)) for y in band}
        votes = Counter(old - y for y, old in moves.items() if old is not None and old != y)
        if not votes:
            return None
        lines, count = votes.most_common(1)[0]
        if count < 3:
            return None
        voters = [y for y, old in moves.items() if old is not None and old - y == lines]
        top, bottom = min(voters) + min(lines, 0), max(voters) + max(lines, 0)
        saved = sum(self._saved(y, y + lines, top, bottom, _cost(changed.get(y, ()))) for y in range(top, bottom + 1))
        return Shift(top, bottom, lines) if saved > _SCROLL_COST else None

    def _saved(self, y: int, source: int, top: int, bottom: int, cost: int) -> int:
        """About how many bytes less a row costs when ``source`` is scrolled to it; negative where it costs more."""
        wanted, shown = self.wanted, self.shown
        if not top <= source <= bottom:
            return cost - _cost(range(wanted.width))
        columns = _different(wanted.glyphs[y], wanted.styles[y], shown.glyphs[source], shown.styles[source])
        return cost - _cost(columns)

    def _scroll(self, shift: Shift, out: list[str]) -> None:
        out.append(f"\x1b[{shift.top + 1};{shift.bottom + 1}r")
        if shift.lines > 0:
            out.append(f"\x1b[{shift.bottom + 1}H" + "\n" * shift.lines)
        else:
            out.append(f"\x1b[{shift.top + 1}H" + "\x1bM" * -shift.lines)
        out.append("\x1b[r")
        self.shown.scroll(shift.top, shift.bottom, shift.lines)
        self._cursor = None


def _different(glyphs: list[str], styles: list[str], old_glyphs: list[str], old_styles: list[str]) -> list[int]:
    return [
        x
        for x, (glyph, style, old_glyph, old_style) in enumerate(
            zip(glyphs, styles, old_glyphs, old_styles, strict=True)
        )
        if (glyph != old_glyph or style != old_style) and glyph != UNKNOWN
    ]


def _cost(columns: Sequence[int]) -> int:
    """About how many bytes these columns of a row cost, without their styles."""
    if not columns:
        return 0
    return len(columns) + _MOVE_COST * (1 + sum(after - before > _GAP for before, after in pairwise(columns)))


def _whole(glyphs: list[str], start: int, last: int) -> tuple[int, int]:
    """A stretch from ``start`` to after ``last`` that cuts no wide glyph in two."""
    if glyphs[start] == "":
        start -= 1
    end = last + 1
    if end < len(glyphs) and glyphs[end] == "":
        end += 1
    return start, end


def _with_neighbours(glyphs: list[str], columns: list[int]) -> list[int]:
    """Also the cells that a terminal may draw over with a glyph of uncertain width, before they are sent again."""
    uncertain = [x for x in columns if _is_uncertain(glyphs[x])]
    if not uncertain:
        return columns
    reached = {at for x in uncertain for at in range(x + 1, min(x + _widest(glyphs[x]) + 1, len(glyphs)))}
    return sorted({*columns, *(x for x in reached if glyphs[x] != UNKNOWN)})


def _widest(glyph: str) -> int:
    """Cells that a glyph may take on a terminal: each of its characters for itself, and wide at least."""
    return max(2, sum(len(cells_of(character)) for character in glyph))


def _is_uncertain(glyph: str) -> bool:
    return len(glyph) > 1 or "\U0001f000" <= glyph < "\U00020000"


def _content(grid: Grid, y: int, left: int, right: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(grid.glyphs[y][left:right]), tuple(grid.styles[y][left:right])
