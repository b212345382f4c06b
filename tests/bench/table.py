"""How quickly 100,000 models are filtered, sorted and scrolled, and what they weigh. Prints; never fails.

    .venv/bin/python -m tests.bench.table [--models 100000]

1. The index: filled from rows in memory, and read from SQLite; what it adds to the process.
2. A query typed key by key: reading it, finding, and ordering, beside one bare look through as many texts.
3. Every order, the first time and then.
4. The table: a new result shown, a page scrolled, the cursor moved, one row refreshed; processor time up to the lines.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from textual.app import App, ComposeResult

from console.catalog import indexing
from console.catalog.index import SORTS, CatalogIndex, Found, Row
from console.catalog.query import BadTerm, Query, parse
from console.local.samples import source
from console.store.engine import Store
from console.store.migrate import upgrade
from console.store.tables.catalog import models, providers
from console.store.types import Moment
from widgets.meter_text import compact, price
from widgets.table_rows import Column
from widgets.theme import State
from widgets.virtual_table import VirtualTable

TYPED = ("llama", "provider:openrouter vision ctx>=128k in<0.5", "author:qwen -preview 72b", "nothing-like-it")


def sample_rows(count: int) -> list[Row]:
    """Models of the samples, once per provider until there are enough."""
    slugs = ("openrouter", "together", "deepinfra", "groq", "fireworks", "novita", "nebius", "vercel-ai-gateway")
    rows = []
    for slug in slugs:
        for offered in source.offered(slug, -(-count // len(slugs))):
            author, slash, family = offered.id.partition("/")
            number = len(rows) + 1
            rows.append(
                Row(
                    id=number,
                    provider=slug,
                    native_id=f"{offered.id}-{number}",
                    canonical_key=f"{offered.id}-{number % 30_000}",
                    name=offered.name,
                    author=author if slash else None,
                    family=family.partition("-")[0] or None,
                    kind="chat",
                    context_tokens=offered.context,
                    max_output_tokens=None,
                    input_modalities='["image","text"]' if number % 3 else '["text"]',
                    output_modalities='["text"]',
                    streaming=True,
                    tools=bool(number % 2),
                    vision=(None, True, False)[number % 3],
                    json_mode=None,
                    reasoning=number % 5 == 0,
                    deprecated=None,
                    price_state="known",
                    price_in=number % 9_973 * 10**6,
                    price_out=number % 4_999 * 10**6,
                    price_image=None,
                    changed_at=number * 1000,
                    missing=False,
                    retired=number % 50 == 0,
                    hidden=False,
                    pinned=False,
                )
            )
    return rows[:count]


class FoundRows:
    """Rows of a table over what the index found."""

    def __init__(self, index: CatalogIndex, found: Found) -> None:
        self._index = index
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    def key(self, position: int) -> Hashable:
        return self._index.id_at(self._found[position])

    def cells(self, position: int) -> Sequence[Any]:
        row = self._index.row(self._found[position])
        usd = [None if femto is None else Decimal(femto) / 10**9 for femto in (row.price_in, row.price_out)]
        return (
            row.native_id,
            row.provider,
            compact(row.context_tokens),
            price(usd[0], row.price_state),
            price(usd[1], row.price_state),
            (State.READY if row.tools else State.OFF).text(),
        )

    def position(self, key: Hashable) -> int | None:
        at = self._index.position_of(key) if isinstance(key, int) else None
        return None if at is None else self._found.place_of(at)


def timed(work: Callable[[], object], times: int = 1) -> float:
    """Milliseconds; the median of so many."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begin) * 1000)
    return statistics.median(taken)


