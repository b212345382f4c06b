"""What the database keeps of usage. A piece of a log and how far it was read are written together, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from console.store.engine import Store
from console.store.tables import usage as t
from console.usage.tally import Series, Tally

KEEP = {60: timedelta(hours=48), 3600: timedelta(days=90), 86_400: timedelta(days=730)}
"""How long a minute, an hour and a day are kept."""
_CHUNK = 200
"""Series that are asked for at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a log was read.

    file       digest of the first line of the file that is being read; "" before the first
    position   bytes of it that were read
    """

    file: str = ""
    position: int = 0
    lines: int = 0
    unreadable: int = 0
    gaps: int = 0
    read_at: datetime | None = None


class Overtaken(Exception):
    """Another process has read this piece of the log already; nothing was counted twice."""


async def place(store: Store, source: str) -> Place:
    """How far a log was read; the beginning where it never was."""
    async with store.reading() as db:
        row = (await db.execute(sa.select(t.usage_sources).where(t.usage_sources.c.name == source))).first()
    if row is None:
        return Place()
    return Place(row.file, row.position, row.lines, row.unreadable, row.gaps, row.read_at)


async def sources(store: Store) -> dict[str, Place]:
    """How far every log was read, by its name."""
    async with store.reading() as db:
        rows = (await db.execute(sa.select(t.usage_sources).order_by(t.usage_sources.c.name))).all()
    return {row.name: Place(row.file, row.position, row.lines, row.unreadable, row.gaps, row.read_at) for row in rows}


async def write(store: Store, tally: Tally, source: str, before: Place, after: Place) -> None:
    """Add a tally, and move the place of its source from ``before`` to ``after``.

    Raises:
        Overtaken: the place is not ``before`` any more.
    """
    async with store.writing() as db:
        await _move(db, source, before, after)
        await add(db, tally)


async def add(db: AsyncConnection, tally: Tally) -> None:
    """Add a tally within a transaction."""
    numbers = await _numbers(db, tally.totals)
    rows = [
        {"grain": grain, "start": start, "series": numbers[series], **dict(zip(t.MEASURES, sums, strict=True))}
        for (grain, start), by_series in tally.rows.items()
        for series, sums in by_series.items()
    ]
    await _upsert(db, t.usage, rows, ("grain", "start", "series"), t.MEASURES)
    denied = [
        {"grain": grain, "start": start, "series": numbers[series], "reason": reason, "requests": count}
        for (grain, start), counts in tally.denials.items()
        for (series, reason), count in counts.items()
    ]
    await _upsert(db, t.usage_denials, denied, ("grain", "start", "series", "reason"), ("requests",))


async def forget(store: Store, now: datetime) -> int:
    """Delete what is older than it is kept. Returns how many rows went. What a series used in all stays."""
    gone = 0
    for grain, kept in KEEP.items():
        before = int((now - kept).timestamp())
        for table in (t.usage, t.usage_denials):
            async with store.writing() as db:
                old = sa.delete(table).where(table.c.grain == grain, table.c.start < before)
                gone += int((await db.execute(old)).rowcount)
    return gone


async def _move(db: AsyncConnection, source: str, before: Place, after: Place) -> None:
    values = {
        "file": after.file,
        "position": after.position,
        "lines": after.lines,
        "unreadable": after.unreadable,
        "gaps": after.gaps,
        "read_at": after.read_at or datetime.now(UTC),
    }
    table = t.usage_sources
    if before.read_at is None:
        new = _insert(db, table).values(name=source, **values).on_conflict_do_nothing()
        moved = (await db.execute(new.returning(table.c.name))).first() is not None
    else:
        there = (table.c.name == source, table.c.file == before.file, table.c.position == before.position)
        moved = (await db.execute(sa.update(table).where(*there).values(**values))).rowcount == 1
    if not moved:
        raise Overtaken(source)


async def _numbers(db: AsyncConnection, totals: dict[Series, list[int]]) -> dict[Series, int]:
    """The number of each series, after its totals were added."""
    rows = [
        {"tenant": one.tenant, "key_id": one.key, "model": one.model, **dict(zip(t.MEASURES, sums, strict=True))}
        for one, sums in totals.items()
    ]
    await _upsert(db, t.usage_series, rows, ("tenant", "key_id", "model"), t.MEASURES)
    columns = t.usage_series.c
    found: dict[Series, int] = {}
    for some in _chunks(list(totals)):
        names = [(one.tenant, one.key, one.model) for one in some]
        wanted = sa.tuple_(columns.tenant, columns.key_id, columns.model).in_(names)
        query = sa.select(columns.id, columns.tenant, columns.key_id, columns.model).where(wanted)
        found |= {Series(row.tenant, row.key_id, row.model): row.id for row in await db.execute(query)}
    return found


async def _upsert(
    db: AsyncConnection, table: sa.Table, rows: list[dict[str, Any]], index: Sequence[str], added: Iterable[str]
) -> None:
    """Insert rows, and add to those that are there; in the order of their keys: two writers never wait crosswise."""
    if not rows:
        return
    rows.sort(key=lambda row: tuple(row[name] for name in index))
    new = _insert(db, table)
    sums = {name: table.c[name] + new.excluded[name] for name in added}
    await db.execute(new.on_conflict_do_update(index_elements=list(index), set_=sums), rows)


def _insert(db: AsyncConnection, table: sa.Table) -> Any:
    return (sqlite if db.dialect.name == "sqlite" else postgresql).insert(table)


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
