"""The audit: append-only, chained, and told apart from what was tampered with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from console.audit import Audit
from console.guard import Danger, Guard, Policy, Principal, Role
from console.outcome import Refusal
from console.store.engine import Store
from console.store.tables.operations import audit as table
from tests.support.store import store_in

ME = Principal("op", Role.ADMIN, None, "cli", "10.0.0.1")


@pytest.fixture
async def store(tmp_path: Path):
    store = await store_in(tmp_path)
    yield store
    await store.close()


async def _write(audit: Audit, number: int) -> None:
    await audit.write("keys.rotate", ME, tenant="acme", target=f"k{number}", outcome="done", detail={"n": number})


async def test_the_chain_holds_and_rows_come_back_newest_first(store: Store) -> None:
    audit = Audit(store)
    for number in range(5):
        await _write(audit, number)
    assert [row.target for row in await audit.recent()] == ["k4", "k3", "k2", "k1", "k0"]
    assert await audit.verify() == (5, None)


async def test_writers_at_the_same_time_make_one_chain(store: Store) -> None:
    await asyncio.gather(*(_write(Audit(store), number) for number in range(20)))
    assert await Audit(store).verify() == (20, None)


@pytest.mark.parametrize("tampering", ["change", "remove"])
async def test_tampering_is_found(store: Store, tampering: str) -> None:
    audit = Audit(store)
    for number in range(4):
        await _write(audit, number)
    async with store.writing() as db:
        if tampering == "change":
            await db.execute(table.update().where(table.c.seq == 2).values(target="another"))
        else:
            await db.execute(table.delete().where(table.c.seq == 2))
    _, broken = await audit.verify()
    assert broken in (2, 3)


async def test_a_refused_attempt_leaves_a_row(store: Store) -> None:
    audit = Audit(store)

    class Rotate:
        id, role, danger = "keys.rotate", Role.ADMIN, Danger.WRITE

    guard = Guard(Policy("prod", read_only=True), log=audit)
    with pytest.raises(Refusal, match="read-only"):
        await guard.permit(Rotate(), ME, tenant="acme", target="k1")
    (row,) = await audit.recent()
    assert (row.outcome, row.target, row.detail) == ("refused", "k1", {"why": "profile prod is read-only"})
    async with store.reading() as db:
        assert (await db.execute(sa.select(sa.func.count()).select_from(table))).scalar() == 1
