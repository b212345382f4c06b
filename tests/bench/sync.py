"""How fast a sync is, and how much memory a big list takes. Prints; never fails.

    .venv/bin/python -m tests.bench.sync [--models 20000] [--list-mb 60] [--searched 100000]

1. A list of so many models over HTTP into SQLite: the whole sync, and its part that writes, beside a bare
   ``sqlite3.executemany`` of the very same rows into the same schema with the same settings.
2. A second sync of the same list, sent again, and not modified.
3. A list of so many MB, of OpenRouter's form and of Featherless': the peak memory of the process that syncs it, above
   what its imports take.
4. The first page of some queries over so many models, the best of five: in SQLite, and in a PostgreSQL of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from console.catalog import read
from console.guard import system_permit
from console.local.samples import source, wire
from console.store.engine import Store
from console.store.migrate import upgrade
from console.sync import apply, provider_sync
from console.sync.engine import Syncer
from console.sync.providers import spec
from console.sync.types import Limits, ProviderReport, ProviderTarget
from tests.support.postgres import running_postgres

QUERIES = (
    "",
    "llama",
    "llama ctx>=128k",
    "provider:openrouter in<0.5 vision -preview",
    "author:openai",
    "input:image",
    "free",
    "about:summaries",
    'about:"takes text"',
    "nothing-like-it",
)


def serve(slug: str, models: int, padding: int, ready: Any) -> None:
    """In a process of its own: a provider's list, padded to a size, without ETags."""
    form = wire.FORMATS[slug]
    # Made beforehand: making it would be measured with the sync.
    pieces = [form.before.encode()]
    for number, model in enumerate(source.offered(slug, models)):
        record = form.record(model)
        record["description"] = f"{record.get('description', '')} {'x' * padding}"
        pieces.append((b"," if number else b"") + json.dumps(record).encode())
    pieces.append(form.after.encode())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n")
        for first in range(0, len(pieces), 100):
            writer.write(b"".join(pieces[first : first + 100]))
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ready.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def serving(models: int, padding: int = 0, slug: str = "openrouter") -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    process = context.Process(target=serve, args=(slug, models, padding, ready), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ready.get(timeout=60)}"
    finally:
        process.terminate()
        process.join()


async def synced(store: Store, base_url: str, slug: str = "openrouter") -> ProviderReport:
    syncer = Syncer(store, credential=lambda _: None, limits=Limits(provider_seconds=1_800))
    target = ProviderTarget(spec(slug), base_url)
    return (await syncer.run(system_permit("bench"), [target])).providers[0]


async def opened(directory: Path) -> Store:
    store = Store(f"sqlite:///{directory / 'modeldeck.db'}")
    await upgrade(store)
    return store


async def speed(directory: Path, models: int) -> None:
    store = await opened(directory)
    writing = 0.0
    carry_out = apply.carry_out

    async def timed(*arguments: Any, **options: Any) -> Any:
        nonlocal writing
        started = time.perf_counter()
        try:
            return await carry_out(*arguments, **options)
        finally:
            writing = time.perf_counter() - started

    provider_sync.carry_out = timed  # type: ignore[assignment]
    with serving(models) as base_url:
        started = time.perf_counter()
        report = await synced(store, base_url)
        whole = time.perf_counter() - started
        written = writing
        rows = await all_rows(store)
        count = sum(len(found) for found in rows.values())
        bare = bare_insert(directory, store, rows)
        print(f"{report.counts.written} models, {count} rows, a list of {report.body_bytes / 1e6:.1f} MB")
        print(f"  bare executemany        {bare:6.2f} s  {count / bare:9.0f} rows/s")
        print(
            f"  the sync's own writing  {written:6.2f} s  {count / written:9.0f} rows/s  {bare / written:5.0%} of bare"
        )
        print(f"  the whole sync          {whole:6.2f} s  {count / whole:9.0f} rows/s  {bare / whole:5.0%} of bare")
        started = time.perf_counter()
        again = await synced(store, base_url)
        print(f"  the same list again     {time.perf_counter() - started:6.2f} s  {again.counts.written} rows written")
    await store.close()


