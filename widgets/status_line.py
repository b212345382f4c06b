"""The header: where am I, may I write, can I trust what I see; and the tabs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from textual import events
from textual.message import Message
from textual.strip import Strip

from widgets.fit import cells, clip, shown
from widgets.meter_text import clock
from widgets.paint import Painted, Part, length_of
from widgets.theme import State, sign

_TINY = 60


@dataclass(frozen=True, slots=True)
class Link:
    """A service that the console depends on. ``word`` stands for the age or the trouble: ``2 s``, ``ok``, ``lost``."""

    name: str
    state: State
    word: str = ""


@dataclass(frozen=True, slots=True)
class Tab:
    """An area, and the key that opens it."""

    key: str
    title: str


@dataclass(frozen=True, slots=True)
class Status:
    """What the header says.

    protected      the profile is spelled out on a red ground
    read_only      nothing can be written at all
    locked         writes have to be armed first, and are not
    armed_seconds  what is left of the time in which one may write; None where there is no such time
    """

    program: str = "modeldeck"
    profile: str = ""
    protected: bool = False
    read_only: bool = False
    locked: bool = False
    armed_seconds: float | None = None
    tenant: str = "all"
    links: tuple[Link, ...] = field(default=())


class StatusLine(Painted):
    """Two lines. `show` draws only what is otherwise than before; ages come in steps, from whoever calls it."""

    DEFAULT_CSS = "StatusLine { height: 2; background: $panel; }"

    @dataclass
    class TabAsked(Message):
        """A click on a tab."""

        key: str

    def __init__(
        self,
        tabs: Sequence[Tab] = (),
        active: str = "",
        status: Status | None = None,
        *,
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._tabs = tuple(tabs)
        self._active = active
        self._status = status or Status()
        self._places: list[tuple[int, int, str]] = []

    @property
    def status(self) -> Status:
        return self._status

    def show(self, status: Status) -> None:
        if self._parts_of_first(status) != self._parts_of_first(self._status):
            self._status = status
            self.refresh()
        self._status = status

    def show_tabs(self, tabs: Sequence[Tab], active: str) -> None:
        """``active`` is the key of the tab that is open."""
        if (tuple(tabs), active) != (self._tabs, self._active):
            self._tabs, self._active = tuple(tabs), active
            self.refresh()

    def render_line(self, y: int) -> Strip:
        return self.strip(self._parts_of_first(self._status) if y == 0 else self._parts_of_tabs(), self.size.width)

    def _parts_of_first(self, status: Status) -> list[Part]:
        width = self.size.width
        left: list[Part] = [(" ", "")]
        if width >= _TINY:
            left += [(shown(status.program), "strong"), ("  ", "")]
        name = shown(status.profile)
        left.append((f" {name.upper()} ", "danger") if status.protected else (name, "accent"))
        left.append((" ", ""))
        block = sign("block")
        if status.read_only:
            left.append((f"{block}READ-ONLY{block}", "warn"))
        elif status.armed_seconds is not None:
            left.append((f" {block}WRITES {clock(status.armed_seconds)}{block} ", "armed"))
        elif status.locked:
            left.append(("writes locked", "muted"))
        if width >= _TINY:
            left.append((f"  tenant {clip(shown(status.tenant), 16)}", "muted"))
        room = width - length_of(left) - 3
        right = self._links(status.links, room)
        gap = width - length_of(left) - length_of(right) - 1
        return [*left, (" " * max(1, gap), ""), *right]

    def _links(self, links: Sequence[Link], room: int) -> list[Part]:
        """As much of the links as fits: all of them, then the bad ones, then how many are bad."""
        bad = [link for link in links if link.state is not State.READY]
        glyphs: list[Part] = []
        for link in links:
            glyphs += [(link.state.glyph, link.state.paint), (f"{shown(link.name)} ", "")]
        if bad:
            short: list[Part] = [(f"{State.FAILED.glyph} {len(bad)} of {len(links)} links", "bad")]
        else:
            short = [(f"{State.READY.glyph} links ok", "good")] if links else []
        for parts in (_spelled(links), _spelled(links, gap=" ", within=""), _spelled(bad), glyphs, short):
            if parts and length_of(parts) <= room:
                return parts
        return []

    def _parts_of_tabs(self) -> list[Part]:
        """Every title where they fit, close together if need be; else the open one and the keys of the others."""
        width = self.size.width
        tight = sum(cells(tab.key) + cells(tab.title) + 1 for tab in self._tabs)
        wide = tight + 2 * len(self._tabs) - 1
        parts: list[Part] = []
        self._places = []
        at = 0
        for tab in self._tabs:
            active = tab.key == self._active
            lead, between = (" ", " ") if wide <= width or tight > width else ("", "")
            titled = active or tight <= width
            text = f"{lead}{tab.key}{between}{tab.title} " if titled else f" {tab.key} "
            length = cells(text)
            self._places.append((at, at + length, tab.key))
            if active:
                parts.append((text, "chosen"))
            else:
                parts += [(f"{lead}{tab.key}", "key"), (text[len(lead) + len(tab.key) :], "")]
            at += length
        return parts

    def on_click(self, event: events.Click) -> None:
        if event.y == 1:
            for begin, end, key in self._places:
                if begin <= event.x < end:
                    self.post_message(self.TabAsked(key))


def _spelled(links: Sequence[Link], *, gap: str = "  ", within: str = " ") -> list[Part]:
    parts: list[Part] = []
    for link in links:
        word = shown(link.word or link.state.word)
        parts += [(gap if parts else "", ""), (link.state.glyph + within, link.state.paint)]
        parts.append((f"{shown(link.name)} ", ""))
        parts.append((word, "muted" if link.state is State.READY else link.state.paint))
    return parts
