"""Usage: how big two years of it are, how fast reports are read from them, and how fast a log is counted.

The floor of counting is `json.loads` of the same lines, in the same run.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from console.services import Services
from console.store.engine import Store
from console.store.migrate import upgrade
from console.store.tables.usage import MEASURES
from console.usage.book import KEEP
from console.usage.collecting import Collector
from console.usage.reading import Question, sums

SERIES = 500
LINES = 50_000
_BATCH = 50_000


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_measure(Path(directory)))


async def _measure(directory: Path) -> None:
    path = directory / "full.db"
    store = Store(f"sqlite:///{path}")
    await upgrade(store)
    empty = path.stat().st_size
    now = int(time.time()) // 86_400 * 86_400
    rows = _fill(path, now)
    size = path.stat().st_size - empty
    _tell(f"rows kept for {SERIES} series, all minutes, hours and days", f"{rows:,}")
    _tell("their size", f"{size / 2**20:,.0f} MiB, {size / rows:.0f} bytes a row", goal="< 2 GiB")
    for title, grain, back in (("3 h", 60, 3 * 3600), ("7 d", 3600, 7 * 86_400), ("2 y", 86_400, 730 * 86_400)):
        began = time.perf_counter()
        found = await sums(store, Question(grain, now - back, now), "model")
        _tell(f"report of {title} by model", f"{(time.perf_counter() - began) * 1000:.0f} ms")
        assert found
    await store.close()
    counted, floor = await _count(directory)
    _tell("lines of a log counted", f"{LINES / counted:,.0f} a second")
    _tell("json.loads alone", f"{LINES / floor:,.0f} a second ({floor / counted:.0%})")


def _tell(what: str, measured: str, goal: str = "") -> None:
    print(f"{what:<66} {measured:<34} {f'goal {goal}' if goal else ''}".rstrip())


def _fill(path: Path, now: int) -> int:
    """Every row that there can be: every series in every minute, hour and day that is kept."""
    chosen = random.Random(1)
    connection = sqlite3.connect(path)
    zeros = ", ".join("0" for _ in MEASURES)
    names = [(number, f"t{number % 20}", f"k{number % 250}", f"m{number % 40}-{number}") for number in range(SERIES)]
    connection.executemany(
        f"INSERT INTO usage_series (id, tenant, key_id, model, {', '.join(MEASURES)}) VALUES (?, ?, ?, ?, {zeros})",
        names,
    )
    marks = ", ".join("?" for _ in range(3 + len(MEASURES)))
    statement = f"INSERT INTO usage VALUES ({marks})"
    count = 0

    def rows() -> Iterator[tuple[int, ...]]:
        for grain, kept in KEEP.items():
            for start in range(now - int(kept.total_seconds()), now, grain):
                for series in range(SERIES):
                    requests = chosen.randrange(1, grain)
                    tokens = requests * 400
                    yield (grain, start, series, requests, 3, 1, 0, tokens, tokens // 3, requests, 2, 0,
                           tokens * 170_000, requests * 900, 0, 0, 3, requests // 2,
                           requests // 2, 5, 0, 0, 0, 0)  # fmt: skip

    batch: list[tuple[int, ...]] = []
    for row in rows():
        batch.append(row)
        if len(batch) == _BATCH:
            count += len(batch)
            connection.executemany(statement, batch)
            batch.clear()
    count += len(batch)
    connection.executemany(statement, batch)
    connection.commit()
    connection.close()
    return count


async def _count(directory: Path) -> tuple[float, float]:
    """Seconds to count a log, and to read its lines as JSON."""
    chosen = random.Random(2)
    log = directory / "access.log"
    with log.open("w") as stream:
        for number in range(LINES):
            stream.write(json.dumps(_line(number, chosen)) + "\n")
    store = Store(f"sqlite:///{directory / 'count.db'}")
    await upgrade(store)

    async def given() -> Store:
        return store

    services = cast("Services", SimpleNamespace(store=given))
    began = time.perf_counter()
    assert await Collector(services, log).collect() == LINES
    counted = time.perf_counter() - began
    await store.close()
    lines = log.read_bytes().splitlines()
    began = time.perf_counter()
    for line in lines:
        json.loads(line)
    return counted, time.perf_counter() - began


def _line(number: int, chosen: random.Random) -> dict[str, Any]:
    series = chosen.randrange(SERIES)
    return {
        "time": "2026-11-21T16:00:30.125Z", "id": f"f401bc34-5a29-456c-a470-{number:012}", "client": "10.4.2.9",
        "method": "POST", "host": "llm.example.com", "path": "/v1/chat/completions", "route": "acme/pub-llama/rule/0",
        "model": f"m{series % 40}", "body": None, "key": f"k{series}", "tenant": "acme",
        "status": 200, "details": "via_upstream", "flags": "-", "upstream": "backend/acme/pub-llama#de7196f6",
        "received": 61, "sent": 434, "milliseconds": chosen.randrange(5000), "input_tokens": chosen.randrange(5000),
        "output_tokens": chosen.randrange(900), "tokens": 0, "metered": True, "upstream_host": "10.0.0.7:443",
    }  # fmt: skip
