"""What the catalog shows of a model in a row: its columns and cells."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.text import Text

from console.catalog.index import CatalogIndex, Found, Row
from widgets.meter_text import age, compact, price
from widgets.table_rows import Column
from widgets.theme import State, sign

COLUMNS = (
    Column("name", "MODEL", 24, grow=3, middle=True, priority=9, sortable=True),
    Column("provider", "PROVIDER", 10, grow=1, priority=8, sortable=True),
    Column("context", "CTX", 5, right=True, priority=6, sortable=True),
    Column("input", "IN $/M", 7, right=True, priority=7, sortable=True),
    Column("output", "OUT $/M", 7, right=True, priority=5, sortable=True),
    Column("caps", "CAPS", 5, priority=3),
    Column("changed", "CHANGED", 7, right=True, priority=2, sortable=True),
    Column("state", "STATE", 9, priority=4),
)
CAPS = (("tools", "f"), ("streaming", "s"), ("vision", "v"), ("json_mode", "j"), ("reasoning", "r"))
_PER_MILLION = 10**9
"""The index keeps femto-dollars a token; a million of them are so many of a dollar."""


class CatalogRows:
    """What a query found, as the table asks for it."""

    def __init__(self, index: CatalogIndex, positions: list[int]) -> None:
        self._index = index
        self._positions = Found(positions)

    def __len__(self) -> int:
        return len(self._positions)

    def key(self, position: int) -> Hashable:
        return self._index.id_at(self._positions[position])

    def position(self, key: Hashable) -> int | None:
        at = self._index.position_of(int(str(key)))
        return None if at is None else self._positions.place_of(at)

    def cells(self, position: int) -> Sequence[str | Text]:
        row = self._index.row(self._positions[position])
        return (
            row.native_id,
            row.provider,
            compact(row.context_tokens),
            _price(row.price_in, row.price_state),
            _price(row.price_out, row.price_state),
            "".join(letter if getattr(row, name) else sign("dot") for name, letter in CAPS),
            age(time.time() - row.changed_at / 1e6),
            _state(row, published=self._index.published(row.id)),
        )


def offered(offer: Mapping[str, Any], kind: str) -> str:
    """The price of an offer as the services write it: ``0.59``, ``free``, ``dyn``, …"""
    amount = usd(offer, kind)
    if amount is not None:
        return price(amount, "known" if amount else "free")
    return price(None, str(offer[kind]) if offer[kind] in ("free", "dynamic") else "unknown")


def usd(offer: Mapping[str, Any], kind: str) -> Decimal | None:
    """USD per 1M tokens; None where it is not an amount."""
    try:
        return Decimal(offer[kind]) if offer[kind] != "free" else Decimal(0)
    except (TypeError, ArithmeticError):
        return None


def _price(femto: int | None, state: str) -> str:
    if femto is None:
        return price(None, "dynamic" if state == "dynamic" else "unknown")
    return price(Decimal(femto) / _PER_MILLION, "known" if femto else "free")


def _state(row: Row, *, published: bool) -> Text:
    if published:
        return State.READY.text("pub")
    if row.retired:
        return State.OFF.text("retired")
    if row.hidden:
        return State.OFF.text("hidden")
    if row.missing:
        return State.PENDING.text("missing")
    if row.deprecated:
        return State.DRIFT.text("leaves")
    return Text(f"{sign('chosen')} pinned" if row.pinned else "", style="accent")
