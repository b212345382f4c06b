"""Text cut and padded to cells of a terminal."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from console.terminal.text import safe
from widgets.theme import sign


def shown(text: str) -> str:
    """The text with whatever could steer a terminal made visible; quick for the usual text."""
    return text if text.isprintable() else safe(text)


def cells(text: str) -> int:
    """Cells that a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def clip(text: str, width: int) -> str:
    """At most so many cells, with a … in place of what is cut off."""
    if cells(text) <= width:
        return text
    if width <= 1:
        return sign("more") * max(width, 0)
    return set_cell_size(text, width - 1).rstrip() + sign("more")


def clip_middle(text: str, width: int) -> str:
    """At most so many cells; what is cut is cut from the middle, for ids whose ends tell them apart."""
    if cells(text) <= width:
        return text
    if width < 5:
        return clip(text, width)
    tail = (width - 1) // 2
    head = width - 1 - tail
    end = text[-tail:]
    while cells(end) > tail:
        end = end[1:]
    return set_cell_size(text, head) + sign("more") + end


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Exactly so many cells; ``right`` sets the text against the right edge."""
    missing = width - cells(text)
    if missing <= 0:
        return text
    return " " * missing + text if right else text + " " * missing


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most so many cells, broken at spaces where there are some."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        rest = shown(paragraph)
        while cells(rest) > width:
            head = set_cell_size(rest, width)
            # A wide character that does not fit leaves a space in its place.
            length = len(head) if rest.startswith(head) else len(head) - 1
            space = rest.rfind(" ", max(1, length // 2), length + 1)
            cut = space if space > 0 else max(1, length)
            lines.append(rest[:cut].rstrip())
            rest = rest[cut:].lstrip()
        lines.append(rest)
    return lines
