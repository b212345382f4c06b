"""The schedule in the database: claims, pauses, intervals, requests, the daily run; and the loop that goes by it."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from console.guard import Permit
from console.outcome import Refusal, Unavailable, conflict
from console.store.engine import Store
from console.store.tables import catalog as t
from console.sync.schedule import ALL, Claim
from console.sync.scheduler import Scheduler
from console.sync.types import ProviderOutcome, ProviderReport

from .conftest import BOTH
from .scheduling import DAY, HOUR, MINUTE, START, Now, claimed, first_claim, report, schedule_of


@pytest.fixture
def now() -> Now:
    return Now()


@BOTH
async def test_a_new_schedule_spreads_the_first_runs_and_shows_them(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "groq", "xai", "fal")
    shown = {entry.provider: entry for entry in await schedule.entries()}
    assert [shown[slug].interval for slug in ("groq", "xai", "fal")] == [15 * MINUTE, HOUR, 4 * HOUR]
    assert {entry.reason for entry in shown.values()} == {"never synced"}
    assert await claimed(schedule, permit) == []
    now.at += 5 * MINUTE
    assert await claimed(schedule, permit) == ["fal", "groq", "xai"]
    assert await claimed(schedule, permit) == []  # they are being synced
    assert {entry.running for entry in await schedule.entries()} == {True}


@BOTH
async def test_what_came_of_it_gives_the_next_time(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "groq")
    (claim,) = await first_claim(schedule, now, permit)
    now.at += MINUTE
    due = await schedule.finished(permit, claim, report("groq"))
    assert due is not None
    assert due.at == now.at + 15 * MINUTE
    (entry,) = await schedule.entries()
    assert (entry.next_run_at, entry.running, entry.reason) == (due.at, False, "its list changes")
    assert await schedule.finished(permit, claim, report("groq")) is None  # said twice


@BOTH
async def test_a_claim_that_nobody_renews_is_anybodys_and_its_late_word_is_void(
    store: Store, now: Now, permit: Permit
) -> None:
    here, there = schedule_of(store, now, "groq"), schedule_of(store, now, "groq", holder="there")
    (first,) = await first_claim(here, now, permit)
    now.at += MINUTE
    assert await here.renew(permit, first)
    now.at += 119 * timedelta(seconds=1)
    assert await there.claim_due(permit, most=1) == ()
    now.at += 2 * timedelta(seconds=1)
    (second,) = await there.claim_due(permit, most=1)
    assert second == Claim("groq", first.number + 1)
    assert not await here.renew(permit, first)
    assert await here.finished(permit, first, report("groq", ProviderOutcome.UNREACHABLE)) is None
    assert await there.finished(permit, second, report("groq")) is not None
    assert (await there.entries())[0].failures == 0


@BOTH
async def test_a_paused_provider_is_left_alone_until_it_is_resumed(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "groq", "xai")
    assert await schedule.pause(permit, "groq")
    assert not await schedule.pause(permit, "groq")
    assert await schedule.paused() == {"groq"}
    now.at += 2 * DAY
    assert await claimed(schedule, permit) == ["xai"]
    assert await schedule.request(permit, "groq", "a webhook") is None
    assert await schedule.resume(permit, "groq")
    assert not await schedule.resume(permit, "groq")
    assert await claimed(schedule, permit) == ["groq"]
    entry = next(entry for entry in await schedule.entries() if entry.provider == "groq")
    assert (entry.changed_by, entry.paused) == ("modeldeck", False)


@BOTH
async def test_one_that_is_paused_while_it_is_synced_is_finished(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "groq")
    (claim,) = await first_claim(schedule, now, permit)
    await schedule.pause(permit, "groq")
    assert await schedule.finished(permit, claim, report("groq")) is not None
    now.at += DAY
    assert await claimed(schedule, permit) == []


@BOTH
async def test_an_interval_of_ones_own_replaces_that_of_the_tier(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "groq")
    assert await schedule.set_interval(permit, "groq", 6 * HOUR)
    assert not await schedule.set_interval(permit, "groq", 6 * HOUR)
    (entry,) = await schedule.entries()
    assert (entry.interval, entry.own_interval, entry.next_run_at) == (6 * HOUR, True, now.at + 6 * HOUR)
    assert await schedule.set_interval(permit, "groq", None)
    assert (await schedule.entries())[0].interval == 15 * MINUTE
    for wrong in (timedelta(seconds=59), timedelta(days=8), timedelta(0)):
        with pytest.raises(Refusal) as caught:
            await schedule.set_interval(permit, "groq", wrong)
        assert caught.value.code == "BAD_INTERVAL"


@BOTH
async def test_nothing_goes_below_a_retry_after(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "groq")
    (claim,) = await first_claim(schedule, now, permit)
    asked = now.at + 2 * DAY
    await schedule.finished(permit, claim, report("groq", ProviderOutcome.REFUSED, retry_at=asked))
    assert await schedule.request(permit, "groq", "a webhook") == asked
    await schedule.set_interval(permit, "groq", HOUR)
    await schedule.pause(permit, "groq")
    await schedule.resume(permit, "groq")
    now.at += DAY + 20 * HOUR  # a daily run has come by
    assert await claimed(schedule, permit) == []
    now.at = asked
    assert await claimed(schedule, permit) == ["groq"]


@BOTH
async def test_a_request_makes_it_due_now_and_once(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "groq")
    (claim,) = await first_claim(schedule, now, permit)
    await schedule.finished(permit, claim, report("groq"))
    for _ in range(3):
        assert await schedule.request(permit, "groq", "a webhook") == now.at
    assert (await schedule.entries())[0].reason == "a webhook"
    assert await claimed(schedule, permit) == ["groq"]
    assert await claimed(schedule, permit) == []


@BOTH
async def test_a_sync_by_hand_moves_the_time_and_its_retry_after_counts(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "groq", "xai")
    asked = now.at + 10 * HOUR
    await schedule.learn(
        permit,
        [
            report("groq"),
            report("xai", ProviderOutcome.REFUSED, retry_at=asked),
        ],
    )
    due = {entry.provider: entry.next_run_at for entry in await schedule.entries()}
    assert due["groq"] == now.at + 15 * MINUTE
    assert due["xai"] >= asked
    await schedule.learn(permit, [report("groq", ProviderOutcome.REFUSED, code="SYNC_RUNNING")])
    assert {entry.provider: entry.next_run_at for entry in await schedule.entries()} == due


async def test_the_daily_run_is_at_two_and_of_all_but_the_paused(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "fal", "near", "aimo")
    for claim in await first_claim(schedule, now, permit):
        await schedule.finished(permit, claim, report(claim.provider, ProviderOutcome.NO_CREDENTIALS))  # 16 hours
    await schedule.pause(permit, "aimo")
    now.at = START.replace(hour=1, minute=59) + DAY
    for claim in await schedule.claim_due(permit, most=9):
        await schedule.finished(permit, claim, report(claim.provider, ProviderOutcome.NO_CREDENTIALS))
    assert await claimed(schedule, permit) == []
    now.at = START.replace(hour=2, minute=0) + DAY
    assert await claimed(schedule, permit) == []  # spread over ten minutes
    assert {entry.reason for entry in await schedule.entries() if not entry.paused} == {"the daily run of all"}
    now.at += 10 * MINUTE
    assert await claimed(schedule, permit) == ["fal", "near"]
    async with store.reading() as connection:
        query = sa.select(t.sync_schedules.c.next_run_at).where(t.sync_schedules.c.provider == ALL)
        assert await connection.scalar(query) == START.replace(hour=2) + 2 * DAY


async def test_looking_writes_nothing(store: Store, now: Now) -> None:
    await schedule_of(store, now).entries()
    async with store.reading() as connection:
        assert (await connection.execute(sa.select(t.sync_schedules))).all() == []


# --- the loop ------------------------------------------------------------------------------------------------------


async def looped(store: Store, now: Now, permit: Permit, sync: Any, **options: Any) -> Scheduler:
    schedule = schedule_of(store, now, "groq", "xai", "fal", "near")
    await schedule.claim_due(permit, most=0)  # enrolls them
    now.at += 10 * MINUTE
    return Scheduler(schedule, permit, sync, **options)


async def test_the_loop_syncs_what_is_due_several_at_a_time_and_no_more(store: Store, now: Now, permit: Permit) -> None:
    together = asyncio.Barrier(2)
    done: list[str] = []

    async def sync(slug: str) -> ProviderReport:
        await together.wait()
        done.append(slug)
        return report(slug)

    scheduler = await looped(store, now, permit, sync, parallel=2)
    assert await scheduler.look() == 2
    assert await scheduler.look() == 0  # there is no room
    await scheduler.idle()
    assert await scheduler.look() == 2
    await scheduler.idle()
    assert sorted(done) == ["fal", "groq", "near", "xai"]
    assert await scheduler.look() == 0


async def test_a_sync_that_breaks_costs_itself_alone_and_stays_due(
    store: Store, now: Now, permit: Permit, caplog: pytest.LogCaptureFixture
) -> None:
    async def sync(slug: str) -> ProviderReport:
        if slug == "groq":
            raise ZeroDivisionError
        return report(slug)

    scheduler = await looped(store, now, permit, sync)
    assert await scheduler.look() == 4
    await scheduler.idle()
    assert "the scheduled sync of groq failed" in caplog.text
    assert await scheduler.look() == 0
    now.at += 3 * MINUTE
    assert await scheduler.look() == 1


async def test_what_is_asked_for_during_a_sync_stays_due_after_it(store: Store, now: Now, permit: Permit) -> None:
    schedule = schedule_of(store, now, "groq", "xai")
    (claim, other) = await first_claim(schedule, now, permit)
    now.at += timedelta(seconds=1)
    await schedule.request(permit, "groq", "a webhook")  # while its list is being read
    now.at += timedelta(seconds=5)
    for one in (claim, other):
        await schedule.finished(permit, one, report(one.provider))
    assert await claimed(schedule, permit) == ["groq"]
    began = now.at = now.at + timedelta(seconds=1)
    await schedule.request(permit, "xai", "a webhook")  # before a run by hand begins, which is its answer
    await schedule.learn(permit, [report("xai")], since=began)
    assert await claimed(schedule, permit) == []
    now.at += timedelta(seconds=1)
    await schedule.request(permit, "xai", "a webhook")  # and while it runs
    await schedule.learn(permit, [report("xai")], since=began)
    assert await claimed(schedule, permit) == ["xai"]


async def test_a_sync_that_another_run_has_is_left_to_it_at_once(
    store: Store, now: Now, permit: Permit, caplog: pytest.LogCaptureFixture
) -> None:
    async def sync(slug: str) -> ProviderReport:
        raise conflict(f"{slug}: another run is syncing just this (run 7 on here)", code="SYNC_RUNNING")

    scheduler = await looped(store, now, permit, sync)
    await scheduler.look()
    await scheduler.idle()
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == []
    schedule = schedule_of(store, now, "groq", "xai", "fal", "near")
    assert not any(entry.running for entry in await schedule.entries())
    await schedule.learn(permit, [report("groq")])  # the run by hand is over, and moves the time
    entries = {entry.provider: entry for entry in await schedule.entries()}
    assert (entries["groq"].reason, entries["groq"].next_run_at > now.at) == ("its list changes", True)
    assert await claimed(schedule, permit) == ["fal", "near", "xai"]  # which stay due


async def test_a_loop_that_is_stopped_gives_back_what_it_was_at(store: Store, now: Now, permit: Permit) -> None:
    begun = asyncio.Event()

    async def sync(slug: str) -> ProviderReport:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    scheduler = await looped(store, now, permit, sync)
    loop = asyncio.create_task(scheduler.run())
    await begun.wait()
    loop.cancel()
    await asyncio.wait({loop})
    left = await claimed(schedule_of(store, now, "groq", "xai", "fal", "near"), permit)
    assert left == ["fal", "groq", "near", "xai"]


async def test_a_database_that_is_away_does_not_end_the_loop(
    store: Store, now: Now, permit: Permit, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    found = asyncio.Event()

    async def look(self: Scheduler) -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise Unavailable("the database is away", code="DATABASE_UNAVAILABLE")
        found.set()
        return 0

    monkeypatch.setattr(Scheduler, "look", look)

    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    scheduler = await looped(store, now, permit, None, sleep=at_once)
    loop = asyncio.create_task(scheduler.run())
    await found.wait()
    loop.cancel()
    await asyncio.wait({loop})


async def test_a_long_sync_keeps_its_claim(store: Store, now: Now, permit: Permit) -> None:
    renewed = asyncio.Event()
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 1:
            renewed.set()
            await asyncio.Event().wait()

    async def sync(slug: str) -> ProviderReport:
        now.at += timedelta(seconds=90)
        await renewed.wait()
        return report(slug)

    schedule = schedule_of(store, now, "groq")
    await schedule.claim_due(permit, most=0)
    now.at += 10 * MINUTE
    scheduler = Scheduler(schedule, permit, sync, sleep=sleep)
    await scheduler.look()
    await renewed.wait()
    now.at += timedelta(seconds=90)  # three minutes since it was claimed
    await scheduler.idle()
    assert (await schedule.entries())[0].reason == "its list changes"
