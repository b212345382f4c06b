"""Operations on a real database: every way in which one can stop leaves nothing half done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console.operations.journal import LEASE, Journal
from console.operations.recovery import recover_once
from console.operations.runner import Runner
from console.operations.types import NewOperation, OperationState, Progress, Recovery, Step, StepState
from console.outcome import Ending, Failure, Refusal
from console.store.engine import Store
from tests.support.store import store_in


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@dataclass
class World:
    """What the steps change: a set of names. Faults are set per step and moment."""

    there: set[str] = field(default_factory=set)
    faults: dict[tuple[str, str], BaseException] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def meet(self, moment: str, name: str) -> None:
        self.log.append(f"{moment} {name}")
        fault = self.faults.get((moment, name))
        if fault is not None:
            raise fault


class Put:
    def __init__(self, world: World) -> None:
        self.world = world

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        self.world.meet("prepare", arguments["name"])
        return {"was_there": arguments["name"] in self.world.there}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        self.world.meet("before", arguments["name"])
        self.world.there.add(arguments["name"])
        self.world.meet("after", arguments["name"])
        await asyncio.sleep(0)
        return f"put {arguments['name']}"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        self.world.meet("undo", arguments["name"])
        if not undo["was_there"]:
            self.world.there.discard(arguments["name"])
        return "taken away"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Bench:
    world: World
    journal: Journal
    runner: Runner
    clock: Clock

    def operation(self, *names: str, recovery: Recovery = Recovery.UNDO, target: str = "t") -> NewOperation:
        steps = tuple(Step("put", f"put {name}", {"name": name}) for name in names)
        return NewOperation("test", target, "acme", "me", steps, recovery)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store: Store = await store_in(tmp_path)
    world, clock = World(), Clock()
    journal = Journal(store, clock=clock)
    yield Bench(world, journal, Runner(journal, {"put": Put(world)}), clock)
    await store.close()


async def test_all_steps_are_taken_and_reported(bench: Bench) -> None:
    heard: list[Progress] = []
    record, outcome = await bench.runner.run(bench.operation("a", "b"), heard.append)
    assert outcome.ending is Ending.DONE
    assert outcome.proof == ("put a: put a", "put b: put b")
    assert record.state is OperationState.DONE
    assert bench.world.there == {"a", "b"}
    assert [(p.seq, p.state) for p in heard] == [
        (0, StepState.TAKING),
        (0, StepState.TAKEN),
        (1, StepState.TAKING),
        (1, StepState.TAKEN),
    ]


@pytest.mark.parametrize("moment", ["prepare", "before", "after"])
@pytest.mark.parametrize("name", ["a", "b", "c"])
async def test_a_failure_at_any_step_undoes_everything(bench: Bench, moment: str, name: str) -> None:
    bench.world.there.add("old")
    bench.world.faults[moment, name] = Failure("the disk is full", code="FULL")
    record, outcome = await bench.runner.run(bench.operation("a", "b", "c", "old"))
    assert outcome.ending is Ending.FAILED
    assert "the disk is full" in outcome.summary
    assert "undone" in outcome.summary
    assert outcome.code == "FULL"
    assert bench.world.there == {"old"}
    assert record.state is OperationState.FAILED


async def test_a_refusal_in_a_step_is_a_refusal_with_nothing_left(bench: Bench) -> None:
    bench.world.faults["before", "b"] = Refusal("somebody has it", status=409)
    _, outcome = await bench.runner.run(bench.operation("a", "b"))
    assert (outcome.ending, outcome.status) == (Ending.REFUSED, 409)
    assert not bench.world.there


@pytest.mark.parametrize("deaf", [False, True], ids=["heard", "swallowed by a library"])
async def test_cancelling_undoes_and_says_so(bench: Bench, deaf: bool) -> None:
    reached = asyncio.Event()

    class Slow(Put):
        async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
            detail = await super().take(arguments, undo, operation)
            reached.set()
            with contextlib.suppress(asyncio.CancelledError) if deaf else contextlib.nullcontext():
                await asyncio.Event().wait()
            return detail

    runner = Runner(bench.journal, {"put": Put(bench.world), "slow": Slow(bench.world)})
    steps = [Step("put", "a", {"name": "a"}), Step("slow", "b", {"name": "b"}), Step("put", "c", {"name": "c"})]
    new = NewOperation("test", "t", None, "me", tuple(steps[:2] if deaf else steps))
    task = asyncio.create_task(runner.run(new))
    await reached.wait()
    task.cancel()
    record, outcome = await task
    assert outcome.ending is Ending.CANCELLED
    assert record.state is OperationState.CANCELLED
    assert not bench.world.there


@pytest.mark.parametrize("recovery", list(Recovery))
async def test_ctrl_c_while_a_line_is_written_is_obeyed_once(bench: Bench, recovery: Recovery) -> None:
    """Cancelled while it runs, not while it waits: `obey` says so before the cancellation itself arrives."""

    def listen(progress: Progress) -> None:
        running = asyncio.current_task()
        if progress.seq == 0 and progress.state is StepState.TAKEN and running is not None:
            running.cancel()

    _, outcome = await asyncio.create_task(bench.runner.run(bench.operation("a", "b", recovery=recovery), listen))
    if recovery is Recovery.UNDO:
        assert (outcome.ending, bench.world.there) == (Ending.CANCELLED, set())
    else:
        assert (outcome.ending, bench.world.there) == (Ending.DONE, {"a", "b"})


async def test_what_is_finished_rather_than_undone_is_finished_when_it_is_cancelled(bench: Bench) -> None:
    """There is no way back from what is done, so that stopping would leave it in the middle for ever."""
    bench.world.faults["after", "b"] = asyncio.CancelledError()
    new = bench.operation("a", "b", "c", recovery=Recovery.FINISH)
    task = asyncio.create_task(bench.runner.run(new))
    await asyncio.sleep(0.2)
    bench.world.faults.clear()
    record, outcome = await task
    assert (outcome.ending, record.state, bench.world.there) == (Ending.DONE, OperationState.DONE, {"a", "b", "c"})
    assert record.summary == "cancelled when it was too late, and finished"
    assert "undo a" not in bench.world.log


async def test_one_that_cannot_be_finished_is_recoverys(bench: Bench) -> None:
    bench.world.faults["after", "a"] = asyncio.CancelledError()
    bench.world.faults["before", "b"] = Failure("away")
    task = asyncio.create_task(bench.runner.run(bench.operation("a", "b", recovery=Recovery.FINISH)))
    await asyncio.sleep(0.2)
    del bench.world.faults["after", "a"]
    record, outcome = await task
    assert (outcome.ending, record.state) == (Ending.INTERRUPTED, OperationState.STUCK)
    bench.world.faults.clear()
    (ended,) = await recover_once(bench.journal, bench.runner)
    assert (ended.state, bench.world.there) == (OperationState.DONE, {"a", "b"})


async def test_one_that_was_not_begun_is_cancelled(bench: Bench) -> None:
    bench.world.faults["prepare", "a"] = asyncio.CancelledError()
    record, outcome = await bench.runner.run(bench.operation("a", "b", recovery=Recovery.FINISH))
    assert (outcome.ending, record.state) == (Ending.CANCELLED, OperationState.CANCELLED)
    assert not bench.world.there


@pytest.mark.parametrize("moment", ["prepare", "before", "after"])
@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("recovery", list(Recovery))
async def test_a_killed_process_is_recovered_from_when_its_lease_ends(
    bench: Bench, moment: str, name: str, recovery: Recovery
) -> None:
    bench.world.faults[moment, name] = Killed()
    with pytest.raises(Killed):
        await bench.runner.run(bench.operation("a", "b", "c", recovery=recovery))
    bench.world.faults.clear()

    assert await recover_once(bench.journal, bench.runner) == [], "its lease still runs"
    bench.clock.now += LEASE + timedelta(seconds=1)
    (identifier,) = await bench.journal.interrupted()
    assert (await bench.journal.read(identifier)).shown_state(bench.clock.now) == "interrupted"

    (record,) = await recover_once(bench.journal, bench.runner)
    assert record.state is (OperationState.DONE if recovery is Recovery.FINISH else OperationState.FAILED)
    assert bench.world.there == ({"a", "b", "c"} if recovery is Recovery.FINISH else set())
    assert await recover_once(bench.journal, bench.runner) == []


async def test_what_cannot_be_undone_stays_with_recovery_until_it_can(bench: Bench) -> None:
    bench.world.faults["before", "b"] = Failure("no")
    bench.world.faults["undo", "a"] = Failure("the cluster is away")
    _, outcome = await bench.runner.run(bench.operation("a", "b"))
    assert outcome.ending is Ending.INTERRUPTED
    assert outcome.exit_code == 5
    assert bench.world.there == {"a"}
    assert len(await bench.journal.interrupted()) == 1, "no lease is left to wait for"

    await recover_once(bench.journal, bench.runner)
    assert bench.world.there == {"a"}
    bench.world.faults.clear()
    (record,) = await recover_once(bench.journal, bench.runner)
    assert record.state is OperationState.FAILED
    assert not bench.world.there


async def test_a_failed_finish_is_taken_up_again(bench: Bench) -> None:
    bench.world.faults["before", "b"] = Failure("no")
    _, outcome = await bench.runner.run(bench.operation("a", "b", recovery=Recovery.FINISH))
    assert outcome.ending is Ending.INTERRUPTED
    assert bench.world.there == {"a"}
    bench.world.faults.clear()
    (record,) = await recover_once(bench.journal, bench.runner)
    assert record.state is OperationState.DONE
    assert bench.world.there == {"a", "b"}
    assert bench.world.log.count("before a") == 1, "what was done is not done again"


async def test_two_operations_on_one_target_do_not_meet(bench: Bench) -> None:
    bench.world.faults["before", "a"] = Killed()
    with pytest.raises(Killed):
        await bench.runner.run(bench.operation("a"))
    with pytest.raises(Refusal, match="under way") as refusal:
        await bench.runner.run(bench.operation("x"))
    assert refusal.value.status == 409
    assert not bench.world.there
    _, outcome = await bench.runner.run(bench.operation("x", target="another"))
    assert outcome.ending is Ending.DONE


async def test_only_one_recovery_gets_it(bench: Bench) -> None:
    bench.world.faults["after", "a"] = Killed()
    with pytest.raises(Killed):
        await bench.runner.run(bench.operation("a"))
    bench.world.faults.clear()
    bench.clock.now += LEASE + timedelta(seconds=1)
    both = await asyncio.gather(*(recover_once(bench.journal, bench.runner) for _ in range(4)))
    assert sum(map(len, both)) == 1
    assert bench.world.log.count("undo a") == 1


async def test_an_owner_that_was_thought_dead_stops_at_its_next_step(bench: Bench) -> None:
    class Late(Put):
        async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
            detail = await super().take(arguments, undo, operation)
            bench.clock.now += LEASE + timedelta(seconds=1)
            await recover_once(bench.journal, bench.runner)
            return detail

    runner = Runner(bench.journal, {"put": Put(bench.world), "late": Late(bench.world)})
    bench.runner = Runner(bench.journal, {"put": Put(bench.world), "late": Put(bench.world)})
    new = NewOperation("test", "t", None, "me", (Step("late", "a", {"name": "a"}), Step("put", "b", {"name": "b"})))
    _, outcome = await runner.run(new)
    assert outcome.ending is Ending.INTERRUPTED
    assert "before b" not in bench.world.log
    assert not bench.world.there
