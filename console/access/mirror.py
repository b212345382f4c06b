"""The gateway's view of Redis: complete after every start and every reconnect, and honest about its age.

A `Mirror` is what the ext_authz service decides from. Its `snapshot` is replaced whole, so a reader never sees
half a change. It keeps serving the last view while Redis is out of reach, for `AccessRules.fail_static_seconds`,
and then says so (`usable`): the service refuses everything from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis.asyncio import Redis

from console.access.codec import Malformed, parse_keys, parse_published, parse_restrictions
from console.access.link import KeyEvent, KeyspaceLink, LinkState
from console.access.types import (
    KEY_PREFIX,
    PUBLISHED_KEY,
    RESTRICTIONS_KEY,
    Entries,
    Fault,
    KeyEntry,
    Restrictions,
    Snapshot,
    is_digest,
)
from console.access.writer import EPOCH_CHANNEL, EPOCH_KEY, INSTANCE_PREFIX
from console.config import AccessRules

_CHUNK = 500
_HEARTBEAT_SECONDS = 1
_INSTANCE_TTL_SECONDS = 5


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """What a mirror says of itself; times are Unix seconds."""

    state: str
    since: float | None
    last_event: float | None
    last_load: float | None
    entries: int
    published: int
    epoch: int
    faults: tuple[Fault, ...]
    reconnects: int
    problem: str

    def as_json(self) -> dict[str, Any]:
        body = {name: getattr(self, name) for name in self.__slots__}
        body["faults"] = [{"where": fault.where, "problem": fault.problem} for fault in self.faults]
        return body


Follower = Callable[[Snapshot, Iterable[str] | None], Awaitable[None]]
"""Whoever else decides by the view: told of each new one with the digests that may differ (None: all of them)."""


class Mirror:
    """Follows Redis into `snapshot`.

    Args:
        instance: the name under which this mirror reports the epoch that it has applied; None reports nothing.
    """

    def __init__(
        self, redis: Redis, rules: AccessRules, *, instance: str | None = None, full_load_seconds: float = 60.0
    ) -> None:
        self.snapshot = Snapshot()
        self.follower: Follower | None = None
        self._redis = redis
        self._rules = rules
        self._instance = instance
        self._frozen = False
        self._parsed: dict[str, tuple[KeyEntry, ...]] = {}
        self._holders: dict[str, set[str]] = {}
        self._faults: dict[str, tuple[Fault, ...]] = {}
        self._reported = 0.0
        self._reporting = asyncio.Lock()
        self._link = KeyspaceLink(
            redis,
            (f"{KEY_PREFIX}*", PUBLISHED_KEY, RESTRICTIONS_KEY),
            self,
            channels=(EPOCH_CHANNEL,),
            full_load_seconds=full_load_seconds,
        )

    async def run(self) -> None:
        """Follow for ever; ends only by cancellation."""
        await self._link.run()

    @property
    def status(self) -> MirrorStatus:
        link = self._link.status
        faults = tuple(fault for faults in self._faults.values() for fault in faults)
        return MirrorStatus(
            link.state.value,
            link.since,
            link.last_event,
            link.last_load,
            len(self.snapshot.keys),
            len(self.snapshot.published),
            self.snapshot.epoch,
            faults,
            link.reconnects,
            link.problem,
        )

    def usable(self, now: float) -> bool:
        """Whether its view may be decided on: loaded once, and not lost for longer than allowed."""
        link = self._link.status
        if link.last_load is None:
            return False
        lost_for = now - link.since if link.state is LinkState.LOST and link.since is not None else 0.0
        return lost_for <= self._rules.fail_static_seconds

    # --- Consumer -------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read everything into new maps, then swap. The epoch is read first: what follows is at least as new."""
        with _without_collecting():
            await self._load()
        if self._instance and not self._frozen:
            # Among 100,000 keys a look for garbage takes 120 ms, in which nobody is answered. A worker has loaded
            # before it takes requests, so what is there now is what stays; later loads keep what has not changed.
            gc.freeze()
            self._frozen = True
        await self._tell(None)
        await self._report()

    async def _load(self) -> None:
        epoch = await self._redis.get(EPOCH_KEY)
        published_raw = await self._redis.get(PUBLISHED_KEY)
        restrictions_raw = await self._redis.get(RESTRICTIONS_KEY)
        parsed: dict[str, tuple[KeyEntry, ...]] = {}
        faults: dict[str, tuple[Fault, ...]] = {}
        names = [_text(name) async for name in self._redis.scan_iter(match=f"{KEY_PREFIX}*", count=1000)]
        for start in range(0, len(names), _CHUNK):
            chunk = sorted(set(names[start : start + _CHUNK]))
            for key, (entries, problems) in (await self._read_keys(chunk)).items():
                if entries:
                    parsed[key] = self._parsed[key] if self._parsed.get(key) == entries else entries
                if problems:
                    faults[key] = problems
        self._parsed = parsed
        self._holders = {}
        for key, entries in parsed.items():
            for entry in entries:
                self._holders.setdefault(entry.digest, set()).add(key)
        kept = {name: self._faults[name] for name in (PUBLISHED_KEY, RESTRICTIONS_KEY) if name in self._faults}
        self._faults = faults | kept
        published, restrictions = self._published_from(published_raw), self._restrictions_from(restrictions_raw)
        keys = Entries.of(self._winner(digest) for digest in self._holders)
        self.snapshot = Snapshot(keys, published, int(epoch or 0), restrictions)

    async def touched(self, events: Sequence[KeyEvent]) -> None:
        names = {event.key for event in events}
        snapshot = self.snapshot
        changed = sorted(name for name in names if name.startswith(KEY_PREFIX))
        changes: dict[str, KeyEntry | None] = {}
        if changed:
            for start in range(0, len(changed), _CHUNK):
                chunk = changed[start : start + _CHUNK]
                for key, (entries, faults) in (await self._read_keys(chunk)).items():
                    for digest in self._replace(key, entries, faults):
                        changes[digest] = self._winner(digest) if digest in self._holders else None
            snapshot = replace(snapshot, keys=snapshot.keys.with_changes(changes))
        if PUBLISHED_KEY in names:
            snapshot = snapshot.update_published(self._published_from(await self._redis.get(PUBLISHED_KEY)))
        if RESTRICTIONS_KEY in names:
            snapshot = replace(snapshot, restrictions=self._restrictions_from(await self._redis.get(RESTRICTIONS_KEY)))
        # A writer announces the new epoch in the same transaction as its change, and after it: what this batch
        # announces is therefore in what was read above.
        announced = [int(event.event) for event in events if event.key == EPOCH_CHANNEL]
        if announced:
            snapshot = replace(snapshot, epoch=max(snapshot.epoch, *announced))
        self.snapshot = snapshot
        await self._tell(changes)
        if announced:
            await self._report()

    def lost(self, why: str) -> None:
        """Nothing is dropped: the last view is served for as long as the rules allow."""

    # --- parts ----------------------------------------------------------------------------------------------

    async def _tell(self, digests: Iterable[str] | None) -> None:
        """What is reported is in force: so whoever decides by this view has it before."""
        if self.follower is not None:
            await self.follower(self.snapshot, digests)

    async def _read_keys(self, names: Sequence[str]) -> dict[str, tuple[tuple[KeyEntry, ...], tuple[Fault, ...]]]:
        """Some keys with their expiries; absent ones come back empty.

        The entries that Modeldeck writes say themselves when they end, so only others are asked for their expiry.
        """
        found: dict[str, tuple[tuple[KeyEntry, ...], tuple[Fault, ...]]] = {}
        foreign: dict[str, bytes | str] = {}
        for name, value in zip(names, await self._redis.mget(names), strict=True):
            if value is None:
                found[name] = ((), ())
                continue
            parsed = parse_keys(name, value, salt=self._rules.salt)
            found[name] = (parsed.entries, parsed.faults)
            if any(entry.generation is None for entry in parsed.entries):
                foreign[name] = value
        if foreign:
            pipeline = self._redis.pipeline(transaction=False)
            for name in foreign:
                pipeline.pexpiretime(name)
            for (name, value), expiry in zip(foreign.items(), await pipeline.execute(), strict=True):
                if expiry > 0:
                    parsed = parse_keys(name, value, salt=self._rules.salt, expires_at=expiry / 1000)
                    found[name] = (parsed.entries, parsed.faults)
        return found

    def _replace(self, key: str, entries: tuple[KeyEntry, ...], faults: tuple[Fault, ...]) -> set[str]:
        """Put one Redis key's entries in place of its old ones; the digests that this may change."""
        before = {entry.digest for entry in self._parsed.get(key, ())}
        after = {entry.digest for entry in entries}
        for digest in before - after:
            holders = self._holders.get(digest, set())
            holders.discard(key)
            if not holders:
                self._holders.pop(digest, None)
        for digest in after:
            self._holders.setdefault(digest, set()).add(key)
        if entries:
            self._parsed[key] = entries
        else:
            self._parsed.pop(key, None)
        if faults:
            self._faults[key] = faults
        else:
            self._faults.pop(key, None)
        return before | after

    def _winner(self, digest: str) -> KeyEntry:
        """Where several Redis keys hold the same API key: the digest form, else the first by name."""
        holders = self._holders[digest]
        if len(holders) == 1:
            (chosen,) = holders
        else:
            chosen = min(holders, key=lambda key: (not is_digest(key.removeprefix(KEY_PREFIX)), key))
        return next(entry for entry in self._parsed[chosen] if entry.digest == digest)

    def _published_from(self, raw: bytes | str | None) -> Mapping[str, Any]:
        """The published map, or the last good one where the value is malformed."""
        if raw is None:
            self._faults.pop(PUBLISHED_KEY, None)
            return {}
        try:
            published = parse_published(raw)
        except Malformed as problem:
            self._faults[PUBLISHED_KEY] = (Fault(PUBLISHED_KEY, f"{problem}; the last good map is kept"),)
            return self.snapshot.published
        self._faults.pop(PUBLISHED_KEY, None)
        return published

    def _restrictions_from(self, raw: bytes | str | None) -> Restrictions:
        """The restrictions, or the last good ones where the value is malformed."""
        try:
            restrictions = parse_restrictions(raw)
        except Malformed as problem:
            fault = Fault(RESTRICTIONS_KEY, f"{problem}; the last good ones are kept")
            self._faults[RESTRICTIONS_KEY] = (fault,)
            return self.snapshot.restrictions
        self._faults.pop(RESTRICTIONS_KEY, None)
        return restrictions

    async def heartbeat(self) -> None:
        """Say that this instance is there, and how far it is, when nothing has said so lately."""
        if time.monotonic() - self._reported >= _HEARTBEAT_SECONDS:
            await self._report()

    async def _report(self) -> None:
        if self._instance is None:
            return
        # One at a time: two on two connections may arrive the other way round, and the older word would stand.
        async with self._reporting:
            self._reported = time.monotonic()
            status = {
                "epoch": self.snapshot.epoch,
                "entries": len(self.snapshot.keys),
                "at": time.time(),
                "client": self._redis.connection_pool.connection_kwargs.get("client_name") or "",
            }
            await self._redis.set(INSTANCE_PREFIX + self._instance, json.dumps(status), ex=_INSTANCE_TTL_SECONDS)

    async def withdraw(self) -> None:
        """Stop being counted: this instance is going away."""
        if self._instance is not None:
            await self._redis.delete(INSTANCE_PREFIX + self._instance)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """A load makes a million objects that stay: looking for garbage among them meanwhile costs a third of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
