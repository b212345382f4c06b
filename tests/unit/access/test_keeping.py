"""What the gateway let through by its table is counted once, whatever becomes of the file and of the worker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from console.access.decision import Allowed
from console.access.keeping import TableKeeper
from console.access.table import LEASE_SECONDS, USES_FILE
from console.access.types import Entries, KeyEntry, Snapshot
from console.config import AccessRules
from tests.support.waiting import until

DIGESTS = [f"{number:064x}" for number in range(4)]


class Seen:
    """A tally that remembers."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str | None, str | None]] = []

    def saw(self, answer: Any, client: str | None, now: float) -> None:
        assert isinstance(answer, Allowed)
        self.all.append((answer.digest, client, answer.model))


def keeper_of(directory: Path, seen: Seen, *, budgets: tuple[str, ...] = (), usable: bool = True) -> TableKeeper:
    async def read() -> tuple[str, ...]:
        return budgets

    return TableKeeper(directory, AccessRules(), seen, usable=lambda _: usable, budgets=read)  # type: ignore[arg-type]


async def kept(keeper: TableKeeper) -> asyncio.Task[None]:
    """Let it take the lock."""
    return asyncio.create_task(keeper.keep())


def note(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.writelines(lines)


async def test_uses_are_counted_once_over_rotations_and_workers(tmp_path: Path) -> None:
    uses, seen = tmp_path / USES_FILE, Seen()
    first = keeper_of(tmp_path, seen)
    task = await kept(first)
    await until((tmp_path / "current").exists, within=5)
    note(uses, f"{DIGESTS[0]}\tm\t10.0.0.1\n", f"{DIGESTS[1]}\tm", "")
    first.count(0.0)
    assert seen.all == [(DIGESTS[0], "10.0.0.1", "m")], "a line that is not whole waits for its end"
    note(uses, "\t-\n")
    uses.replace(uses.with_suffix(".log.1"))
    note(uses, f"{DIGESTS[2]}\tm\t::1\n")
    first.count(0.0)
    first.count(0.0)
    assert [digest for digest, *_ in seen.all] == DIGESTS[:3]
    task.cancel()
    first.close()

    second = keeper_of(tmp_path, seen)
    task = await kept(second)
    await until(lambda: second._table.writes, within=5)
    note(uses, f"{DIGESTS[3]}\tm\t::1\n")
    second.count(0.0)
    assert [digest for digest, *_ in seen.all] == DIGESTS
    task.cancel()
    second.close()


async def test_a_table_is_begun_with_budgets_known_and_ended_with_its_worker(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, Seen(), budgets=("tenant:acme",))
    await keeper.follow(Snapshot(Entries.of([KeyEntry(DIGESTS[0], {})])), None)
    assert not (tmp_path / "current").exists(), "nobody knows yet who has a budget"
    task = await kept(keeper)
    await until((tmp_path / "current").exists, within=5)
    lines = (tmp_path / "current").read_text().splitlines()
    assert "charged\ttenant:acme\t." in lines
    assert any(line.startswith(f"key\t{DIGESTS[0]}\t") for line in lines)
    task.cancel()
    keeper.close()
    assert (tmp_path / "current").read_text().splitlines()[-1] == "until\t0\t."


async def test_a_view_that_may_not_be_decided_on_is_not_extended(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, Seen(), usable=False)
    task = await kept(keeper)
    await asyncio.sleep(0.05)
    assert not (tmp_path / "current").exists()
    task.cancel()


async def test_where_the_table_cannot_be_written_a_change_waits_until_nobody_goes_by_it(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("console.access.keeping.LEASE_SECONDS", 0.1)
    keeper = keeper_of(tmp_path, Seen())
    task = await kept(keeper)
    await until((tmp_path / "current").exists, within=5)
    task.cancel()
    monkeypatch.setattr("console.access.table._write", _no_space)
    began = time.monotonic()
    await keeper.follow(Snapshot(Entries.of([KeyEntry(DIGESTS[0], {})])), [DIGESTS[0]])
    assert time.monotonic() - began >= 0.1
    assert LEASE_SECONDS > 0.1
    keeper.close()


def _no_space(*_: Any) -> None:
    raise OSError(28, "No space left on device")
