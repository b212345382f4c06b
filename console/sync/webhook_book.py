"""Takes deliveries in: each once, written down, its caches voided, its provider due at once.

A delivery only says where to look. What has changed is found by the next sync of that provider and of no other, which
the schedule begins within seconds; a hundred deliveries about one provider are one sync.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from console.catalog import tags
from console.guard import Permit
from console.outcome import Ending, Outcome, Refusal
from console.store.engine import Store
from console.store.tables import catalog as t
from console.store.tables.catalog import webhook_events as table
from console.sync import webhooks
from console.sync.schedule import Schedule
from console.sync.types import ProviderOutcome
from console.sync.webhooks import Delivery, Event, NamedModel

if TYPE_CHECKING:
    from redis.asyncio import Redis

PER_MINUTE = 60  # deliveries about one gateway
_MOST = 1_000
_DUE, _UNTOLD = "due", "; no cache was told"


@dataclass(frozen=True, slots=True)
class Led:
    """The first run that asked the provider after a delivery, and what came of it there."""

    run_id: int
    outcome: ProviderOutcome
    sentence: str


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery as it is kept.

    note     what it led to: the sync that is due, then the run that asked the provider; "" where it was broken off
    repeats  how often the same came again and was ignored
    led_to   None: no sync has asked the provider since
    """

    id: int
    received_at: datetime
    origin: str
    signed: str
    gateway: str
    event: Event
    models: tuple[NamedModel, ...]
    sent_at: datetime | None
    tags: tuple[str, ...]
    note: str
    repeats: int
    led_to: Led | None


class WebhookBook:
    """What webhooks come to.

    Args:
        secret: what they are signed with, "" where there is none
        redis: for the cache tags; None: there are no caches to tell
    """

    def __init__(
        self,
        store: Store,
        schedule: Schedule,
        *,
        secret: str,
        redis: Redis | None,
        clock: Callable[[], datetime],
        per_minute: int = PER_MINUTE,
    ) -> None:
        self._store = store
        self._schedule = schedule
        self._secret = secret
        self._redis = redis
        self._clock = clock
        self._per_minute = per_minute

    async def receive(self, permit: Permit, body: bytes, headers: Mapping[str, str], *, origin: str) -> Outcome:
        """Take one delivery in; its data is what the seed's answer holds.

        Args:
            headers: as they came, whatever the case of their names
            origin: the sender's address

        Raises:
            Refusal: as `webhooks.read` does, and TOO_MANY (429, with ``retry_after`` in its data).
        """
        now = self._clock()
        lowered = {name.lower(): value for name, value in headers.items()}
        delivery = webhooks.read(body, lowered, secret=self._secret, now=now)
        if await self._is_known(delivery):
            return _told(delivery, Ending.UNCHANGED, "the same delivery was taken in before; nothing was done", now)
        await self._refuse_too_many(delivery, now)
        changed = webhooks.voided(delivery)
        await self._write_down(delivery, changed, origin, now)
        told = await tags.void(self._redis, changed, reason=f"webhook {delivery.event}")
        due = await self._schedule.request(permit, delivery.gateway, f"a webhook: {delivery.event}")
        if due is None:
            note = "paused: not synced"
        else:
            note = _DUE if due <= self._clock() else f"{_DUE} at {due.isoformat(timespec='seconds')}"
        note += "" if told else _UNTOLD
        async with self._store.writing() as connection:
            await connection.execute(sa.update(table).where(table.c.delivery == delivery.id).values(note=note))
        return _told(delivery, Ending.DONE, f"{delivery.event} of {delivery.gateway}: {note}", now)

    async def _is_known(self, delivery: Delivery) -> bool:
        """Whether the same was seen to its end before. One without a note was broken off, and is done again."""
        async with self._store.writing() as connection:
            seen = (table.c.delivery == delivery.id, table.c.note != "")
            again = sa.update(table).where(*seen).values(repeats=table.c.repeats + 1)
            return bool((await connection.execute(again)).rowcount)

    async def _refuse_too_many(self, delivery: Delivery, now: datetime) -> None:
        minute = now - timedelta(minutes=1)
        query = sa.select(sa.func.count(), sa.func.min(table.c.received_at)).where(
            table.c.gateway == delivery.gateway, table.c.received_at > minute
        )
        async with self._store.reading() as connection:
            count, first = (await connection.execute(query)).one()
        if count >= self._per_minute:
            wait = max(1, round((first + timedelta(minutes=1) - now).total_seconds()))
            raise TooMany(delivery.gateway, wait)

    async def _write_down(self, delivery: Delivery, changed: tuple[str, ...], origin: str, now: datetime) -> None:
        insert = (sqlite.insert if self._store.dialect == "sqlite" else postgresql.insert)(table)
        row = insert.values(
            delivery=delivery.id,
            received_at=now,
            origin=origin[:100],
            signed=delivery.signed,
            gateway=delivery.gateway,
            event=delivery.event.value,
            models=[asdict(model) for model in delivery.models],
            sent_at=delivery.sent_at,
            tags=list(changed),
            note="",
            repeats=0,
        )
        async with self._store.writing() as connection:
            await connection.execute(row.on_conflict_do_nothing(index_elements=["delivery"]))


