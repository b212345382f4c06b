"""A table that holds any number of rows: a cursor that stays with its row, marks, and keys to move."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from widgets.table_body import TableBody
from widgets.table_rows import GAP, Column, Rows

_NEAR = 64  # how far around a row that is gone the next one is looked for


class VirtualTable(TableBody):
    """Rows on the line API. Whoever owns the rows sorts and filters them; the table asks and shows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="table.open"),
        Binding("up,k", "move(-1)", "up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "down", show=False, id="table.down"),
        Binding("K", "move(-10)", "up ten", show=False, id="table.up_ten"),
        Binding("J", "move(10)", "down ten", show=False, id="table.down_ten"),
        Binding("ctrl+u", "half_page(-1)", "half a page up", show=False, id="table.half_page_up"),
        Binding("ctrl+d", "half_page(1)", "half a page down", show=False, id="table.half_page_down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="table.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="table.page_down"),
        Binding("home,g", "first", "first", show=False, id="table.first"),
        Binding("end,G", "last", "last", show=False, id="table.last"),
        Binding("space", "mark", "mark", id="table.mark"),
        Binding("V", "mark_range", "mark from the last mark", show=False, id="table.mark_range"),
        Binding("A", "mark_all", "mark all", show=False, id="table.mark_all"),
        Binding("backslash", "clear_marks", "clear marks", show=False, id="table.clear_marks"),
        Binding("s", "sort_next", "sort", id="table.sort"),
        Binding("S", "sort_reverse", "reverse", show=False, id="table.sort_reverse"),
    ]
    HELP_TITLE = "Table"

    @dataclass
    class Opened(Message):
        """Enter, or a click on the row under the cursor."""

        table: VirtualTable
        key: Hashable

        @property
        def control(self) -> VirtualTable:
            return self.table

    @dataclass
    class Moved(Message):
        """The cursor is at another row; None where there is none."""

        table: VirtualTable
        key: Hashable | None

        @property
        def control(self) -> VirtualTable:
            return self.table

    @dataclass
    class MarksChanged(Message):
        """Other rows are marked now."""

        table: VirtualTable
        marks: frozenset[Hashable]

        @property
        def control(self) -> VirtualTable:
            return self.table

    @dataclass
    class SortAsked(Message):
        """The operator wants another order; whoever owns the rows sorts them, and calls `sorted_by` and `show`."""

        table: VirtualTable
        column: str
        descending: bool

        @property
        def control(self) -> VirtualTable:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty: str = "nothing here",
        can_mark: bool = True,
        clock: Callable[[], float] = time.monotonic,
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(columns, empty=empty, clock=clock, id=id, classes=classes)
        self._can_mark = can_mark
        self._cursor_key: Hashable | None = None
        self._lost: Hashable | None = None  # under the cursor when the last row went
        self._moved_by_hand = False
        self._last_mark: Hashable | None = None

    @property
    def cursor_key(self) -> Hashable | None:
        """The key of the row under the cursor; None where there is no row."""
        return self._cursor_key

    @property
    def cursor_position(self) -> int:
        return self._cursor

    @property
    def marks(self) -> frozenset[Hashable]:
        """The keys of the marked rows, also of those that a filter hides at the moment."""
        return frozenset(self._marks)

    @property
    def targets(self) -> tuple[Hashable, ...]:
        """What an action is for: the marked rows, or the one under the cursor."""
        if self._marks:
            return tuple(self._marks)
        return () if self._cursor_key is None else (self._cursor_key,)

    def show(self, rows: Rows) -> None:
        """Show these rows in place of the former ones. Only the lines that differ are drawn again.

        The cursor stays with its row, on the same line of the screen; where the row is gone, it goes to the nearest
        that is left. A cursor that nobody has moved stays at the top.
        """
        before, cursor, top = self._rows, self._cursor, self._top
        drawn = self._drawn()
        in_sight = top <= cursor < top + self._page
        anchor = cursor if in_sight or not self._page else top
        self._rows, length = rows, len(rows)
        anchored = 0
        if self._moved_by_hand and length:
            self._cursor = self._position_in(rows, before, cursor, self._wanted_key)
            anchored = self._cursor if anchor == cursor else self._position_in(rows, before, anchor, None)
        else:
            self._cursor = 0
        self._strips.clear()
        if length != self._length:
            emptiness_changed = 0 in (length, self._length)
            self._length = length
            self._resize()
            if emptiness_changed:
                self.refresh_bindings()
        self._scroll_rows(anchored - (anchor - top))
        if drawn and self._top == top:
            self._refresh_where_different(drawn)
        else:
            self.refresh()
        self._take_key()

    def move_to(self, key: Hashable) -> bool:
        """Put the cursor at this row; False where there is no such row."""
        position = self._rows.position(key)
        if position is not None:
            self._go(position)
        return position is not None

    def set_marks(self, keys: Iterable[Hashable]) -> None:
        """Mark these rows and no others."""
        marks = set(keys)
        if marks == self._marks:
            return
        differing = marks ^ self._marks
        if not (marks and self._marks):
            self.refresh_bindings()
        self._marks = marks
        for position in self._visible():
            if self._rows.key(position) in differing:
                self._repaint_row(position)
        self.post_message(self.MarksChanged(self, frozenset(marks)))

    def _position_in(self, rows: Rows, before: Rows, position: int, key: Hashable | None) -> int:
        """Where a row that stood at a position is now, or the nearest of its old neighbours that is left."""
        if key is not None and (found := rows.position(key)) is not None:
            return found
        length = len(before)
        for distance in range(_NEAR):
            for near in (position + distance, position - distance):
                if 0 <= near < length and (found := rows.position(before.key(near))) is not None:
                    return found
        return min(position, len(rows) - 1)

    @property
    def _wanted_key(self) -> Hashable | None:
        """The row that the cursor is to stay with; of an empty table the one that it was at before."""
        return self._lost if self._cursor_key is None else self._cursor_key

    def _take_key(self) -> None:
        """Take note of the row that is under the cursor now, and say so where it is another."""
        key = self._rows.key(self._cursor) if self._length else None
        if key == self._cursor_key:
            return
        self._lost = self._wanted_key if key is None else None
        self._cursor_key = key
        self.post_message(self.Moved(self, key))

    def _go(self, position: int) -> None:
        if not self._length:
            return
        self._moved_by_hand = True
        former, self._cursor = self._cursor, max(0, min(position, self._length - 1))
        if former != self._cursor:
            self._repaint_row(former)
            self._repaint_row(self._cursor)
        self._keep_in_sight()
        self._take_key()

    def _keep_in_sight(self) -> None:
        if self._page:
            self._scroll_rows(min(self._cursor, max(self._top, self._cursor - self._page + 1)))

    def on_resize(self, _event: events.Resize) -> None:
        self._refit()
        self._keep_in_sight()

    def on_focus(self) -> None:
        self._repaint_row(self._cursor)

    def on_blur(self) -> None:
        self._repaint_row(self._cursor)

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            self._click_on_heading(event.x)
            return
        position = self._top + event.y - 1
        if position >= self._length:
            return
        if position == self._cursor and self._moved_by_hand:
            self.action_open()
        else:
            self._go(position)

    def _click_on_heading(self, x: int) -> None:
        left = 2
        for at, width in self._fit:
            column = self._columns[at]
            if left <= x < left + width and column.sortable:
                again = self._sort is not None and self._sort[0] == column.id
                self._ask_sort(column.id, descending=again and not (self._sort or ("", True))[1])
            left += width + GAP

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("mark", "mark_range", "mark_all"):
            return self._can_mark and self._length > 0
        if action == "clear_marks":
            return bool(self._marks)
        if action in ("sort_next", "sort_reverse"):
            return any(column.sortable for column in self._columns)
        return self._length > 0 if action == "open" else True

    def action_open(self) -> None:
        if self._cursor_key is not None:
            self._moved_by_hand = True
            self.post_message(self.Opened(self, self._cursor_key))

    def action_move(self, rows: int) -> None:
        self._go(self._cursor + rows)

    def action_half_page(self, direction: int) -> None:
        self._go(self._cursor + direction * max(1, self._page // 2))

    def action_page(self, direction: int) -> None:
        self._scroll_rows(self._top + direction * self._page)
        self._go(self._cursor + direction * max(1, self._page))

    def action_first(self) -> None:
        self._go(0)

    def action_last(self) -> None:
        self._go(self._length - 1)

    def action_mark(self) -> None:
        if self._cursor_key is not None:
            self._last_mark = self._cursor_key
            self.set_marks(self._marks ^ {self._cursor_key})
            self._go(self._cursor + 1)

    def action_mark_range(self) -> None:
        if not self._length:
            return
        start = None if self._last_mark is None else self._rows.position(self._last_mark)
        low, high = sorted((self._cursor if start is None else start, self._cursor))
        self.set_marks(self._marks | {self._rows.key(position) for position in range(low, high + 1)})

    def action_mark_all(self) -> None:
        self.set_marks(self._marks | {self._rows.key(position) for position in range(self._length)})

    def action_clear_marks(self) -> None:
        self.set_marks(())

    def action_sort_next(self) -> None:
        names = [column.id for column in self._columns if column.sortable]
        now = self._sort[0] if self._sort and self._sort[0] in names else names[-1]
        self._ask_sort(names[(names.index(now) + 1) % len(names)], descending=False)

    def action_sort_reverse(self) -> None:
        if self._sort:
            self._ask_sort(self._sort[0], descending=not self._sort[1])

    def _ask_sort(self, column: str, *, descending: bool) -> None:
        self.post_message(self.SortAsked(self, column, descending))
