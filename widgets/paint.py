"""The base of everything that is drawn line by line: paints by name, and strips from painted pieces of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.dom import DOMNode
from textual.scroll_view import ScrollView
from textual.strip import Strip

from widgets.fit import cells, clip, clip_middle, padded, shown

Part = tuple[str, str]
"""A piece of text and its paint (empty: the widget's own)."""
Cell = str | Text
"""What a caller hands in: plain text, or text whose spans are styled with the names of paints."""

PAINTS = (
    "strong",
    "muted",
    "accent",
    "good",
    "warn",
    "bad",
    "heading",
    "key",
    "danger",
    "armed",
    "quiet",
    "chosen",
    "cursor",
    "resting",
)


class Painted(ScrollView, can_focus=False, inherit_bindings=False):
    """A widget on the line API. Paints are classes of its style sheet, so a theme can change them.

    They are no component classes: Textual would work all of them out for every widget before the first paint, and a
    widget uses few of them.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Painted {
        overflow: hidden hidden;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 0;
        background: $background;
        color: $foreground;
        scrollbar-color: $foreground 30%;
        scrollbar-color-hover: $foreground 45%;
        scrollbar-color-active: $foreground 45%;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        & > .paint--strong { text-style: bold; }
        & > .paint--muted { color: $foreground 62%; }
        & > .paint--accent { color: $accent; }
        & > .paint--good { color: $success; }
        & > .paint--warn { color: $warning; }
        & > .paint--bad { color: $error; text-style: bold; }
        & > .paint--heading { color: $foreground 62%; text-style: bold; }
        & > .paint--key { color: $accent; text-style: bold; }
        & > .paint--danger { color: $background; background: $error; text-style: bold; }
        & > .paint--armed { color: $background; background: $warning; text-style: bold; }
        & > .paint--quiet { color: $foreground; background: $panel; }
        & > .paint--chosen { color: $background; background: $accent; text-style: bold; }
        & > .paint--cursor { background: $accent 24%; text-style: bold; }
        & > .paint--resting { background: $panel; }
    }
    """

    _GROUNDS = frozenset(("danger", "armed", "quiet", "chosen", "cursor", "resting"))

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, classes=classes)
        self._paints: dict[str, Style] = {}

    @property
    def width(self) -> int:
        """Cells that a line has, beside the scroll bar."""
        return self.scrollable_content_region.width

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._paints.clear()
        self.paints_changed()

    def paints_changed(self) -> None:
        """The theme is another: whatever was kept in its colours is stale."""

    def paint(self, name: str) -> Style:
        """The style of a paint, to be laid over the widget's own."""
        found = self._paints.get(name)
        if found is None:
            found = self._paints[name] = self._mix(name)
        return found

    def _mix(self, name: str) -> Style:
        if not name:
            return self.rich_style
        if name not in PAINTS:
            return Style.null()
        # As Textual does it for component classes: a node that is not there, styled by the rules for its class.
        node = DOMNode(classes=f"paint--{name}")
        node._attach(self)  # noqa: SLF001 - private names of the Textual that is pinned
        self.app.stylesheet.apply(node, animate=False)
        full, own = node.styles.rich_style, node.styles
        return Style(
            color=full.color if own.has_rule("color") else None,
            bgcolor=full.bgcolor if name in self._GROUNDS else None,
            bold=True if own.has_rule("text_style") and own.text_style.bold else None,
        )

    def strip(self, parts: Iterable[Part], width: int, *, ground: str = "") -> Strip:
        """One line of exactly so many cells, cut or filled up.

        Args:
            ground: a paint for the whole line, under those of the parts
        """
        base = self.paint("") + self.paint(ground) if ground else self.paint("")
        segments: list[Segment] = []
        room = width
        pending, pending_paint = "", ""
        for whole, name in parts:
            if room <= 0:
                break
            text = whole if cells(whole) <= room else clip(whole, room)
            room -= cells(text)
            if name == pending_paint:
                pending += text
                continue
            if pending:
                segments.append(Segment(pending, base + self.paint(pending_paint) if pending_paint else base))
            pending, pending_paint = text, name
        if room > 0 and not pending_paint:
            pending, room = pending + " " * room, 0
        if pending:
            segments.append(Segment(pending, base + self.paint(pending_paint) if pending_paint else base))
        if room > 0:
            segments.append(Segment(" " * room, base))
        return Strip(segments, width).adjust_cell_length(width, base)


def parts_of(cell: Cell) -> list[Part]:
    """The pieces of a cell, safe to show."""
    if isinstance(cell, str):
        return [(shown(cell), "")] if cell else []
    plain, whole = cell.plain, cell.style if isinstance(cell.style, str) else ""
    if not cell.spans:
        return [(shown(plain), whole)] if plain else []
    inner = (at for span in cell.spans for at in (span.start, span.end) if 0 <= at <= len(plain))
    edges = sorted({0, len(plain), *inner})
    parts: list[Part] = []
    for start, end in pairwise(edges):
        covering = [span.style for span in cell.spans if span.start <= start and span.end >= end]
        name = covering[-1] if covering and isinstance(covering[-1], str) else whole
        parts.append((shown(plain[start:end]), name))
    return parts


def fitted(cell: Cell, width: int, *, right: bool = False, middle: bool = False) -> list[Part]:
    """The pieces of a cell in exactly so many cells of the terminal."""
    parts = parts_of(cell)
    if len(parts) == 1:
        text, name = parts[0]
        text = clip_middle(text, width) if middle else clip(text, width)
        return [(padded(text, width, right=right), name)]
    room = width - sum(cells(text) for text, _ in parts)
    if room < 0:
        return cut(parts, width)
    blank = [(" " * room, "")] if room else []
    return blank + parts if right else parts + blank


def cut(parts: Sequence[Part], width: int) -> list[Part]:
    """The pieces in at most so many cells."""
    kept: list[Part] = []
    for text, name in parts:
        length = cells(text)
        if length > width:
            if width > 0:
                kept.append((padded(clip(text, width), width), name))
            break
        kept.append((text, name))
        width -= length
    return kept


def length_of(parts: Iterable[Part]) -> int:
    """Cells that the pieces take."""
    return sum(cells(text) for text, _ in parts)
