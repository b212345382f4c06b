"""Proof that every gateway instance decides by what we wrote.

Each ext_authz worker reports, under ``modeldeck:authz:<instance>``, the last epoch that it has applied; the entry
expires when the worker is gone. `everywhere` waits until all of them have reached one.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.writer import INSTANCE_PREFIX
from console.outcome import Unavailable

_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Instance:
    """One ext_authz worker, by its own word."""

    name: str
    epoch: int
    entries: int
    at: float


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
                )
            )
        except (ValueError, TypeError, KeyError):
            continue
    return found


async def everywhere(redis: Redis, epoch: int, *, timeout: float = 2.0) -> Propagation:
    """Wait until every worker has applied ``epoch``, or ``timeout`` seconds.

    Where no worker reports at all it does not wait: there is nobody to wait for, and the result says so.
    """
    started = time.monotonic()
    while True:
        try:
            known = await instances(redis)
        except (RedisError, OSError) as problem:
            raise Unavailable(
                f"Redis did not say how far the gateway is: {type(problem).__name__}", code="REDIS_UNAVAILABLE"
            ) from problem
        behind = tuple(worker.name for worker in known if worker.epoch < epoch)
        seconds = time.monotonic() - started
        if not behind or seconds >= timeout:
            return Propagation(epoch, seconds, tuple(w.name for w in known if w.epoch >= epoch), behind)
        await asyncio.sleep(_POLL_SECONDS)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