async def pages(url: str, models: int, *, vacuum: Callable[[str], None] = lambda _: None) -> None:
    store = Store(url)
    await upgrade(store)
    with serving(models) as base_url:
        await synced(store, base_url)
    vacuum(url)  # as its autovacuum does within a minute
    print(f"{store.url.get_backend_name()}: the first page of 50, over {models} models, by name and by input price")
    for query in QUERIES:
        times = [await page_of(store, query, sort) for sort in (read.Sort.NAME, read.Sort.INPUT)]
        found = (await read.search(store, query, limit=1)).total
        print(f"  {query!r:46} {times[0]:5.1f} ms  {times[1]:5.1f} ms  of {found}")
    await store.close()


async def page_of(store: Store, query: str, sort: read.Sort) -> float:
    """Milliseconds, the best of five."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        await read.search(store, query, sort=sort, limit=50)
        best = min(best, time.perf_counter() - started)
    return best * 1000


async def all_rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """The rows as the database keeps them."""
    async with store.reading() as connection:
        return {
            name: [tuple(row) for row in await connection.execute(sa.text(f"SELECT * FROM {name}"))]
            for name in ("models", "model_prices")
        }


def bare_insert(directory: Path, store: Store, rows: dict[str, list[tuple[object, ...]]]) -> float:
    """Seconds for the same rows in one transaction, without anything of ours around it."""
    source_db = sqlite3.connect(str(store.url.database))
    # The tables behind the full-text index come with it.
    wanted = (
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND NOT (type = 'table' AND name GLOB 'models_words_*')"
    )
    schema = [sql for (sql,) in source_db.execute(wanted)]
    provider = source_db.execute("SELECT * FROM providers").fetchone()
    source_db.close()
    bare = sqlite3.connect(directory / "bare.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        bare.execute(f"PRAGMA {pragma}")
    for sql in schema:
        bare.execute(sql)
    bare.execute(f"INSERT INTO providers VALUES ({','.join('?' * len(provider))})", provider)
    started = time.perf_counter()
    bare.execute("BEGIN IMMEDIATE")
    for name, found in rows.items():
        bare.executemany(f"INSERT INTO {name} VALUES ({','.join('?' * len(found[0]))})", found)
    bare.execute("COMMIT")
    seconds = time.perf_counter() - started
    bare.close()
    return seconds


def peak() -> float:
    """Of this process, in MB; `getrusage` would count what its parent had before the exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def peak_of(directory: str, base_url: str, slug: str, result: Any) -> None:
    """In a process of its own: the peak resident memory before and after a sync, in MB."""

    async def main() -> ProviderReport:
        store = await opened(Path(directory))
        try:
            return await synced(store, base_url, slug)
        finally:
            await store.close()

    before = peak()
    report = asyncio.run(main())
    after = peak()
    result.put((before, after, report.body_bytes, report.counts.written, report.milliseconds))


def memory(directory: Path, models: int, megabytes: int, slug: str) -> None:
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    record = len(json.dumps(wire.FORMATS[slug].record(source.real_models(slug)[0])))
    with serving(models, max(0, megabytes * 1_000_000 // models - record), slug) as base_url:
        process = context.Process(target=peak_of, args=(str(directory), base_url, slug, result))
        process.start()
        before, after, size, written, milliseconds = result.get(timeout=300)
        process.join()
    print(f"a list of {slug}'s of {size / 1e6:.0f} MB with {written} models, {milliseconds / 1000:.1f} s")
    print(f"  peak memory {after:.0f} MB, of which {before:.0f} MB are imports")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=20_000)
    parser.add_argument("--list-mb", type=int, default=60)
    parser.add_argument("--searched", type=int, default=100_000)
    arguments, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(speed(Path(directory), arguments.models))
    for slug in ("openrouter", "featherless"):
        with tempfile.TemporaryDirectory() as directory:
            memory(Path(directory), arguments.models, arguments.list_mb, slug)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(pages(f"sqlite:///{directory}/modeldeck.db", arguments.searched))
    with running_postgres() as server:
        asyncio.run(pages(server.create(), arguments.searched, vacuum=server.vacuum))


if __name__ == "__main__":
    main()