def resident() -> float:
    """MiB of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def read_from_sqlite(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = Store(f"sqlite:///{directory}/bench.db")
        await upgrade(store)
        moment = Moment().process_result_value(0, sa.dialects.sqlite.dialect())
        empty = dict.fromkeys(("description", "list_url", "api_url", "site_url", "credential_env", "tier"), "")
        fixed = {"capabilities": [], "created_at": moment, "updated_at": moment, **empty}
        async with store.writing() as connection:
            slugs = [{"slug": slug, "name": slug, **fixed} for slug in sorted({row.provider for row in rows})]
            await connection.execute(sa.insert(providers), slugs)
            for start in range(0, len(rows), 5_000):
                piece = [stored(row, moment) for row in rows[start : start + 5_000]]
                await connection.execute(sa.insert(models), piece)
        index, before, begin = CatalogIndex(), resident(), time.perf_counter()
        async for read in indexing.rows(store):
            index.update(read)
        print(f"  read from SQLite and fill     {(time.perf_counter() - begin) * 1000:8.0f} ms")
        print(f"  added by the index            {resident() - before:8.0f} MiB")
        await store.close()


def stored(row: Row, moment: Any) -> dict[str, Any]:
    values = {name: value for name, value in row._asdict().items() if name in models.c}
    return values | {
        "input_modalities": ["text"],
        "output_modalities": ["text"],
        "changed_at": moment,
        "first_seen_at": moment,
        "retired_at": moment if row.retired else None,
        "missing_runs": 0,
        "name_key": row.name.casefold(),
        "haystack": f"{row.native_id}\n{row.name}\n{row.author or ''}".casefold(),
        "description": "",
        "facts": {},
        "content_hash": "",
    }


def typing(index: CatalogIndex, text: str) -> list[float]:
    """Milliseconds for each key of a query, from the text to the positions in order."""
    taken = []
    for end in range(1, len(text) + 1):
        begin = time.perf_counter()
        try:
            index.find(parse(text[:end]))
        except BadTerm:
            continue
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


class Scrolled(App[None]):
    def compose(self) -> ComposeResult:
        yield VirtualTable(
            [
                Column("model", "MODEL", 20, grow=1, middle=True, priority=9),
                Column("provider", "PROVIDER", 12, priority=5),
                Column("ctx", "CTX", 5, right=True, priority=4),
                Column("in", "IN $/M", 8, right=True, priority=6),
                Column("out", "OUT $/M", 8, right=True, priority=3),
                Column("state", "STATE", 10, priority=8),
            ]
        )


async def scrolling(index: CatalogIndex) -> None:
    app = Scrolled()
    async with app.run_test(size=(120, 40)) as pilot:
        table = app.query_one(VirtualTable)
        everything = FoundRows(index, Found(index.find(Query())))
        some = FoundRows(index, Found(index.find(parse("llama"))))
        print(f"  show {len(everything):,} rows         {timed(lambda: table.show(everything)):8.2f} ms")
        await pilot.pause()
        table.move_to(everything.key(50))

        def lines() -> None:
            for y in range(table.size.height):
                table.render_line(y)

        def page() -> None:
            table.action_page(1)
            lines()

        def cursor() -> None:
            table.action_move(1)
            lines()

        def one() -> None:
            table.refresh_keys([table.cursor_key])
            lines()

        def narrow() -> None:
            table.show(some)
            lines()
            table.show(everything)
            lines()

        print(f"  scroll a page of {table.size.height - 1} rows      {timed(page, 50):8.2f} ms")
        print(f"  move the cursor               {timed(cursor, 50):8.2f} ms")
        print(f"  refresh one row               {timed(one, 50):8.2f} ms")
        print(f"  another result and back       {timed(narrow, 10):8.2f} ms   (cursor found again by key)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=100_000)
    count = parser.parse_known_args()[0].models
    rows = sample_rows(count)

    index = CatalogIndex()
    print(f"{count:,} models")
    print(f"  fill the index from memory    {timed(lambda: index.update(rows)):8.0f} ms")
    haystacks = [f"{row.native_id}\n{row.name}\n{row.author or ''}".casefold() for row in rows]
    look = timed(lambda: [text for text in haystacks if "llama" in text], 9)
    print(f"  floor: one look through all   {look:8.2f} ms")
    for sort in SORTS:
        query = parse("")
        first = timed(lambda sort=sort, query=query: index.find(query, sort))  # type: ignore[misc]
        then = timed(lambda sort=sort, query=query: index.find(query, sort), 9)  # type: ignore[misc]
        print(f"  order by {sort:<10}           {first:8.2f} ms, then {then:.2f} ms")
    index.find(Query())
    for text in TYPED:
        taken = typing(index, text)
        print(f"  type {text!r:<50} median {statistics.median(taken):6.2f} ms  worst {max(taken):6.2f} ms a key")
    asyncio.run(scrolling(index))
    asyncio.run(read_from_sqlite(rows))


if __name__ == "__main__":
    main()
