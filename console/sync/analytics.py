"""What syncs tell analytics: a stream in Redis that other programs read (`XREAD`), one entry for each event.

Each entry has two fields: ``event``, one of `EVENTS`, and ``data``, JSON:

    sync.completed                    {run, actor, outcome, providers, in_order, milliseconds, every count of `Counts`,
                                      by_provider: {slug: {outcome, added, changed, missing}}}
    sync.performance                  {run, provider, outcome, milliseconds, body_bytes, fetched}
    models.added, .updated, .removed  {run, provider, count, models: the first 20, baseline}
    gateway.status_changed            {run, provider, available, outcome, before}: an outcome became good, or bad
    budget.reached                    {scope, name, percent, reached, budget}: so much of a budget is used

The names are the seed's (002, "Analytics Integration", and the events of its webhooks). The stream keeps some
`KEPT` entries; that there are new ones is published on `CHANNEL`. It is told after the run is written down, and is no
part of it: without Redis a sync is as good.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from console.catalog.types import ChangeKind
from console.sync.types import ProviderOutcome, ProviderReport, SyncReport

if TYPE_CHECKING:
    from redis.asyncio import Redis

_log = logging.getLogger(__name__)

STREAM = "modeldeck:analytics"
CHANNEL = "modeldeck:syncs"
EVENTS = (
    "sync.completed",
    "sync.performance",
    "models.added",
    "models.updated",
    "models.removed",
    "gateway.status_changed",
    "budget.reached",
)
KEPT = 10_000
_NAMED = 20
_AT_ONCE = 500
_KINDS = {
    "models.added": (ChangeKind.BASELINE, ChangeKind.ADDED, ChangeKind.RETURNED),
    "models.updated": (ChangeKind.CHANGED,),
    "models.removed": (ChangeKind.MISSING,),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One entry. ``at``: when Redis took it; None for one that is still to be written."""

    name: str
    data: dict[str, Any]
    at: datetime | None = None


def events_of(report: SyncReport, before: Mapping[str, ProviderOutcome], actor: str) -> Iterator[Event]:
    """What there is to tell of a run.

    Args:
        before: each provider's outcome before it, none for the first time
        actor: who asked for it
    """
    for found in report.providers:
        yield from _of_models(report.run_id, found)
        was = before.get(found.provider)
        if was is not None and was.good != found.outcome.good:
            yield Event(
                "gateway.status_changed",
                {
                    "run": report.run_id,
                    "provider": found.provider,
                    "available": found.outcome.good,
                    "outcome": found.outcome.value,
                    "before": was.value,
                },
            )
        yield Event(
            "sync.performance",
            {
                "run": report.run_id,
                "provider": found.provider,
                "outcome": found.outcome.value,
                "milliseconds": found.milliseconds,
                "body_bytes": found.body_bytes,
                "fetched": found.counts.fetched,
            },
        )
    yield Event(
        "sync.completed",
        {
            "run": report.run_id,
            "actor": actor,
            "outcome": report.ending.value,
            "providers": len(report.providers),
            "in_order": sum(found.outcome.good for found in report.providers),
            "milliseconds": round((report.finished_at - report.started_at).total_seconds() * 1000),
            **asdict(report.total),
            "by_provider": {
                found.provider: {
                    "outcome": found.outcome.value,
                    "added": found.counts.added,
                    "changed": found.counts.changed,
                    "missing": found.counts.missing,
                }
                for found in report.providers
            },
        },
    )


def _of_models(run: int | None, found: ProviderReport) -> Iterator[Event]:
    for name, kinds in _KINDS.items():
        # Several fields of one model are one model.
        models = list(dict.fromkeys(c.native_id for c in found.changes if c.kind in kinds and c.native_id))
        baseline = found.baseline and name == "models.added"
        count = found.counts.added if baseline else len(models)
        if count:
            told = {"run": run, "provider": found.provider, "count": count, "models": models[:_NAMED]}
            yield Event(name, {**told, "baseline": baseline})


async def tell(redis: Redis | None, report: SyncReport, before: Mapping[str, ProviderOutcome], actor: str) -> bool:
    """Write the events of a run; False where Redis did not take them, which fails no sync."""
    if redis is None:
        return False
    from redis.exceptions import RedisError

    try:
        await write(redis, events_of(report, before, actor), str(report.run_id))
    except (RedisError, OSError) as problem:
        _log.warning("analytics were not told of run %s: %s", report.run_id, type(problem).__name__)
        return False
    return True


async def write(redis: Redis, events: Iterable[Event], note: str) -> None:
    """Write events, and publish that there are some.

    Raises:
        RedisError, OSError: Redis did not take them.
    """
    async with redis.pipeline(transaction=True) as pipeline:
        for event in events:
            fields: dict[Any, Any] = {"event": event.name, "data": json.dumps(event.data, ensure_ascii=False)}
            pipeline.xadd(STREAM, fields, maxlen=KEPT, approximate=True)
        pipeline.publish(CHANNEL, note)
        await pipeline.execute()


async def recent(redis: Redis, *, name: str = "", provider: str = "", limit: int = 50) -> list[Event]:
    """The newest events first. An entry that is not of our form (anybody may write there) is left out.

    Args:
        name: only this event
        provider: only what is about this provider
    """
    found: list[Event] = []
    until = "+"
    while len(found) < limit:
        page = await cast(
            "Awaitable[list[tuple[bytes, dict[bytes, bytes]]]]", redis.xrevrange(STREAM, until, "-", count=_AT_ONCE)
        )
        for number, fields in page:
            event = read_event(number, fields)
            if event and name in ("", event.name) and provider in ("", event.data.get("provider")):
                found.append(event)
        if len(page) < _AT_ONCE:
            break
        until = "(" + page[-1][0].decode()
    return found[:limit]


def read_event(number: Any, fields: Mapping[Any, Any]) -> Event | None:
    """An entry of the stream; None for one that is not of our form."""
    try:
        data = json.loads(fields[b"data"])
        name = fields[b"event"].decode()
    except (KeyError, ValueError):
        return None
    if name not in EVENTS or not isinstance(data, dict):
        return None
    return Event(name, data, datetime.fromtimestamp(int(number.split(b"-")[0]) / 1000, UTC))
