"""Deliveries that are taken in: once each, written down, with a sync of just that provider to follow."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from console.catalog import tags
from console.catalog.write import CatalogWriter
from console.guard import Permit
from console.outcome import Ending, Outcome, Refusal
from console.store.engine import Store
from console.store.tables.catalog import webhook_events
from console.sync.apply import provider_facts
from console.sync.journal import Journal
from console.sync.providers import spec, specs
from console.sync.schedule import Schedule
from console.sync.types import ProviderOutcome, ProviderReport, RunState
from console.sync.webhook_book import Led, TooMany, WebhookBook, description, received

from .conftest import BOTH

SECRET = "a secret of ours"
NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@dataclass
class Gate:
    """A book with its schedule, and a sender who knows the secret."""

    store: Store
    schedule: Schedule
    book: WebhookBook
    permit: Permit
    now: list[datetime]

    async def send(self, event: str = "models.added", *, gateway: str = "groq", at: int = 1, **more: Any) -> Outcome:
        payload = {"gateway": gateway, "event_type": event, "models": [{"id": "llama"}], "timestamp": at, **more}
        body = json.dumps(payload).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        return await self.book.receive(self.permit, body, {"X-Webhook-Signature": signature}, origin="192.0.2.7")

    async def due(self, slug: str) -> tuple[datetime, str]:
        entry = next(entry for entry in await self.schedule.entries() if entry.provider == slug)
        return entry.next_run_at, entry.reason


def gate_of(store: Store, permit: Permit, redis: Redis | None) -> Gate:
    now = [NOW]
    schedule = Schedule(store, specs(("groq", "xai")), clock=lambda: now[0], chance=lambda: 1.0)
    book = WebhookBook(store, schedule, secret=SECRET, redis=redis, clock=lambda: now[0], per_minute=3)
    return Gate(store, schedule, book, permit, now)


@pytest.fixture
async def gate(store: Store, permit: Permit) -> Gate:
    return gate_of(store, permit, None)


@BOTH
async def test_a_delivery_is_written_down_and_makes_its_provider_due_and_no_other(gate: Gate) -> None:
    outcome = await gate.send()
    assert outcome.ending is Ending.DONE
    assert outcome.data["processed"]["invalidated"]["tags"] == [
        "models:all",
        "models:gateway:groq",
        "models:search",
        "model:groq/llama",
        "rankings",
    ]
    assert outcome.data["processed"]["models_count"] == 1
    assert await gate.due("groq") == (NOW, "a webhook: models.added")
    assert await gate.due("xai") == (NOW + timedelta(minutes=10), "never synced")
    (kept,) = await received(gate.store)
    assert (kept.gateway, kept.event.value, kept.origin, kept.signed) == ("groq", "models.added", "192.0.2.7", "hex")
    assert (kept.note, kept.led_to) == ("due; no cache was told", None)
    assert [model.id for model in kept.models] == ["llama"]


@BOTH
async def test_the_same_delivery_again_does_nothing(gate: Gate) -> None:
    await gate.send()
    gate.now[0] += timedelta(hours=1)
    again = await gate.send()
    assert (again.ending, again.data["duplicate"], again.status) == (Ending.UNCHANGED, True, 200)
    assert again.data["processed"]["invalidated"]["tags"] == []
    (kept,) = await received(gate.store)
    assert (kept.repeats, kept.received_at) == (1, NOW)
    assert await gate.due("groq") == (NOW, "a webhook: models.added")


async def test_one_that_was_broken_off_is_done_when_it_comes_again(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gate.schedule, "request", dies)
    with pytest.raises(KeyboardInterrupt):
        await gate.send()
    assert [kept.note for kept in await received(gate.store)] == [""]
    monkeypatch.undo()
    assert (await gate.send()).ending is Ending.DONE
    assert [kept.note[:4] for kept in await received(gate.store)] == ["due;"]


@BOTH
async def test_it_is_due_until_a_sync_that_began_later_has_asked_the_provider(gate: Gate) -> None:
    async def runs(began: timedelta, *asked: tuple[str, ProviderOutcome]) -> int:
        at = NOW + began
        journal = Journal(gate.store, lambda: at, timedelta(minutes=1))
        run_id = (await journal.begin(gate.permit, [slug for slug, _ in asked], "")).run_id
        at = max(at, NOW) + timedelta(seconds=5)
        async with gate.store.writing() as connection:
            for slug, outcome in asked:
                await CatalogWriter(gate.permit, connection, slug, now=at, run_id=run_id).describe_provider(
                    provider_facts(spec(slug))
                )
                await journal.close(connection, run_id, ProviderReport(slug, outcome, f"{slug} says so"))
        await journal.end(run_id, RunState.DONE, "")
        return run_id

    await gate.send()
    await runs(timedelta(seconds=-1), ("groq", ProviderOutcome.OK))  # may have read the list of before
    await runs(timedelta(seconds=1), ("xai", ProviderOutcome.OK))
    (kept,) = await received(gate.store)
    assert (kept.note, kept.led_to) == ("due; no cache was told", None)
    run_id = await runs(timedelta(seconds=2), ("groq", ProviderOutcome.UNREACHABLE))
    await runs(timedelta(seconds=9), ("groq", ProviderOutcome.OK))
    (kept,) = await received(gate.store)
    assert kept.led_to == Led(run_id, ProviderOutcome.UNREACHABLE, "groq says so")
    assert kept.note == f"run {run_id}: unreachable; no cache was told"


@BOTH
async def test_too_many_about_one_gateway_are_refused_until_the_minute_is_over(gate: Gate) -> None:
    for number in range(3):
        await gate.send(at=number + 1)
        gate.now[0] += timedelta(seconds=10)
    with pytest.raises(TooMany) as caught:
        await gate.send(at=9)
    assert (caught.value.status, caught.value.retry_after) == (429, 30)
    assert (await gate.send(gateway="xai", at=9)).ending is Ending.DONE
    assert (await gate.send(at=1)).data["duplicate"]  # what is known costs nothing
    gate.now[0] += timedelta(seconds=31)
    assert (await gate.send(at=9)).ending is Ending.DONE


async def test_what_is_not_signed_leaves_no_trace(gate: Gate) -> None:
    with pytest.raises(Refusal):
        await gate.book.receive(gate.permit, b"{}", {"X-Webhook-Signature": "0" * 64}, origin="192.0.2.7")
    async with gate.store.reading() as connection:
        assert (await connection.execute(sa.select(webhook_events))).all() == []


async def test_a_paused_provider_is_not_synced_and_it_says_so(gate: Gate) -> None:
    await gate.schedule.pause(gate.permit, "groq")
    assert "paused: not synced" in (await gate.send()).summary


async def test_its_caches_are_void_at_once(store: Store, permit: Permit, redis: Redis) -> None:
    gate = gate_of(store, permit, redis)
    await gate.send("gateway.status_changed")
    assert await tags.versions_of(redis, ["models:all", "models:gateway:groq", "rankings", "model:groq/llama"]) == (
        1,
        1,
        1,
        0,
    )
    await gate.send("gateway.status_changed")
    assert await tags.versions_of(redis, ["models:all"]) == (1,)
    (kept,) = await received(gate.store, gateway="groq")
    assert "no cache" not in kept.note
    assert await received(gate.store, gateway="xai") == ()


def test_what_the_door_says_of_itself() -> None:
    told = description()
    assert told["status"] == "active"
    assert len(told["events"]) == 4
