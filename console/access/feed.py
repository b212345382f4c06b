"""What changed, as it changes: keyspace events with what is different inside the values (DESIGN.md §3).

Keys appear as digests only. A notification carries no value, so what is shown is the difference between the values
that were read; where several writes fell between two readings, the event says how many.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from console.access.codec import Malformed, parse_keys, parse_published
from console.access.link import KeyEvent, KeyspaceLink, LinkStatus
from console.access.types import KEY_PREFIX, PUBLISHED_KEY, Grant, KeyEntry, shown_key
from console.access.writer import WRITES_STREAM
from console.config import AccessRules
from console.sync import analytics

_CHUNK = 500
# What no writer did.
_UNWRITTEN = {
    "expired": "by its expiry",
    "evicted": "by Redis, for want of memory",
    "resync": "while the link was down",
}


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One change, ready to show.

    at         when it was heard (UTC)
    event      Redis' word: set, del, expired, rename_to, …; ``faulty`` where the new value cannot be used
    key        the Redis key as it may be shown; ``sync:12`` for the sync of this number
    prefix     api_key, published_model_info or sync: what rates are counted by
    changes    what changed inside, a phrase each
    actor      who wrote it, where Modeldeck did; else None
    writes     how many notifications this stands for
    """

    at: datetime
    event: str
    key: str
    prefix: str
    changes: tuple[str, ...]
    actor: str | None = None
    action: str | None = None
    operation: str | None = None
    writes: int = 1

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "event": self.event,
            "key": self.key,
            "changes": list(self.changes),
            "actor": self.actor,
            "action": self.action,
            "operation": self.operation,
            "writes": self.writes,
        }

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> FeedEvent:
        """What `as_json` made, read back.

        Raises:
            ValueError, KeyError, TypeError: it is no such thing.
        """
        key = str(document["key"])
        return cls(
            at=datetime.fromisoformat(document["at"]),
            event=str(document["event"]),
            key=key,
            prefix=key.partition(":")[0],
            changes=tuple(str(change) for change in document["changes"]),
            actor=document["actor"],
            action=document["action"],
            operation=document["operation"],
            writes=int(document["writes"]),
        )

    @property
    def by(self) -> str:
        """Whose doing it was, as far as that is known."""
        return f"by {self.actor} {self.action}" if self.actor else _UNWRITTEN.get(self.event, "by another writer")

    def __str__(self) -> str:
        times = f" ×{self.writes}" if self.writes > 1 else ""
        return f"{self.event.upper()}{times} {self.key}  {', '.join(self.changes) or 'no visible change'}  {self.by}"


@dataclass(slots=True)
class _Known:
    """The last reading of one Redis key."""

    entries: dict[str, KeyEntry] = field(default_factory=dict)
    published: dict[str, Grant] | None = None
    fault: str = ""
    there: bool = False


class Feed:
    """Follows the keyspace and hands every change to ``sink``, in order, on this event loop.

    After a loss it reads everything again and reports what changed meanwhile, marked as heard now.
    """

    def __init__(self, redis: Redis, rules: AccessRules, sink: Callable[[FeedEvent], None]) -> None:
        self._redis = redis
        self._rules = rules
        self._sink = sink
        self._known: dict[str, _Known] = {}
        self.ready = asyncio.Event()
        """Set once everything was read for the first time: changes are reported from then on."""
        self._last_write = "$"
        self._last_sync = "$"
        self._writers: dict[str, list[Mapping[str, str]]] = defaultdict(list)
        self._link = KeyspaceLink(redis, (f"{KEY_PREFIX}*", PUBLISHED_KEY), self, channels=(analytics.CHANNEL,))

    async def run(self) -> None:
        """Follow for ever; ends only by cancellation."""
        await self._link.run()

    @property
    def status(self) -> LinkStatus:
        return self._link.status

    async def load(self) -> None:
        """Read everything; the first time silently, later reporting what was missed."""
        if not self.ready.is_set():
            self._last_write = await self._newest(WRITES_STREAM)
            self._last_sync = await self._newest(analytics.STREAM)
        names = {_text(name) async for name in self._redis.scan_iter(match=f"{KEY_PREFIX}*", count=1000)}
        names.add(PUBLISHED_KEY)
        readings = await self._read(sorted(names | set(self._known)))
        await self._learn_writers()
        for name, reading in readings.items():
            before = self._known.get(name, _Known())
            if self.ready.is_set() and _differs(before, reading):
                self._report(name, "resync", before, reading, 1)
        self._known = {name: reading for name, reading in readings.items() if reading.there}
        await self._learn_syncs()
        self.ready.set()

    async def touched(self, events: Sequence[KeyEvent]) -> None:
        if any(event.key == analytics.CHANNEL for event in events):
            events = [event for event in events if event.key != analytics.CHANNEL]
            await self._learn_syncs()
        last: dict[str, str] = {event.key: event.event for event in events}
        counts = Counter(event.key for event in events if event.event != "expire")
        readings = await self._read(list(last))
        await self._learn_writers()
        for name, word in last.items():
            before, reading = self._known.get(name, _Known()), readings[name]
            if reading.there:
                self._known[name] = reading
            else:
                self._known.pop(name, None)
            shown = "set" if word == "expire" and _differs(before, reading) else word
            self._report(name, shown, before, reading, max(counts[name], 1))

    def lost(self, why: str) -> None:
        """The link's status says so; what was missed is reported after the next load."""

    async def _read(self, names: Sequence[str]) -> dict[str, _Known]:
        readings: dict[str, _Known] = {}
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.mget(chunk)
            for name in chunk:
                pipeline.pexpiretime(name)
            values, *expiries = await pipeline.execute()
            for name, value, expiry in zip(chunk, values, expiries, strict=True):
                readings[name] = self._parse(name, value, expiry / 1000 if expiry > 0 else None)
        return readings

    def _parse(self, name: str, value: bytes | None, expires_at: float | None) -> _Known:
        if value is None:
            return _Known()
        if name == PUBLISHED_KEY:
            try:
                return _Known(published=parse_published(value), there=True)
            except Malformed as problem:
                return _Known(fault=str(problem), there=True)
        parsed = parse_keys(name, value, salt=self._rules.salt, expires_at=expires_at)
        fault = "; ".join(fault.problem for fault in parsed.faults)
        return _Known({entry.digest: entry for entry in parsed.entries}, fault=fault, there=True)

    async def _learn_writers(self) -> None:
        """Who wrote what since the last look; the entry is there when the event is (one transaction)."""
        for identifier, fields in await self._redis.xrange(WRITES_STREAM, f"({self._last_write}", "+") or []:
            self._last_write = _text(identifier or self._last_write)
            entry = {_text(name): _text(value) for name, value in (fields or {}).items()}
            for name in json.loads(entry.get("keys", "[]")):
                self._writers[name].append(entry)

    async def _newest(self, stream: str) -> str:
        try:
            newest = await self._redis.xrevrange(stream, count=1)
        except ResponseError:  # something of another program's has its name
            newest = None
        return _text(newest[0][0] or b"0-0") if newest else "0-0"

    async def _learn_syncs(self) -> None:
        """The syncs that have ended since the last look. The message only says that there are some: none is missed."""
        try:
            entries = await self._redis.xrange(analytics.STREAM, f"({self._last_sync}", "+") or []
        except ResponseError:
            return
        for number, fields in entries:
            self._last_sync = _text(number or self._last_sync)
            event = analytics.read_event(number or b"", fields or {})
            if event is not None and event.name == "sync.completed":
                self._sink(_of_sync(event))

    def _report(self, name: str, event: str, before: _Known, after: _Known, writes: int) -> None:
        written = self._writers.pop(name, [])
        last = written[-1] if written else {}
        changes = describe(before, after)
        self._sink(
            FeedEvent(
                datetime.now(UTC),
                "faulty" if after.fault else event,
                shown_key(name),
                name.partition(":")[0],
                tuple(changes),
                last.get("actor"),
                last.get("action"),
                last.get("operation") or None,
                writes,
            )
        )


