"""Lines beside a list: what there is to know about the row under the cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from widgets.fit import padded, shown, wrapped
from widgets.listing import Listing
from widgets.paint import Part


class Details(Listing, can_focus=False):
    """Painted lines. Who owns it says them again when they change."""

    DEFAULT_CSS = "Details { height: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, classes=classes)
        self._facts: Sequence[Fact] = ()

    def show(self, facts: Iterable[Fact]) -> None:
        self._facts = tuple(facts)
        if self.is_mounted:
            self.rebuild()

    def on_mount(self) -> None:
        self.rebuild()

    def can_stand(self, line: int) -> bool:
        return False

    def make_lines(self) -> list[Sequence[Part]]:
        lines: list[Sequence[Part]] = []
        for fact in self._facts:
            lines += fact.lines(max(20, self.width - 1))
        return lines


def local_time(moment: str) -> str:
    """``2026-11-21 02:43:00`` where the operator is, of a moment as the services write it."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"


class Fact:
    """One thing that is known: a name and a value, or a line of its own. Long values are wrapped."""

    NAME_WIDTH = 11

    def __init__(self, name: str, value: object = "", paint: str = "") -> None:
        self.name = name
        self.value = value
        self.paint = paint

    def lines(self, width: int) -> list[Sequence[Part]]:
        room = max(8, width - self.NAME_WIDTH - 1)
        pieces = wrapped(shown(str(self.value)), room) or [""]
        name = padded(shown(self.name), self.NAME_WIDTH)
        return [
            [(f"{name if not at else ' ' * self.NAME_WIDTH} ", "muted"), (piece, self.paint)]
            for at, piece in enumerate(pieces)
        ]


class Line(Fact):
    """A line of painted parts; cut, not wrapped."""

    def __init__(self, *parts: Part | str) -> None:
        super().__init__("")
        self._parts: list[Part] = [(shown(part), "") if isinstance(part, str) else part for part in parts]

    def lines(self, width: int) -> list[Sequence[Part]]:
        return [self._parts]


class Title(Line):
    """The heading of what follows."""

    def __init__(self, text: str) -> None:
        super().__init__((shown(text), "strong"))
