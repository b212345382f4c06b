"""Lines that are made anew when something changes: lists short enough to be drawn from a list of painted lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.strip import Strip

from widgets.paint import Painted, Part
from widgets.theme import sign


class Listing(Painted, can_focus=True):
    """Painted lines with a cursor. A subclass makes the lines (`make_lines`) and says which can be stood on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, id="list.up"),
        Binding("down,j", "move(1)", "down", show=False, id="list.down"),
        Binding("ctrl+u", "page(-0.5)", "half a page up", show=False, id="list.half_page_up"),
        Binding("ctrl+d", "page(0.5)", "half a page down", show=False, id="list.half_page_down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="list.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="list.page_down"),
        Binding("home,g", "first", "first", show=False, id="list.first"),
        Binding("end,G", "last", "last", show=False, id="list.last"),
    ]
    DEFAULT_CSS = "Listing { height: 1fr; overflow-y: auto; }"
    RESTS: ClassVar[bool] = True
    """Whether the cursor is seen while the focus is elsewhere."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, classes=classes)
        self._lines: list[Sequence[Part]] = []
        self._cursor = 0

    def make_lines(self) -> list[Sequence[Part]]:
        """Every line, for the present width; the first cell of each is left to the cursor."""
        raise NotImplementedError

    def can_stand(self, _line: int) -> bool:
        """Whether the cursor can be on this line."""
        return True

    def cursor_moved(self) -> None:
        """The operator has put the cursor at another line."""

    @property
    def cursor_line(self) -> int:
        return self._cursor

    def rebuild(self) -> None:
        """Make the lines again and draw those that differ."""
        before, self._lines = self._lines, self.make_lines()
        self._cursor = max(0, min(self._cursor, len(self._lines) - 1))
        if len(before) != len(self._lines):
            self.virtual_size = Size(self.width, len(self._lines))
            self.refresh(layout=self.styles.auto_dimensions)
            return
        for line, (old, new) in enumerate(zip(before, self._lines, strict=True)):
            if old != new:
                self._refresh_line(line)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._lines))

    def render_line(self, y: int) -> Strip:
        line = y + int(self.scroll_offset.y)
        if line >= len(self._lines):
            return self.strip((), self.width)
        at_cursor = line == self._cursor and self.can_stand(line) and self.can_focus
        at_cursor = at_cursor and (self.RESTS or self.has_focus)
        ground = ("cursor" if self.has_focus else "resting") if at_cursor else ""
        left: Part = (sign("cursor"), "accent") if at_cursor else (" ", "")
        return self.strip([left, *self._lines[line]], self.width, ground=ground)

    def _refresh_line(self, line: int) -> None:
        y = line - int(self.scroll_offset.y)
        if 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.width, 1))

    def on_resize(self, _event: events.Resize) -> None:
        self.rebuild()
        self.refresh()

    def on_focus(self) -> None:
        self._refresh_line(self._cursor)

    def on_blur(self) -> None:
        self._refresh_line(self._cursor)

    def on_click(self, event: events.Click) -> None:
        line = event.y + int(self.scroll_offset.y)
        if line < len(self._lines) and self.can_stand(line):
            self.go(line)

    def action_move(self, lines: int) -> None:
        direction = 1 if lines > 0 else -1
        line = self._cursor + direction
        while 0 <= line < len(self._lines) and not self.can_stand(line):
            line += direction
        if 0 <= line < len(self._lines):
            self.go(line)
        elif direction < 0:
            self._scroll(0)  # what stands above the first line that can be stood on

    def action_page(self, pages: float) -> None:
        self._go_near(self._cursor + int(pages * self.size.height))

    def action_first(self) -> None:
        self._go_near(0)
        self._scroll(0)

    def action_last(self) -> None:
        self._go_near(len(self._lines) - 1)

    def _go_near(self, line: int) -> None:
        line = max(0, min(line, len(self._lines) - 1))
        standing = [at for at in range(len(self._lines)) if self.can_stand(at)]
        if standing:
            self.go(min(standing, key=lambda at: abs(at - line)))

    def go(self, line: int) -> None:
        """Put the cursor at this line."""
        former, self._cursor = self._cursor, line
        if former != line:
            self._refresh_line(former)
            self._refresh_line(line)
        top, page = int(self.scroll_offset.y), self.size.height
        if page:
            self._scroll(min(line, max(top, line - page + 1)))
        if former != line:
            self.cursor_moved()

    def _scroll(self, top: int) -> None:
        if top != int(self.scroll_offset.y):
            self.scroll_to(y=top, animate=False, force=True, immediate=True)