def describe(before: _Known, after: _Known) -> list[str]:
    """The difference in phrases: ``+name``, ``−name``, ``name → endpoint``; keys by id and generation."""
    if after.fault:
        return [after.fault]
    if after.published is not None or before.published is not None:
        return _models(before.published or {}, after.published or {})
    phrases: list[str] = []
    for digest in sorted(before.entries.keys() | after.entries.keys()):
        old, new = before.entries.get(digest), after.entries.get(digest)
        label = _label(new or old)
        if new is None:
            phrases.append(f"{label} gone")
        elif old is None:
            phrases.append(f"{label}  {len(new.models)} models{_end(new)}")
        else:
            phrases += [f"{label} {phrase}" for phrase in _models(dict(old.models), dict(new.models))]
            if old.not_after != new.not_after:
                phrases.append(f"{label}{_end(new) or ' no longer expires'}")
            if old.suspended != new.suspended:
                phrases.append(f"{label} {'suspended' if new.suspended else 'resumed'}")
    return phrases


def _of_sync(event: analytics.Event) -> FeedEvent:
    """A sync, with a phrase for each provider where something changed or was not in order."""
    phrases = []
    told = event.data.get("by_provider")
    for slug, found in told.items() if isinstance(told, dict) else ():
        if not isinstance(found, dict):
            continue
        signs = (("added", "+"), ("changed", "~"), ("missing", "−"))
        parts = [f"{sign}{found[name]}" for name, sign in signs if found.get(name)]
        if found.get("outcome") not in ("ok", "unchanged"):
            parts.insert(0, str(found.get("outcome")))
        if parts:
            phrases.append(f"{slug} {' '.join(parts)}")
    return FeedEvent(
        event.at or datetime.now(UTC),
        "sync",
        f"sync:{event.data.get('run')}",
        "sync",
        tuple(phrases) or ("nothing new",),
        str(event.data.get("actor") or "?"),
        "sync.run",
    )


def _models(old: Mapping[str, Grant], new: Mapping[str, Grant]) -> list[str]:
    return (
        [f"+{name}" for name in sorted(new.keys() - old.keys())]
        + [f"−{name}" for name in sorted(old.keys() - new.keys())]
        + [f"{name} → {new[name].endpoint_id}" for name in sorted(new.keys() & old.keys()) if new[name] != old[name]]
    )


def _label(entry: KeyEntry | None) -> str:
    if entry is None:
        return "key"
    name = entry.key_id or "key " + entry.digest[:4]
    return f"{name} gen {entry.generation}" if entry.generation is not None else name


def _end(entry: KeyEntry) -> str:
    if entry.not_after is None:
        return ""
    seconds = entry.not_after - time.time()
    return f" until {seconds:.0f} s from now" if seconds > 0 else " expired"


def _differs(before: _Known, after: _Known) -> bool:
    return (before.there, before.entries, before.published, before.fault) != (
        after.there,
        after.entries,
        after.published,
        after.fault,
    )


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
