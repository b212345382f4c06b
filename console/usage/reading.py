"""What was used: sums by tenant, model, key or time, from the coarsest rows that answer the question.

Costs are summed in two parts, for a sum of pico-dollars does not fit into 64 bits beyond nine million dollars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from console.store.engine import Store
from console.store.tables import usage as t
from console.usage.pricing import PICO_PER_USD

BY = ("model", "tenant", "key", "time", "reason")
_COLUMNS = {"model": t.usage_series.c.model, "tenant": t.usage_series.c.tenant, "key": t.usage_series.c.key_id}
_MILLION = 1_000_000
_SUMS = tuple(name for name in t.MEASURES if name != "cost")


@dataclass(frozen=True, slots=True)
class Question:
    """Of which usage.

    grain          seconds of the rows that are summed: 60, 3600 or 86400
    since, until   Unix seconds; a row counts where it begins in between
    tenants        None for all; series whose tenant is not known belong to nobody, and are only in all
    """

    grain: int
    since: int
    until: int
    tenants: Sequence[str] | None = None
    model: str | None = None
    key: str | None = None

    def where(self, table: sa.Table) -> list[sa.ColumnElement[bool]]:
        series = t.usage_series.c
        found = [
            table.c.grain == self.grain,
            table.c.start >= self.since,
            table.c.start < self.until,
            table.c.series == series.id,
        ]
        if self.tenants is not None:
            found.append(series.tenant.in_(list(self.tenants)))
        if self.model is not None:
            found.append(series.model == self.model)
        if self.key is not None:
            found.append(series.key_id == self.key)
        return found


@dataclass(frozen=True, slots=True)
class Sums:
    """One line of a report. ``cost`` in pico-dollars, ``latencies`` as in console/store/tables/usage.py."""

    name: Any
    requests: int = 0
    refused: int = 0
    failed: int = 0
    aborted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    metered: int = 0
    unmetered: int = 0
    unpriced: int = 0
    cost: int = 0
    milliseconds: int = 0
    latencies: tuple[int, ...] = field(default=(0,) * len(t.LATENCIES))

    @property
    def answered(self) -> int:
        return self.requests - self.refused - self.failed - self.aborted

    @property
    def usd(self) -> Decimal:
        return Decimal(self.cost) / PICO_PER_USD

    def latency(self, share: float) -> int | None:
        """Milliseconds within which this share of the requests ended, between the bounds that are counted.

        None where there were none; of those slower than the last bound that bound is told: at least so long.
        """
        count = sum(self.latencies)
        if not count:
            return None
        wanted, seen, before = share * count, 0, 0
        for bound, number in zip(t.LATENCY_BOUNDS, self.latencies, strict=False):
            if seen + number >= wanted:
                return round(before + (bound - before) * (wanted - seen) / max(1, number))
            seen, before = seen + number, bound
        return before

    def __add__(self, other: Sums) -> Sums:
        added = {name: getattr(self, name) + getattr(other, name) for name in (*_PLAIN, "cost")}
        both = tuple(a + b for a, b in zip(self.latencies, other.latencies, strict=True))
        return Sums(self.name, **added, latencies=both)


_PLAIN = tuple(name for name in _SUMS if name not in t.LATENCIES)


async def sums(store: Store, question: Question, by: str) -> list[Sums]:
    """A line for each model, tenant or key, those with most requests first; or for each time, in its order."""
    column = t.usage.c.start if by == "time" else _COLUMNS[by]
    query = sa.select(column.label("name"), *_summed(t.usage)).where(*question.where(t.usage)).group_by(column)
    async with store.reading() as db:
        found = [_sums(row["name"], row) for row in (await db.execute(query)).mappings()]
    if by == "time":
        return sorted(found, key=lambda one: one.name)
    return sorted(found, key=lambda one: (-one.requests, one.name))


async def reasons(store: Store, question: Question) -> list[tuple[str, int]]:
    """How many requests the gateway refused, by the reason, the most frequent first."""
    table = t.usage_denials
    count = sa.func.sum(table.c.requests)
    query = sa.select(table.c.reason, count.label("denied")).where(*question.where(table)).group_by(table.c.reason)
    async with store.reading() as db:
        found = [(row.reason, int(row.denied)) for row in await db.execute(query)]
    return sorted(found, key=lambda one: (-one[1], one[0]))


async def totals(store: Store) -> list[tuple[str, str, Sums]]:
    """``(tenant, model, sums of all times)``: for counters that only grow."""
    columns = t.usage_series.c
    query = sa.select(columns.tenant, columns.model, *_summed(t.usage_series)).group_by(columns.tenant, columns.model)
    async with store.reading() as db:
        rows = (await db.execute(query.order_by(columns.tenant, columns.model))).mappings().all()
    return [(row["tenant"], row["model"], _sums(row["model"], row)) for row in rows]


async def series_totals(store: Store, *, tenants: Sequence[str] | None = None, key: str | None = None) -> Sums:
    """The sum of all times, of some tenants or one key."""
    columns = t.usage_series.c
    query = sa.select(sa.func.count().label("series"), *_summed(t.usage_series))
    if tenants is not None:
        query = query.where(columns.tenant.in_(list(tenants)))
    if key is not None:
        query = query.where(columns.key_id == key)
    async with store.reading() as db:
        row = (await db.execute(query)).mappings().one()
    return _sums("", row) if row["series"] else Sums("")


async def was_seen(store: Store, by: str, name: str) -> bool:
    """Whether any usage is of this tenant, key or model."""
    column = {"tenant": t.usage_series.c.tenant, "key": t.usage_series.c.key_id, "model": t.usage_series.c.model}[by]
    async with store.reading() as db:
        return await db.scalar(sa.select(t.usage_series.c.id).where(column == name).limit(1)) is not None


def _summed(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    plain = [sa.func.sum(table.c[name]).label(name) for name in _SUMS]
    whole = sa.func.sum(table.c.cost // _MILLION).label("cost_whole")
    rest = sa.func.sum(table.c.cost % _MILLION).label("cost_rest")
    return [*plain, whole, rest]


def _sums(name: Any, row: Mapping[Any, Any]) -> Sums:
    cost = int(row["cost_whole"]) * _MILLION + int(row["cost_rest"])
    plain = {one: int(row[one]) for one in _PLAIN}
    return Sums(name, **plain, cost=cost, latencies=tuple(int(row[one]) for one in t.LATENCIES))
