"""How a table is drawn: a header, the rows that are on the screen and no others, and a sign at fresh changes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.timer import Timer

from widgets.fit import clip
from widgets.paint import Painted, Part, fitted
from widgets.table_rows import GAP, Column, ListRows, Rows, fit_columns
from widgets.theme import sign

_GUTTER = 2  # the cursor, and the mark or the sign of a change
_KEPT_STRIPS = 512
# Seconds for which a change is shown in each paint, the freshest first.
_FADING = ((6.0, "key"), (15.0, "accent"), (30.0, "muted"))
_FADE_STEP = 3.0


class TableBody(Painted, can_focus=True):
    """Rows, columns and how they look. `widgets.virtual_table.VirtualTable` adds the hand of the operator."""

    DEFAULT_CSS = "TableBody { height: 1fr; overflow-y: scroll; }"

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty: str = "nothing here",
        clock: Callable[[], float] = time.monotonic,
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._columns = tuple(columns)
        self._empty = empty
        self._clock = clock
        self._rows: Rows = ListRows()
        self._length = 0
        self._cursor = 0
        self._marks: set[Hashable] = set()
        self._sort: tuple[str, bool] | None = None
        self._changed: dict[Hashable, float] = {}
        self._fading: Timer | None = None
        self._fit: list[tuple[int, int]] = []
        # By position: how the row looked (key, ground, marked, paint of the Δ), and its line.
        self._strips: OrderedDict[int, tuple[tuple[Hashable, str, bool, str], Strip]] = OrderedDict()

    @property
    def rows(self) -> Rows:
        return self._rows

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._columns

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """The ids of the columns that the width leaves room for."""
        return tuple(self._columns[at].id for at, _ in self._fit)

    def refresh_keys(self, keys: Collection[Hashable]) -> None:
        """The cells of these rows are others now; only their lines are drawn again."""
        for key in keys:
            position = self._rows.position(key)
            if position is not None:
                self._refresh_row(position)

    def mark_changed(self, keys: Iterable[Hashable]) -> None:
        """As `refresh_keys`, and a Δ stands at the rows, which fades in steps."""
        now, found = self._clock(), list(keys)
        self._changed.update(dict.fromkeys(found, now))
        if self._changed and self._fading is None and self.is_mounted:
            self._fading = self.set_interval(_FADE_STEP, self._fade)
        self.refresh_keys(found)

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Other columns, for rows that have as many cells; call `show` where those change too."""
        self._columns = tuple(columns)
        self._refit()

    def set_empty(self, text: str) -> None:
        """What stands there while there are no rows."""
        self._empty = text
        if not self._length:
            self.refresh()

    def sorted_by(self, column: str | None, descending: bool = False) -> None:
        """Say in the header what the rows are sorted by."""
        self._sort = None if column is None else (column, descending)
        self._refresh_line(0)

    # Drawing

    @property
    def _page(self) -> int:
        """Rows that fit below the header."""
        return max(0, self.size.height - 1)

    @property
    def _top(self) -> int:
        """The position of the first row on the screen."""
        return int(self.scroll_offset.y)

    def _scroll_rows(self, top: int) -> None:
        top = max(0, min(top, self._length - self._page))
        if top != self._top:
            self.scroll_to(y=top, animate=False, force=True, immediate=True)

    def _resize(self) -> None:
        self.virtual_size = Size(self.width, self._length + 1)

    def _refit(self) -> None:
        self._fit = fit_columns(self._columns, self.width - _GUTTER)
        self._strips.clear()
        self._resize()
        self.refresh()

    def paints_changed(self) -> None:
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        if y == 0:
            return self._header()
        position = self._top + y - 1
        if position < self._length:
            return self._row(position)
        if y == 2 and not self._length:
            text = clip(self._empty, self.width - _GUTTER)
            return self.strip([(" " * _GUTTER, ""), (text, "muted")], self.width)
        return self.strip((), self.width)

    def _header(self) -> Strip:
        parts: list[Part] = [(" " * _GUTTER, "heading")]
        for at, width in self._fit:
            column = self._columns[at]
            title = column.title
            if self._sort and self._sort[0] == column.id:
                title = clip(title, width - 1) + sign("down" if self._sort[1] else "up")
            parts += [(text, "heading") for text, _ in fitted(title, width, right=column.right)]
            parts.append((" " * GAP, "heading"))
        return self.strip(parts, self.width)

    def _row(self, position: int) -> Strip:
        key = self._rows.key(position)
        ground = ("cursor" if self.has_focus else "resting") if position == self._cursor else ""
        look = (key, ground, key in self._marks, self._fade_paint(key))
        kept = self._strips.get(position)
        if kept is not None and kept[0] == look:
            self._strips.move_to_end(position)
            return kept[1]
        strip = self.strip(self._row_parts(position, look[2], look[3]), self.width, ground=ground)
        self._strips[position] = look, strip
        if len(self._strips) > _KEPT_STRIPS:
            self._strips.popitem(last=False)
        return strip

    def _row_parts(self, position: int, marked: bool, fade: str) -> list[Part]:
        parts: list[Part] = [(sign("cursor"), "accent") if position == self._cursor else (" ", "")]
        if marked:
            parts.append((sign("mark"), "key"))
        else:
            parts.append((sign("changed"), fade) if fade else (" ", ""))
        cells = self._rows.cells(position)
        for number, (at, width) in enumerate(self._fit):
            column = self._columns[at]
            if number:
                parts.append((" " * GAP, ""))
            parts += fitted(cells[at], width, right=column.right, middle=column.middle)
        return [(text, name or "strong") for text, name in parts] if marked else parts

    def _visible(self) -> range:
        return range(self._top, min(self._top + self._page, self._length))

    def _drawn(self) -> list[Strip | None]:
        """The rows as they stand on the screen, as far as that is still known."""
        if not self._strips:
            return []
        return [self._strips[at][1] if at in self._strips else None for at in range(self._top, self._top + self._page)]

    def _refresh_where_different(self, before: list[Strip | None]) -> None:
        for line, old in enumerate(before):
            position = self._top + line
            new = self._row(position) if position < self._length else None
            if new is None or old is None or new != old:
                self._refresh_line(line + 1)

    def _refresh_line(self, line: int) -> None:
        self.refresh(Region(0, line, self.width, 1))

    def _refresh_row(self, position: int) -> None:
        """The row is drawn again; for one that only looks different, `_repaint_row` does."""
        self._strips.pop(position, None)
        self._repaint_row(position)

    def _repaint_row(self, position: int) -> None:
        if 0 <= position - self._top < self._page:
            self._refresh_line(position - self._top + 1)

    # Changes that fade

    def _fade_paint(self, key: Hashable) -> str:
        if not self._changed or (since := self._changed.get(key)) is None:
            return ""
        passed = self._clock() - since
        return next((paint for seconds, paint in _FADING if passed < seconds), "")

    def _fade(self) -> None:
        """Draw the rows again whose Δ has come to its next step; stop when none is left."""
        for position in self._visible():
            kept = self._strips.get(position)
            if kept is not None and kept[0][3] != self._fade_paint(self._rows.key(position)):
                self._repaint_row(position)
        now = self._clock()
        self._changed = {key: since for key, since in self._changed.items() if now - since < _FADING[-1][0]}
        if not self._changed and self._fading is not None:
            self._fading.stop()
            self._fading = None
