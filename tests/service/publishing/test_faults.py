"""A publish that goes wrong at each of its steps, in each of the ways: nothing is left, and it is said so."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest

from console.operations.journal import LEASE, Journal
from console.operations.recovery import recover_once
from console.operations.runner import Runner
from console.operations.types import OperationState
from console.outcome import Ending, Failure
from console.steps import StepKinds
from tests.service.publishing.test_publishing import EVERY_KIND
from tests.support.stack import Killed, Running, fault_at

pytestmark = pytest.mark.asyncio(loop_scope="module")

# reserve, Secret, Backend, AIServiceBackend, BackendSecurityPolicy, two policies, route, entry, ready, probe, state
STEPS = 12


async def nothing_is_left(stack: Running) -> None:
    assert await stack.objects(*EVERY_KIND) == []
    assert await stack.entries() == {}
    assert (await stack.do("published")).data == []


async def test_a_publish_has_that_many_steps(stack: Running) -> None:
    with fault_at(-1, "before", None) as begun:
        await stack.publish()
    assert len(begun) == STEPS


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(STEPS))
async def test_a_failure_at_any_step_leaves_nothing(stack: Running, number: int, moment: str) -> None:
    with fault_at(number, moment, Failure("the network is down", code="NETWORK")):
        outcome = await stack.publish()
    assert (outcome.ending, outcome.code) == (Ending.FAILED, "NETWORK")
    assert "undone" in outcome.summary
    await nothing_is_left(stack)


@pytest.mark.parametrize("number", range(STEPS))
async def test_cancelling_at_any_step_leaves_nothing(stack: Running, number: int) -> None:
    reached = asyncio.Event()
    with fault_at(number, "after", None, reached):
        task = asyncio.create_task(stack.publish())
        await asyncio.wait({task, asyncio.create_task(reached.wait())}, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        outcome = await task
    assert (outcome.ending, outcome.exit_code) == (Ending.CANCELLED, 130)
    await nothing_is_left(stack)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(STEPS))
async def test_a_process_killed_at_any_step_is_recovered_from(stack: Running, number: int, moment: str) -> None:
    with fault_at(number, moment, Killed()), contextlib.suppress(Killed):
        await stack.publish()
    store = await stack.services.store()
    journal = Journal(store, clock=lambda: datetime.now(UTC) + LEASE * 2)
    (record,) = await recover_once(journal, Runner(journal, StepKinds(stack.services)))
    assert record.state is OperationState.FAILED
    await nothing_is_left(stack)
    assert (await stack.publish()).ending is Ending.DONE, "the name is free again"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(0, STEPS - 1, 2))
async def test_an_unpublish_killed_midway_is_finished(stack: Running, number: int, moment: str) -> None:
    await stack.publish()
    with fault_at(number, moment, Killed()), contextlib.suppress(Killed):
        await stack.do("unpublish", name="llama")
    store = await stack.services.store()
    journal = Journal(store, clock=lambda: datetime.now(UTC) + LEASE * 2)
    for record in await recover_once(journal, Runner(journal, StepKinds(stack.services))):
        assert record.state is OperationState.DONE
    await nothing_is_left(stack)
