"""Runs beside one another, runs that are cancelled, and runs whose process dies."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from console.catalog import read
from console.catalog.write import CatalogWriter
from console.guard import Permit
from console.local.samples import faults
from console.outcome import Refusal
from console.store.engine import Store
from console.store.tables import catalog as t
from console.sync import history
from console.sync.journal import Journal
from console.sync.types import Limits, Progress, ProviderOutcome, RunState, Stage
from tests.support.waiting import until

from .conftest import BOTH, Deck


async def leases(store: Store) -> list[str]:
    async with store.reading() as connection:
        return [slug for (slug,) in await connection.execute(sa.select(t.sync_leases.c.provider))]


def another(deck: Deck) -> Deck:
    """The same, through another connection pool, as another process would have."""
    return dataclasses.replace(deck, store=Store(deck.store.url.render_as_string(hide_password=False)))


@BOTH
async def test_two_processes_that_sync_at_once_do_no_harm(deck: Deck) -> None:
    other = another(deck)
    try:
        results = await asyncio.gather(deck.run(), other.run(), return_exceptions=True)
    finally:
        await other.store.close()
    reports = [r for r in results if not isinstance(r, BaseException)]
    assert reports
    for problem in results:
        assert not isinstance(problem, BaseException) or (
            isinstance(problem, Refusal) and problem.code == "SYNC_RUNNING"
        )
    assert sum(report.total.added for report in reports) == 424
    assert (await read.stats(deck.store)).models == 424
    assert await leases(deck.store) == []
    assert {run.state for run in await history.runs(deck.store)} <= {RunState.DONE, RunState.FAILED, RunState.PARTIAL}


@BOTH
async def test_a_provider_is_synced_by_one_run_at_a_time(deck: Deck) -> None:
    deck.samples.fault("openrouter", faults.Slow(60))
    slow = asyncio.create_task(deck.run("openrouter"))
    await until(lambda: deck.samples.seen("openrouter"))
    with pytest.raises(Refusal, match="run 1 on ") as caught:
        await deck.run("openrouter")
    assert (caught.value.code, caught.value.status) == ("SYNC_RUNNING", 409)
    both = await deck.run("openrouter", "together")
    assert [(r.outcome, r.code) for r in both.providers] == [
        (ProviderOutcome.REFUSED, "SYNC_RUNNING"),
        (ProviderOutcome.OK, ""),
    ]
    slow.cancel()
    await asyncio.wait({slow})
    assert len(await history.runs(deck.store)) == 2  # the refused one left no trace
    assert await leases(deck.store) == []


@BOTH
async def test_a_cancelled_run_says_so_and_leaves_each_provider_whole_or_untouched(deck: Deck) -> None:
    deck.samples.fault("openrouter", faults.Slow(60))
    finished = asyncio.Event()

    def told(progress: Progress) -> None:
        if progress.stage is Stage.FINISHED and progress.provider == "deepinfra":
            finished.set()

    run = asyncio.create_task(deck.syncer().run(deck.permit, deck.targets("openrouter", "deepinfra"), progress=told))
    await finished.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    (kept,) = await history.runs(deck.store)
    assert kept.state is RunState.CANCELLED
    assert "1 of 2 providers were finished" in kept.summary
    assert (await read.stats(deck.store)).by_provider == {"deepinfra": 44}
    assert await leases(deck.store) == []


@BOTH
async def test_a_cancel_in_the_middle_of_writing_leaves_nothing_of_it(
    deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = asyncio.Event()
    record = CatalogWriter.record

    async def slow_record(self: CatalogWriter, *arguments: Any) -> None:
        await record(self, *arguments)
        writing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(CatalogWriter, "record", slow_record)
    run = asyncio.create_task(deck.run("openrouter"))
    await writing.wait()  # the models are written, and not committed
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await read.stats(deck.store)).models == 0
    assert await read.providers(deck.store) == ()
    assert await leases(deck.store) == []
    monkeypatch.undo()
    assert (await deck.one("openrouter")).counts.added == 358


@BOTH
async def test_a_database_that_refuses_a_row_costs_that_provider_only(
    deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert = CatalogWriter.upsert

    async def breaking(self: CatalogWriter, entries: Any, *arguments: Any) -> None:
        await upsert(self, entries, *arguments)
        if any(entry.listing.native_id.startswith("openai/gpt-4o-mini") for entry in entries):
            await self._connection.execute(sa.insert(t.models).values(provider="nobody"))

    monkeypatch.setattr(CatalogWriter, "upsert", breaking)
    report = await deck.run()
    assert [(r.outcome.value, r.code) for r in report.providers] == [("failed", "DATABASE"), ("ok", ""), ("ok", "")]
    assert "everything was rolled back" in report.providers[0].sentence
    assert report.exit_code == 1
    assert (await read.stats(deck.store)).by_provider == {"together": 22, "deepinfra": 44}


async def test_what_was_not_all_written_is_a_failure_and_not_a_success(
    deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert = CatalogWriter.upsert

    async def losing(self: CatalogWriter, entries: Any, *arguments: Any) -> None:
        await upsert(self, list(entries)[:-1], *arguments)

    monkeypatch.setattr(CatalogWriter, "upsert", losing)
    report = await deck.one("together")
    assert (report.outcome, report.code) == (ProviderOutcome.FAILED, "NOT_PROVEN")
    assert "has 22 models and the catalog holds 21" in report.sentence
    assert (await read.stats(deck.store)).models == 0


@BOTH
async def test_the_run_of_a_dead_process_is_found_and_its_work_taken_over(deck: Deck) -> None:
    journal = Journal(deck.store, deck.clock, timedelta(seconds=60))
    begun = await journal.begin(deck.permit, ["openrouter"], "")  # and then its process is killed
    with pytest.raises(Refusal):
        await deck.run("openrouter")
    deck.clock.now += timedelta(seconds=61)
    report = await deck.run("openrouter")
    assert report.exit_code == 0
    states = {run.id: run.state for run in await history.runs(deck.store)}
    assert states == {begun.run_id: RunState.INTERRUPTED, report.run_id: RunState.DONE}


@BOTH
async def test_a_run_that_was_thought_dead_writes_nothing_more(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
    deck.samples.fault("openrouter", faults.Slow(60))
    slow = asyncio.create_task(deck.run("openrouter"))
    await until(lambda: deck.samples.seen("openrouter"))
    deck.clock.now += timedelta(seconds=61)  # it could not renew its lease: another one takes over
    deck.samples.fault("openrouter", None)
    assert (await deck.one("openrouter")).counts.added == 358
    async with deck.store.writing() as connection:  # and is at it again when the first one wakes up
        await connection.execute(
            sa.insert(t.sync_leases).values(
                provider="openrouter", run_id=99, holder="elsewhere", until=deck.clock() + timedelta(hours=1)
            )
        )
    deck.samples.release()
    (report,) = (await slow).providers
    assert (report.outcome, report.code) == (ProviderOutcome.FAILED, "LEASE_LOST")
    assert await leases(deck.store) == ["openrouter"]


async def test_a_lease_is_renewed_while_the_run_lasts(deck: Deck) -> None:
    deck.limits = Limits(lease_seconds=0.03)
    deck.samples.fault("openrouter", faults.Slow(60))
    slow = asyncio.create_task(deck.run("openrouter"))
    await until(lambda: deck.samples.seen("openrouter"))

    async def until_when() -> Any:
        async with deck.store.reading() as connection:
            return await connection.scalar(sa.select(t.sync_leases.c.until))

    first = await until_when()

    async def later() -> bool:
        return bool(await until_when() > first)

    await until(later)
    slow.cancel()
    await asyncio.wait({slow})


async def test_providers_are_asked_side_by_side_but_not_all_at_once(
    deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    from console.sync.fetch import Fetcher

    deck.limits = Limits(parallel=2)
    fetch: Callable[..., Any] = Fetcher.fetch
    asking, most = 0, 0
    two = asyncio.Barrier(2)

    async def counted(self: Fetcher, spec: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        if spec.slug != "deepinfra":  # the first two have to meet
            await two.wait()
        try:
            return await fetch(self, spec, *arguments, **options)
        finally:
            asking -= 1

    monkeypatch.setattr(Fetcher, "fetch", counted)
    assert (await deck.run()).exit_code == 0
    assert most == 2


async def test_the_actor_of_a_run_may_be_another_than_its_permit(deck: Deck, permit: Permit) -> None:
    await deck.syncer().run(permit, deck.targets("together"), actor="webhook together")
    assert (await history.runs(deck.store))[0].actor == "webhook together"
