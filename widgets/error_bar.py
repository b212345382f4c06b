"""Errors that stay until they are read: one line with the newest, and the list of them in full sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.strip import Strip

from widgets.books import Fault, FaultBook
from widgets.dialog import Dialog
from widgets.fit import cells, clip, shown, wrapped
from widgets.listing import Listing
from widgets.note import Note
from widgets.paint import Painted, Part
from widgets.theme import State


class ErrorBar(Painted):
    """One line above the footer, there only while an error has not been read. ``!`` (the app's) opens `ErrorList`."""

    DEFAULT_CSS = """
    ErrorBar { height: 1; display: none; }
    ErrorBar.-unread { display: block; }
    """

    def __init__(self, book: FaultBook, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._book = book

    def on_mount(self) -> None:
        self._book.listen(self._changed)
        self._changed()

    def on_unmount(self) -> None:
        self._book.leave(self._changed)

    def _changed(self) -> None:
        self.set_class(self._book.unread > 0, "-unread")
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width, newest, unread = self.size.width, self._book.newest, self._book.unread
        if newest is None:
            return self.strip((), width)
        label = f" {State.FAILED.glyph} {unread} error{'s' if unread != 1 else ''} "
        key = " ! read "
        room = width - cells(label) - cells(key) - 1
        # What helps on comes before what is cut off on a narrow screen; the list has it all.
        then = f"next: {newest.then}" if newest.then else ""
        sentence = "; ".join(shown(text) for text in (newest.what, then, newest.state) if text)
        text = clip(sentence, room)
        blank = " " * max(0, room - cells(text))
        return self.strip([(label, "danger"), (f" {text}{blank}", "bad"), (key, "key")], width, ground="quiet")


class _Faults(Listing):
    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(classes="dialog--focus")
        self._faults = tuple(faults)
        self._first: set[int] = set()

    def on_mount(self) -> None:
        self.rebuild()

    def can_stand(self, line: int) -> bool:
        return line in self._first

    def make_lines(self) -> list[Sequence[Part]]:
        lines: list[Sequence[Part]] = []
        self._first = set()
        room = max(20, self.width - 14)
        for fault in reversed(self._faults):
            lines += [[]] if lines else []
            self._first.add(len(lines))
            for number, piece in enumerate(wrapped(fault.what, room)):
                lead = f"{State.FAILED.glyph} {shown(fault.at):<9} " if number == 0 else " " * 12
                lines.append([(lead, "bad" if number == 0 else ""), (piece, "strong")])
            for label, text, paint in (("state", fault.state, ""), ("next", fault.then, "accent")):
                for number, piece in enumerate(wrapped(text, room) if text else ()):
                    lines.append([(f"  {label if number == 0 else '':<9} ", "muted"), (piece, paint)])
        return lines or [[(" no errors", "muted")]]


class ErrorList(Dialog[None]):
    """Every error in full: what failed, what state things are in now, the next key. Opening it is reading it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,exclamation_mark", "close", "close", id="errors.close"),
        Binding("x", "clear", "forget them all", id="errors.clear"),
    ]
    HELP_TITLE = "Errors"
    DEFAULT_CSS = "ErrorList > .dialog--box { height: 80%; padding: 0 1; }"

    def __init__(self, book: FaultBook) -> None:
        super().__init__()
        self._book = book

    def compose(self) -> ComposeResult:
        count = len(self._book.faults)
        with Vertical(classes="dialog--box -wide"):
            title = f" {count} error{'s' if count != 1 else ''}, the newest first"
            yield Note([(title, "heading")], [])
            yield _Faults(self._book.faults)
            yield Note([(" esc", "key"), (" close   ", ""), ("x", "key"), (" forget them all", "")])

    def on_mount(self) -> None:
        self._book.read()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_clear(self) -> None:
        self._book.clear()
        self.dismiss(None)
