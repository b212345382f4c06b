"""What recovery brings about stands in the audit: once for each operation, however often recovery runs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from console.audit import Audit, AuditRow
from console.guard import Principal, Role
from console.operations.journal import LEASE, Journal
from console.operations.recovery import recover_once
from console.operations.runner import Runner
from console.operations.types import RUN, NewOperation, OperationState, Recovery
from console.outcome import Failure
from tests.service.operations.test_runner import Bench, Clock, Killed, Put, World
from tests.support.store import store_in


@dataclasses.dataclass
class Audited(Bench):
    audit: Audit

    async def killed_at(self, name: str, new: NewOperation) -> None:
        """Begin an operation in a process that ends in the middle, and let its lease run out."""
        self.world.faults["before", name] = Killed()
        with pytest.raises(Killed):
            await self.runner.run(new)
        self.world.faults.clear()
        self.clock.now += LEASE + timedelta(seconds=1)

    async def rows(self) -> list[AuditRow]:
        return await self.audit.recent()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Audited]:
    store = await store_in(tmp_path)
    world, clock = World(), Clock()
    journal, audit = Journal(store, clock=clock), Audit(store)
    yield Audited(world, journal, Runner(journal, {"put": Put(world)}, audit), clock, audit)
    await store.close()


@pytest.mark.parametrize(
    ("recovery", "outcome", "how"),
    [
        (Recovery.FINISH, "done", "interrupted, and finished by recovery"),
        (Recovery.UNDO, "failed", "interrupted, and undone by recovery"),
    ],
)
async def test_what_a_killed_process_began_is_in_the_audit_once(
    bench: Audited, recovery: Recovery, outcome: str, how: str
) -> None:
    new = dataclasses.replace(bench.operation("a", "b", recovery=recovery), actor="op@10.0.0.1")
    await bench.killed_at("b", new)
    assert await bench.rows() == []
    for _ in range(2):
        await asyncio.gather(*(recover_once(bench.journal, bench.runner) for _ in range(3)))
    (row,) = await bench.rows()
    assert (row.action, row.tenant, row.target, row.outcome) == ("test", "acme", "t", outcome)
    assert (row.actor, row.via) == ("op@10.0.0.1", "recovery")
    (ended,) = await bench.journal.recent()
    assert row.detail == {"summary": how, "operation": ended.id, "ended_by": "recovery"}
    assert await bench.audit.verify() == (1, None)
    assert await bench.audit.recent(who="op") == await bench.audit.recent(who="op@10.0.0.1") == [row]
    assert await bench.audit.recent(who="o") == []


async def test_what_recovery_could_not_end_yet_has_no_row_yet(bench: Audited) -> None:
    await bench.killed_at("b", bench.operation("a", "b"))
    bench.world.faults["undo", "a"] = Failure("the cluster is away")
    for _ in range(2):
        await recover_once(bench.journal, bench.runner)
    assert await bench.rows() == []
    bench.world.faults.clear()
    await recover_once(bench.journal, bench.runner)
    assert [row.outcome for row in await bench.rows()] == ["failed"]


async def test_what_ends_without_recovery_is_the_operators_to_write(bench: Audited) -> None:
    await bench.runner.run(bench.operation("a"))
    bench.world.faults["before", "b"] = Failure("no")
    await bench.runner.run(bench.operation("b"))
    assert await bench.rows() == []


async def test_a_row_that_cannot_be_written_leaves_the_operation_to_recovery(
    bench: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.killed_at("a", bench.operation("a", recovery=Recovery.FINISH))
    left = [IntegrityError("insert", {}, Exception("somebody took the place")), Killed()]
    write = bench.audit.recovered

    async def disturbed(*given: object, **named: object) -> None:
        await write(*given, **named)  # type: ignore[arg-type]
        if left:
            raise left.pop(0)

    monkeypatch.setattr(bench.audit, "recovered", disturbed)
    with pytest.raises(Killed):
        await recover_once(bench.journal, bench.runner)
    assert await bench.rows() == []
    assert (await bench.journal.recent())[0].state is not OperationState.DONE
    bench.clock.now += LEASE + timedelta(seconds=1)
    await recover_once(bench.journal, bench.runner)
    assert [row.outcome for row in await bench.rows()] == ["done"]


async def test_of_a_killed_run_of_several_the_row_tells_all_that_it_did(bench: Audited) -> None:
    def part(name: str) -> NewOperation:
        new = bench.operation(name, target=name)
        (step,) = new.steps
        step = dataclasses.replace(step, arguments={**step.arguments, RUN: "a1b2c3d4e5f6"})
        return dataclasses.replace(new, steps=(step,))

    await bench.runner.run(part("first"))
    bench.clock.now += timedelta(seconds=1)
    await bench.killed_at("second", part("second"))
    await recover_once(bench.journal, bench.runner)
    (row,) = await bench.rows()
    assert row.detail[RUN] == "a1b2c3d4e5f6"
    assert row.detail["items"] == [["test first", "done"], ["test second", "failed"]]


async def test_no_row_is_without_its_place_when_an_operator_writes_meanwhile(bench: Audited) -> None:
    me = Principal("op", Role.ADMIN)
    for name in ("a", "b", "c"):
        await bench.killed_at(name, bench.operation(name, target=name))
    await asyncio.gather(
        recover_once(bench.journal, bench.runner),
        *(bench.audit.write("x", me, tenant=None, target=str(n), outcome="done", detail={}) for n in range(10)),
    )
    assert await bench.audit.verify() == (13, None)
