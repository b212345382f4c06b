"""A table in the width of a terminal: the least important columns are left out, and long cells are cut."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from console.terminal.text import is_terminal, width

GAP = 2
_LEAST = 12
"""Cells that a text keeps; less says nothing."""
_LEAST_OF_FIRST = 24
"""The first column names its row, and names are long."""


def columns_of_output() -> int | None:
    """How wide the terminal at the standard output is; None where it is none, and everything is wanted."""
    if not is_terminal(sys.stdout):
        return None
    return shutil.get_terminal_size((0, 0)).columns or None


def fit(rows: Sequence[Sequence[str]], priorities: Sequence[int], right: frozenset[int], room: int) -> dict[int, int]:
    """The columns that are kept, and the cells that each gets.

    Args:
        rows: the headings, and the rows; a column with nothing in it goes first where not all fit
        priorities: the lowest goes next, of equal ones the one at the right
        right: columns of numbers, which are never cut
        room: cells of a line
    """
    widest = [max(width(row[at]) for row in rows) for at in range(len(priorities))]
    empty = {at for at in range(len(priorities)) if not any(row[at] for row in rows[1:])}

    def least(at: int) -> int:
        floor = widest[at] if at in right else _LEAST if at else _LEAST_OF_FIRST
        return min(widest[at], max(floor, width(rows[0][at])))

    kept = list(range(len(priorities)))

    def needs(cells: Sequence[int]) -> int:
        return sum(cells) + GAP * (len(cells) - 1)

    if needs(widest) > room:
        kept = [at for at in kept if at not in empty] or kept
    while len(kept) > 1 and needs([least(at) for at in kept]) > room:
        kept.remove(min(kept, key=lambda at: (priorities[at], -at)))
    given = {at: widest[at] for at in kept}
    while needs(list(given.values())) > room:
        most = max(given, key=lambda at: given[at] - least(at))
        if len(given) == 1:
            return {most: max(1, room)}
        given[most] -= 1
    return given


def cut(text: str, room: int) -> str:
    """At most so many cells, with a … in place of what is cut off."""
    if width(text) <= room:
        return text
    while text and width(text) > room - 1:
        text = text[:-1]
    return text.rstrip() + "…"
