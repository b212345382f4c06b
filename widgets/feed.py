"""Live lines over a ring that somebody else fills: follow, pause, scroll back, and never move what is being read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from widgets.meter_text import grouped
from widgets.paint import Cell, Painted, Part, cut, length_of, parts_of
from widgets.theme import State, sign


class Ring(Protocol):
    """The newest lines of something, numbered without gaps. Only the newest are kept; the number goes on."""

    @property
    def first(self) -> int:
        """The number of the oldest line that is still there."""
        ...

    @property
    def last(self) -> int:
        """The number of the newest line; ``first - 1`` where there is none."""
        ...

    @property
    def dropped(self) -> int:
        """Lines that were lost before they came into the ring (not those that were there and are too old now)."""
        ...

    def line(self, seq: int) -> Cell: ...


class FeedView(Painted, can_focus=True):
    """Shows a ring. Its owner calls `advance` when there is something new, at most some times a second."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="feed.open"),
        Binding("f", "follow", "follow", id="feed.follow"),
        Binding("space", "pause", "pause", id="feed.pause"),
        Binding("up,k", "move(-1)", "up", show=False, id="feed.up"),
        Binding("down,j", "move(1)", "down", show=False, id="feed.down"),
        Binding("ctrl+u", "page(-0.5)", "half a page up", show=False, id="feed.half_page_up"),
        Binding("ctrl+d", "page(0.5)", "half a page down", show=False, id="feed.half_page_down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="feed.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="feed.page_down"),
        Binding("home,g", "oldest", "oldest", show=False, id="feed.oldest"),
        Binding("end,G", "newest", "newest, and follow", show=False, id="feed.newest"),
    ]
    HELP_TITLE = "Feed"
    DEFAULT_CSS = "FeedView { height: 1fr; }"

    @dataclass
    class Opened(Message):
        """Enter, or a click on the line under the cursor."""

        feed: FeedView
        seq: int

        @property
        def control(self) -> FeedView:
            return self.feed

    @dataclass
    class Moved(Message):
        """The cursor is at another line because the operator moved it (not because of following)."""

        feed: FeedView
        seq: int

        @property
        def control(self) -> FeedView:
            return self.feed

    @dataclass
    class FollowChanged(Message):
        """Following began or ended."""

        feed: FeedView
        following: bool

        @property
        def control(self) -> FeedView:
            return self.feed

    def __init__(
        self,
        ring: Ring,
        *,
        empty: str = "nothing has happened yet",
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._ring = ring
        self._empty = empty
        self._wanted: Callable[[int], bool] | None = None
        self._seen = ring.first - 1  # the newest line that was looked at
        self._shown: list[int] = []
        self._top = 0
        self._cursor = 0
        self._unread = 0
        self._following = True
        self._summary: Cell = ""

    @property
    def following(self) -> bool:
        return self._following

    @property
    def unread(self) -> int:
        """Lines that came since following ended."""
        return self._unread

    @property
    def cursor_seq(self) -> int | None:
        """The number of the line under the cursor."""
        return self._shown[self._cursor] if self._shown else None

    @property
    def shown(self) -> int:
        """Lines that the filter lets through."""
        return len(self._shown)

    def set_ring(self, ring: Ring) -> None:
        """Show another ring, from its beginning."""
        self._ring = ring
        self.set_filter(self._wanted)

    def set_filter(self, wanted: Callable[[int], bool] | None) -> None:
        """Show only the lines whose number passes. The cursor stays at its line, or the next that is left."""
        reading = self.cursor_seq
        self._wanted = wanted
        self._shown, self._seen, self._unread = [], self._ring.first - 1, 0
        self._take_new()
        self._unread = 0
        if self._following or reading is None:
            self._to_end()
        else:
            self._cursor = self._top = min(bisect_left(self._shown, reading), max(0, len(self._shown) - 1))
            self._keep_in_sight()
        self.refresh()

    def set_summary(self, summary: Cell) -> None:
        """What stands at the right of the head line: rates, filters."""
        if summary != self._summary:
            self._summary = summary
            self._refresh_line(0)

    def advance(self) -> None:
        """Take over what came into the ring, and what fell out of it."""
        before = (len(self._shown), self._top, self._unread, self._ring.dropped)
        gone = bisect_left(self._shown, self._ring.first)
        if gone:
            del self._shown[:gone]
            self._top, self._cursor = max(0, self._top - gone), max(0, self._cursor - gone)
        filled = len(self._shown)
        self._take_new()
        if (before[0] == 0) != (not self._shown):
            self.refresh_bindings()
        if self._following:
            self._to_end()
            if gone or len(self._shown) != filled:
                self.refresh()
        elif gone and before[1] < gone:
            self.refresh()  # what was read has fallen out of the ring
        else:
            if filled - self._top < self._page:
                self._refresh_lines(filled - self._top + 1, self._page + 1)
            self._refresh_line(0)

    def _take_new(self) -> None:
        begin, last = max(self._seen + 1, self._ring.first), self._ring.last
        fresh = range(begin, last + 1)
        passing = fresh if self._wanted is None else [seq for seq in fresh if self._wanted(seq)]
        self._shown.extend(passing)
        self._seen = last
        if not self._following:
            self._unread += len(passing)

    # Drawing

    @property
    def _page(self) -> int:
        return max(0, self.size.height - 1)

    def _to_end(self) -> None:
        self._cursor = max(0, len(self._shown) - 1)
        self._top = max(0, len(self._shown) - self._page)

    def _keep_in_sight(self) -> None:
        self._top = min(self._cursor, max(self._top, self._cursor - self._page + 1))
        self._top = max(0, min(self._top, len(self._shown) - self._page))

    def render_line(self, y: int) -> Strip:
        if y == 0:
            return self._head()
        position = self._top + y - 1
        if position < len(self._shown):
            return self._line(position)
        if y == 2 and not self._shown:
            text = (
                self._empty
                if self._wanted is None or self._ring.last < self._ring.first
                else "no line passes the filter"
            )
            return self.strip([("  ", ""), (text, "muted")], self.width)
        return self.strip((), self.width)

    def _head(self) -> Strip:
        if self._following:
            parts: list[Part] = [(f" {State.RUNNING.glyph} following", "good")]
        else:
            parts = [(f" {sign('pause')} paused", "warn")]
            if self._unread:
                parts.append((f"   {grouped(self._unread)} new {sign('down')}", "key"))
        if self._ring.dropped:
            parts.append((f"   {grouped(self._ring.dropped)} dropped", "bad"))
        elif self.width >= 60:
            parts.append(("   dropped 0", "muted"))
        room = self.width - length_of(parts) - 3
        right = cut(parts_of(self._summary), room) if room > 8 else []
        gap = self.width - length_of(parts) - length_of(right) - 1
        return self.strip([*parts, (" " * gap, ""), *right], self.width, ground="quiet")

    def _line(self, position: int) -> Strip:
        at_cursor = position == self._cursor
        ground = ""
        if at_cursor and not self._following:
            ground = "cursor" if self.has_focus else "resting"
        left: Part = (sign("cursor"), "accent") if at_cursor else (" ", "")
        return self.strip([left, *parts_of(self._ring.line(self._shown[position]))], self.width, ground=ground)

    def _refresh_line(self, line: int) -> None:
        self._refresh_lines(line, line + 1)

    def _refresh_lines(self, begin: int, end: int) -> None:
        self.refresh(Region(0, begin, self.width, end - begin))

    # The operator's hand

    def on_resize(self, _event: events.Resize) -> None:
        if self._following:
            self._to_end()
        else:
            self._keep_in_sight()
        self.refresh()

    def on_focus(self) -> None:
        self._refresh_line(self._cursor - self._top + 1)

    def on_blur(self) -> None:
        self._refresh_line(self._cursor - self._top + 1)

    def on_click(self, event: events.Click) -> None:
        position = self._top + event.y - 1
        if event.y == 0 or position >= len(self._shown):
            return
        if position == self._cursor and not self._following:
            self.action_open()
        else:
            self._go(position)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self._shown) if action == "open" else True

    def action_open(self) -> None:
        if (seq := self.cursor_seq) is not None:
            self._set_following(False)
            self.post_message(self.Opened(self, seq))

    def action_follow(self) -> None:
        self._set_following(not self._following)

    def action_pause(self) -> None:
        self._set_following(not self._following)

    def action_move(self, lines: int) -> None:
        self._go(self._cursor + lines)

    def action_page(self, pages: float) -> None:
        lines = int(pages * self._page) or (1 if pages > 0 else -1)
        self._top = max(0, min(self._top + lines, len(self._shown) - self._page))
        self._go(self._cursor + lines)

    def action_oldest(self) -> None:
        self._go(0)

    def action_newest(self) -> None:
        self._set_following(True)

    def _go(self, position: int) -> None:
        if not self._shown:
            return
        self._set_following(False)
        former = (self._top, self._cursor)
        self._cursor = max(0, min(position, len(self._shown) - 1))
        self._keep_in_sight()
        if self._top != former[0]:
            self.refresh()
        elif self._cursor != former[1]:
            self._refresh_line(former[1] - self._top + 1)
            self._refresh_line(self._cursor - self._top + 1)
        if self._cursor != former[1]:
            self.post_message(self.Moved(self, self._shown[self._cursor]))

    def _set_following(self, following: bool) -> None:
        if following == self._following:
            return
        self._following = following
        self._unread = 0
        if following:
            self._to_end()
            self.refresh()
        else:
            self._refresh_line(0)
            self._refresh_line(self._cursor - self._top + 1)
        self.post_message(self.FollowChanged(self, following))
