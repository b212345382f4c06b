"""What a table shows: its columns, the rows that it asks for, and rows from a plain list."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from widgets.paint import Cell

GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    width     cells that it needs
    grow      its share of the cells that are left over; 0 keeps the width
    right     numbers end in line
    middle    what is too long is cut in the middle, as for ids
    priority  on narrow screens the columns with the lowest drop out; equal ones from the right
    sortable  ``s`` and a click on the heading ask for it
    """

    id: str
    title: str
    width: int
    grow: int = 0
    right: bool = False
    middle: bool = False
    priority: int = 1
    sortable: bool = False


class Rows(Protocol):
    """What a table asks for: only the rows that are on the screen are ever asked for their cells.

    An object of rows keeps its length and its order; other rows are another object, handed to `show`.
    """

    def __len__(self) -> int: ...
    def key(self, position: int) -> Hashable:
        """What the row is known by, whatever else changes."""
        ...

    def cells(self, position: int) -> Sequence[Cell]:
        """One cell per column, in the order of the columns, also of those that dropped out."""
        ...

    def position(self, key: Hashable) -> int | None:
        """Where the row is now; None where it is gone."""
        ...


class ListRows:
    """Rows from a list, for small tables."""

    def __init__(self, rows: Iterable[tuple[Hashable, Sequence[Cell]]] = ()) -> None:
        self._rows = list(rows)
        self._positions = {key: position for position, (key, _) in enumerate(self._rows)}

    def __len__(self) -> int:
        return len(self._rows)

    def key(self, position: int) -> Hashable:
        return self._rows[position][0]

    def cells(self, position: int) -> Sequence[Cell]:
        return self._rows[position][1]

    def position(self, key: Hashable) -> int | None:
        return self._positions.get(key)


def fit_columns(columns: Sequence[Column], width: int) -> list[tuple[int, int]]:
    """The columns that fit, as (index, width): the least important drop out, the growing ones take what is left."""
    kept = list(range(len(columns)))

    def needed() -> int:
        return sum(columns[at].width for at in kept) + GAP * max(0, len(kept) - 1)

    while len(kept) > 1 and needed() > width:
        kept.remove(min(kept, key=lambda at: (columns[at].priority, -at)))
    left = width - needed()
    shares = sum(columns[at].grow for at in kept)
    widths = []
    for at in kept:
        column = columns[at]
        more = left * column.grow // shares if shares and left > 0 else 0
        if shares and left > 0:
            left -= more
            shares -= column.grow
        widths.append((at, min(column.width + more, width)))
    return widths