class TooMany(Refusal):
    """More deliveries about one gateway than are taken in. ``retry_after``: seconds."""

    def __init__(self, gateway: str, retry_after: int) -> None:
        super().__init__(
            f"too many deliveries about {gateway}: try again in {retry_after} s", code="TOO_MANY", status=429
        )
        self.retry_after = retry_after


async def received(store: Store, *, gateway: str = "", limit: int = 50) -> tuple[Received, ...]:
    """The newest deliveries first, each with what it led to by now."""
    query = sa.select(table).order_by(table.c.id.desc()).limit(min(limit, _MOST))
    if gateway:
        query = query.where(table.c.gateway == gateway)
    async with store.reading() as connection:
        rows = (await connection.execute(query)).mappings().all()
        since = min((row["received_at"] for row in rows), default=None)
        asked = await _asked_since(connection, {row["gateway"] for row in rows}, since)
    found = []
    for row in rows:
        # A run that had begun before may have read the list as it was before.
        later = (led for begun, led in asked.get(row["gateway"], ()) if begun >= row["received_at"])
        led = next(later, None) if row["note"] else None
        found.append(
            Received(
                row["id"],
                row["received_at"],
                row["origin"],
                row["signed"],
                row["gateway"],
                Event(row["event"]),
                tuple(NamedModel(**model) for model in row["models"]),
                row["sent_at"],
                tuple(row["tags"]),
                _noted(row["note"], led),
                row["repeats"],
                led,
            )
        )
    return tuple(found)


async def _asked_since(
    connection: AsyncConnection, gateways: set[str], since: datetime | None
) -> dict[str, list[tuple[datetime, Led]]]:
    """The runs that asked these providers and have finished with them, by provider: when each began, in that order."""
    if since is None:
        return {}
    runs, words = t.sync_runs.c, t.sync_run_providers.c
    query = (
        sa.select(words.provider, runs.started_at, runs.id, words.outcome, words.sentence)
        .join(t.sync_runs, runs.id == words.run_id)
        .where(words.provider.in_(gateways), words.finished_at >= since, runs.started_at >= since)
        .order_by(runs.id)
    )
    found: dict[str, list[tuple[datetime, Led]]] = {}
    for provider, begun, run_id, outcome, sentence in await connection.execute(query):
        found.setdefault(provider, []).append((begun, Led(run_id, ProviderOutcome(outcome), sentence)))
    return found


def _noted(note: str, led: Led | None) -> str:
    """The note, with the run in place of the word that one is due."""
    if led is None:
        return note
    return f"run {led.run_id}: {led.outcome}{_UNTOLD if note.endswith(_UNTOLD) else ''}"


def description() -> dict[str, Any]:
    """What ``GET /api/webhooks/models-updated`` answers."""
    return {
        "status": "active",
        "events": [event.value for event in Event],
        "signatures": ["X-Webhook-Signature", "webhook-id, webhook-timestamp, webhook-signature"],
        "body_limit": webhooks.BODY_LIMIT,
    }


def _told(delivery: Delivery, ending: Ending, summary: str, now: datetime) -> Outcome:
    """The seed's answer, and whether it was a repeat."""
    done = ending is Ending.DONE
    data = {
        "success": True,
        "duplicate": not done,
        "processed": {
            "event_type": delivery.event.value,
            "gateway": delivery.gateway,
            "models_count": len(delivery.models),
            "invalidated": {
                "tags": list(webhooks.voided(delivery)) if done else [],
                "paths": list(webhooks.paths(delivery)) if done else [],
            },
        },
        "timestamp": now.isoformat(),
    }
    return Outcome(ending, summary, proof=("it is written down",) if done else (), data=data)
