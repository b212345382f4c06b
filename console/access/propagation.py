"""Proof that every gateway instance decides by what we wrote.

Each ext_authz worker reports, under ``modeldeck:authz:<instance>``, the last epoch that it has applied; the entry
expires when the worker is gone. `everywhere` waits until all of them have reached one.

A worker that was killed leaves its entry behind for five seconds. It is not waited for that long: where none of its
connections has been there for a second and a half (a living one reconnects within one), there is nobody who decides.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from console.access.writer import INSTANCE_PREFIX
from console.outcome import Unavailable

_POLL_SECONDS = 0.005
_LOOK_SECONDS = 0.25
_ABSENT_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Instance:
    """One ext_authz worker, by its own word. ``client``: the name of its connections to Redis, where it says one."""

    name: str
    epoch: int
    entries: int
    at: float
    client: str = ""


@dataclass(frozen=True, slots=True)
class Propagation:
    """How far a write got: the workers that have it, the ones that have not, and how long it took."""

    epoch: int
    seconds: float
    reached: tuple[str, ...]
    behind: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return bool(self.reached) and not self.behind

    def __str__(self) -> str:
        if self.complete:
            return f"in effect at {len(self.reached)} of {len(self.reached)} gateway workers after {self.seconds:.3f} s"
        if not self.reached and not self.behind:
            return "no gateway worker reports to this Redis"
        return f"{len(self.behind)} of {len(self.reached) + len(self.behind)} gateway workers have not applied it yet"


async def instances(redis: Redis) -> list[Instance]:
    """The workers that have reported within their time to live."""
    names = sorted([_text(name) async for name in redis.scan_iter(match=f"{INSTANCE_PREFIX}*", count=1000)])
    found = []
    for name, raw in zip(names, await redis.mget(names) if names else [], strict=True):
        if raw is None:
            continue
        try:
            status = json.loads(raw)
            found.append(
                Instance(
                    name.removeprefix(INSTANCE_PREFIX),
                    int(status["epoch"]),
                    int(status["entries"]),
                    float(status["at"]),
                    str(status.get("client", "")),
                )
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return found


async def everywhere(redis: Redis, epoch: int, *, timeout: float = 2.0) -> Propagation:
    """Wait until every worker has applied ``epoch``, or ``timeout`` seconds.

    Where no worker reports at all it does not wait: there is nobody to wait for, and the result says so.
    """
    started = time.monotonic()
    absences = _Absences(redis, started)
    while True:
        try:
            known = await instances(redis)
            if any(worker.epoch < epoch for worker in known):
                gone = await absences.gone(known)
                known = [worker for worker in known if worker.name not in gone]
        except (RedisError, OSError) as problem:
            raise Unavailable(
                f"Redis did not say how far the gateway is: {type(problem).__name__}", code="REDIS_UNAVAILABLE"
            ) from problem
        behind = tuple(worker.name for worker in known if worker.epoch < epoch)
        seconds = time.monotonic() - started
        if not behind or seconds >= timeout:
            return Propagation(epoch, seconds, tuple(w.name for w in known if w.epoch >= epoch), behind)
        await asyncio.sleep(_POLL_SECONDS)


class _Absences:
    """Which workers have lost every connection, and since when (seconds of the monotonic clock)."""

    def __init__(self, redis: Redis, now: float) -> None:
        self._redis = redis
        self._next = now + _LOOK_SECONDS
        self._since: dict[str, float] = {}
        self._asks = True

    async def gone(self, known: Sequence[Instance]) -> set[str]:
        """The names of the workers that have been without a connection for `_ABSENT_SECONDS`."""
        now = time.monotonic()
        if self._asks and now >= self._next:
            self._next = now + _LOOK_SECONDS
            await self._look(known, now)
        return {name for name, since in self._since.items() if now - since >= _ABSENT_SECONDS}

    async def _look(self, known: Sequence[Instance], now: float) -> None:
        try:
            connected = {client.get("name", "") for client in await self._redis.client_list()}
        except ResponseError:  # not allowed to ask: then their entries' own end is waited for
            self._asks = False
            return
        # Behind a proxy the names are not the workers': nothing can be said where not even one is to be seen.
        if not any(worker.client in connected for worker in known if worker.client):
            self._since.clear()
            return
        absent = {worker.name for worker in known if worker.client and worker.client not in connected}
        self._since = {name: self._since.get(name, now) for name in absent}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
