"""Every line of the log is counted once: over renames, restarts, kills, two readers and a database that is away."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
import sqlalchemy as sa

from console.outcome import Unavailable
from console.services import Services
from console.store.engine import Store
from console.store.migrate import upgrade
from console.store.tables import usage as t
from console.usage import book, collecting
from console.usage.collecting import Collector
from console.usage.reading import Question, Sums, reasons, sums, totals
from console.usage.tally import GRAINS
from tests.support.postgres import Postgres, running_postgres

NOW = datetime(2026, 11, 21, 16, 0, 30, tzinfo=UTC)
ALL = Question(86_400, 0, 2**40)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    sqlite = request.param == "sqlite"
    made = Store(f"sqlite:///{tmp_path / 'm.db'}" if sqlite else request.getfixturevalue("postgres").create())
    await upgrade(made)
    yield made
    await made.close()


def services_of(store: Store) -> Services:
    async def given() -> Store:
        return store

    return cast("Services", SimpleNamespace(store=given))


class Log:
    """An access log as Envoy writes it, and the sums of what was written."""

    def __init__(self, directory: Path, seed: int = 1) -> None:
        self.path = directory / "access.log"
        self.path.touch()
        self.requests = self.tokens = self.lines = 0
        self._random = random.Random(seed)

    def write(self, count: int, *, at: datetime = NOW) -> None:
        with self.path.open("ab") as stream:
            for _ in range(count):
                self.lines += 1
                self.requests += 1
                tokens = self._random.randrange(1000)
                self.tokens += tokens
                said = {"time": at.isoformat(), "id": f"{self.lines}-{self._random.random()}", "status": 200,
                        "key": f"k{self._random.randrange(5)}", "tenant": "acme",
                        "model": f"m{self._random.randrange(3)}", "details": "via_upstream",
                        "upstream": "backend/acme/pub-m", "milliseconds": 5,
                        "input_tokens": tokens, "output_tokens": 0}  # fmt: skip
                stream.write(json.dumps(said).encode() + b"\n")

    def rotate(self) -> None:
        self.path.replace(self.path.with_name("access.log.1"))
        self.path.touch()


async def counted(store: Store, question: Question = ALL) -> Sums:
    return sum(await sums(store, question, "model"), Sums("all"))


async def test_everything_is_counted_once_over_renames_and_restarts(store: Store, tmp_path: Path) -> None:
    log = Log(tmp_path)
    collector = Collector(services_of(store), log.path)
    assert await collector.collect() == 0
    log.write(10)
    with log.path.open("ab") as stream:
        stream.write(b'{"time": "2026-11-21T16:0')  # the rest of it comes later
    assert await collector.collect() == 10
    with log.path.open("ab") as stream:
        stream.write(b'0:30Z", "id": "x", "status": 401, "details": "ext_authz_denied"}\nno request\n')
    log.write(5)
    log.rotate()
    log.write(7)
    collector = Collector(services_of(store), log.path)  # another process, later
    assert await collector.collect() == 14
    assert await collector.collect() == 0
    log.rotate()
    assert await collector.collect() == 0
    log.write(1)
    assert await collector.collect() == 1
    found = await counted(store)
    assert (found.requests, found.input_tokens, found.refused) == (log.requests + 1, log.tokens, 1)
    assert await reasons(store, ALL) == [("invalid_api_key", 1)]
    (place,) = (await book.sources(store)).values()
    assert (place.lines, place.unreadable, place.gaps) == (25, 1, 0)
    for grain in GRAINS:
        by_grain = await counted(store, Question(grain, 0, 2**40))
        assert by_grain.input_tokens == log.tokens
    assert sum(one.input_tokens for _, _, one in await totals(store)) == log.tokens


async def test_a_file_that_nobody_has_read_to_its_end_is_told(store: Store, tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(3)
    await Collector(services_of(store), log.path).collect()
    log.write(2)
    for count in (4, 5):
        log.rotate()
        log.write(count)
    await Collector(services_of(store), log.path).collect()
    (place,) = (await book.sources(store)).values()
    assert (place.gaps, (await counted(store)).requests) == (1, 3 + 4 + 5)


async def test_two_readers_count_nothing_twice(store: Store, tmp_path: Path) -> None:
    log = Log(tmp_path)

    async def read(collector: Collector) -> None:
        for _ in range(12):
            await collector.collect()
            await asyncio.sleep(0.002)

    readers = [asyncio.create_task(read(Collector(services_of(store), log.path))) for _ in range(2)]
    for _ in range(10):
        log.write(20)
        await asyncio.sleep(0.003)
    await asyncio.gather(*readers)
    await Collector(services_of(store), log.path).collect()
    found = await counted(store)
    assert (found.requests, found.input_tokens) == (log.requests, log.tokens)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_fault_at_any_moment_loses_and_doubles_nothing(
    store: Store, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path)
    collector = Collector(services_of(store), log.path)
    log.write(5)
    await collector.collect()
    log.write(5)
    real = book.write

    async def failing(*arguments: Any) -> None:
        if moment == "after":  # it was written, and nobody was told
            await real(*arguments)
        raise Unavailable("the database is away")

    monkeypatch.setattr(collecting.book, "write", failing)
    with pytest.raises(Unavailable):
        await collector.collect()
    monkeypatch.undo()
    await collector.collect()
    found = await counted(store)
    assert (found.requests, found.input_tokens) == (log.requests, log.tokens)


async def test_old_rows_are_forgotten_and_totals_stay(store: Store, tmp_path: Path) -> None:
    log = Log(tmp_path)
    for days in (0, 3, 100, 800):
        log.write(2, at=NOW - timedelta(days=days))
    await Collector(services_of(store), log.path).collect()
    await book.forget(store, NOW)
    counts = [(await counted(store, Question(grain, 0, 2**40))).requests for grain in GRAINS]
    assert counts == [2, 4, 6]
    assert sum(one.requests for _, _, one in await totals(store)) == 8


async def test_a_line_beyond_all_reason_holds_nothing_up(store: Store, tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(1)
    with log.path.open("ab") as stream:
        stream.write(b"x" * 5_000_000 + b"\n")
    log.write(1)
    assert await Collector(services_of(store), log.path).collect() >= 3
    assert (await counted(store)).requests == 2


async def test_sums_of_money_do_not_overflow(store: Store) -> None:
    async with store.writing() as db:
        await db.execute(sa.insert(t.usage_series).values(tenant="acme", key_id="k", model="m", cost=2**62))
        number = (await db.execute(sa.select(t.usage_series.c.id))).scalar_one()
        rows = [{"grain": 60, "start": start, "series": number, "cost": 2**62} for start in (0, 60, 120)]
        await db.execute(sa.insert(t.usage), rows)
    (found,) = await sums(store, Question(60, 0, 1000), "model")
    assert found.cost == 3 * 2**62
