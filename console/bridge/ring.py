"""A bounded line of events: written by one thread, read by another, never longer than it may be."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


class Ring(Generic[T]):
    """The newest ``size`` items, numbered from 0 for the first there ever was.

    One thread may append while others read: a reader takes the bounds first and asks for a number between them, and
    gets None where the item has been dropped meanwhile.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a ring holds one item or more")
        self._items: deque[tuple[int, T]] = deque(maxlen=size)
        self._next = 0

    def append(self, item: T) -> None:
        self._items.append((self._next, item))
        self._next += 1

    @property
    def first(self) -> int:
        """The number of the oldest item that is still there; `end` where there is none."""
        try:
            return self._items[0][0]
        except IndexError:
            return self._next

    @property
    def end(self) -> int:
        """The number that the next item will get: how many there have ever been."""
        return self._next

    @property
    def dropped(self) -> int:
        return self.first

    def __len__(self) -> int:
        return len(self._items)

    def get(self, number: int) -> T | None:
        """The item with this number, None where it was dropped or is yet to come."""
        while True:
            at = number - self.first
            if at < 0:
                return None
            try:
                found, item = self._items[at]
            except IndexError:
                return None
            if found == number:
                return item
            # The writer dropped one between the two looks: look again.

    def since(self, number: int) -> list[tuple[int, T]]:
        """What has this number or a later one and is still there, with the numbers."""
        while True:
            skip = max(0, number - self.first)
            try:
                return [pair for pair in islice(self._items, skip, None) if pair[0] >= number]
            except RuntimeError:  # it grew while it was copied
                continue
