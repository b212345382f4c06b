"""A publish that goes wrong at each of its steps, in each of the ways: nothing is left, and it is said so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from console.access.writer import AccessWriter
from console.keys import book as key_book
from console.operations.journal import LEASE, Journal
from console.operations.recovery import recover_once
from console.operations.runner import Runner
from console.operations.types import OperationState
from console.outcome import Ending, Failure
from console.steps import StepKinds
from tests.service.publishing.test_publishing import EVERY_KIND
from tests.support.faults import violations
from tests.support.stack import Killed, Running, fault_at

pytestmark = pytest.mark.asyncio(loop_scope="module")

# reserve, Secret, Backend, AIServiceBackend, BackendSecurityPolicy, two policies, route, entry, ready, probe, state
STEPS = 12
OWN: dict[str, Any] = {"key": "own"}


def cases(numbers: range) -> list[ParameterSet]:
    """A step and the moment at which it goes wrong: every second of them always, the others in `make soak`."""
    every = [(number, moment) for number in numbers for moment in ("before", "after")]
    return [
        pytest.param(number, moment, marks=() if place % 4 in (0, 3) else pytest.mark.soak)
        for place, (number, moment) in enumerate(every)
    ]


async def nothing_is_left(stack: Running) -> None:
    assert await stack.objects(*EVERY_KIND) == []
    assert await stack.entries() == {}
    assert (await stack.do("published")).data == []


async def test_a_publish_has_that_many_steps(stack: Running) -> None:
    with fault_at(-1, "before", None) as begun:
        await stack.publish()
    assert len(begun) == STEPS


@pytest.mark.parametrize(("number", "moment"), cases(range(STEPS)))
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


@pytest.mark.parametrize(("number", "moment"), cases(range(STEPS)))
async def test_a_process_killed_at_any_step_is_recovered_from(stack: Running, number: int, moment: str) -> None:
    with fault_at(number, moment, Killed()), contextlib.suppress(Killed):
        await stack.publish()
    store = await stack.services.store()
    journal = Journal(store, clock=lambda: datetime.now(UTC) + LEASE * 2)
    (record,) = await recover_once(journal, Runner(journal, StepKinds(stack.services)))
    assert record.state is OperationState.FAILED
    await nothing_is_left(stack)
    assert (await stack.publish()).ending is Ending.DONE, "the name is free again"


@pytest.mark.parametrize(("number", "moment"), cases(range(STEPS - 1)))
async def test_an_unpublish_killed_midway_is_finished(stack: Running, number: int, moment: str) -> None:
    await stack.publish()
    with fault_at(number, moment, Killed()), contextlib.suppress(Killed):
        await stack.do("unpublish", name="llama")
    store = await stack.services.store()
    journal = Journal(store, clock=lambda: datetime.now(UTC) + LEASE * 2)
    for record in await recover_once(journal, Runner(journal, StepKinds(stack.services))):
        assert record.state is OperationState.DONE
    await nothing_is_left(stack)


async def test_no_key_gets_a_model_that_has_only_just_begun_to_go(stack: Running) -> None:
    """Between the beginning of an unpublish and its mark on the publication."""
    await stack.publish()
    await stack.publish("other")
    await stack.key("own", kind="admin", model=["other"])
    reached = asyncio.Event()
    with fault_at(0, "before", None, reached), pytest.MonkeyPatch.context() as patched:
        removing = asyncio.create_task(stack.do("unpublish", name="llama"))
        await reached.wait()
        assert (await stack.do("published", name="llama")).data[0]["state"] == "ready"
        new: dict[str, Any] = {"name": "gap", "tenant": "acme", "kind": "admin"}
        for _ in ("as it is planned", "as it is written"):
            for action, values in (("create", new), ("edit", OWN)):
                refused = await stack.do(f"keys.{action}", **values, model=["other", "llama"])
                assert (refused.ending, refused.code) == (Ending.REFUSED, "OPERATION_UNDER_WAY"), refused
                assert "model llama is being unpublished by op@10.0.0.1" in refused.summary
            patched.setattr(key_book, "judge_models", _nothing)
        removing.cancel()
        assert (await removing).ending is Ending.DONE
    assert await violations(stack) == []


async def _nothing(*_: Any) -> None:
    pass


@pytest.mark.parametrize(("models", "left"), [(["other", "llama"], ["other"]), (["llama"], None)])
async def test_an_entry_that_is_written_while_its_model_goes_is_written_again(
    stack: Running, models: list[str], left: list[str] | None
) -> None:
    await stack.publish()
    await stack.publish("other")
    await stack.key("own", kind="admin", model=models)
    key = next(row for row in (await stack.do("keys.list")).data if row["name"] == "own")
    real = AccessWriter.put_key
    gone: list[Ending] = []

    async def late(self: AccessWriter, *args: Any, **more: Any) -> Any:
        if not gone:
            gone.append(Ending.PENDING)
            gone.append((await stack.do("unpublish", name="llama")).ending)
        return await real(self, *args, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AccessWriter, "put_key", late)
        edited = await stack.do("keys.edit", **OWN, label=["team=a"])
    assert (gone[1:], edited.ending) == ([Ending.DONE], Ending.DONE), edited
    digest = (await key_book.read_key(await stack.services.store(), key["id"])).generations[0].digest
    entry = await (await stack.services.redis()).get(f"api_key:{digest}")
    assert (None if entry is None else [name for name in json.loads(entry) if name[:2] != "__"]) == left
    assert await violations(stack) == []
