"""Columns of the index of the catalog, and masks: which rows fulfil something, a byte each, in one big integer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Mask = int
"""A byte of 0 or 1 for every position, the first one lowest."""


def as_mask(found: bytes | bytearray) -> Mask:
    return int.from_bytes(found, "little")


def count(mask: Mask, length: int) -> int:
    return mask.to_bytes(length, "little").count(1)


class Codes:
    """A column of values that repeat: each value has a number, and a row keeps that."""

    def __init__(self) -> None:
        self._values: list[Any] = [None]
        self._code_of: dict[Any, int] = {None: 0}
        self._small: bytearray | None = bytearray()
        self._large: list[int] = []  # in use from the 257th value on

    def __getitem__(self, position: int) -> Any:
        return self._values[self._large[position] if self._small is None else self._small[position]]

    def grow(self) -> None:
        if self._small is None:
            self._large.append(0)
        else:
            self._small.append(0)

    def put(self, position: int, value: Any) -> None:
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self._values)
            self._values.append(value)
            if self._small is not None and code > 255:
                self._large = list(self._small)
                self._small = None
        if self._small is None:
            self._large[position] = code
        else:
            self._small[position] = code

    def mask(self, wanted: Callable[[Any], bool]) -> Mask:
        """Where the value is wanted; asked once per value, not per row."""
        return self._of_table(bytes([wanted(value) for value in self._values]))

    def mask_of(self, values: Iterable[Any]) -> Mask:
        codes = {code for value in values if (code := self._code_of.get(value)) is not None}
        if self._small is not None:
            return self._of_table(bytes([code in codes for code in range(len(self._values))]))
        return as_mask(bytes([code in codes for code in self._large]))

    def _of_table(self, table: bytes) -> Mask:
        if self._small is not None:
            return as_mask(self._small.translate(table.ljust(256, b"\0")))
        return as_mask(bytes([table[code] for code in self._large]))


class Numbers:
    """A column of numbers, some of them not known. Equal numbers are one object."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.known = bytearray()
        self._same: dict[int, int] = {}

    def __getitem__(self, position: int) -> int | None:
        return self.values[position] if self.known[position] else None

    def grow(self) -> None:
        self.values.append(0)
        self.known.append(0)

    def put(self, position: int, value: int | None) -> None:
        self.known[position] = value is not None
        self.values[position] = 0 if value is None else self._same.setdefault(value, value)

    def mask(self, sign: str, bound: int) -> Mask:
        # Written out, for a function call per row would take three times as long.
        values = self.values
        match sign:
            case "<":
                found = [value < bound for value in values]
            case "<=":
                found = [value <= bound for value in values]
            case ">":
                found = [value > bound for value in values]
            case ">=":
                found = [value >= bound for value in values]
            case _:
                found = [value == bound for value in values]
        return as_mask(bytes(found)) & as_mask(self.known)
