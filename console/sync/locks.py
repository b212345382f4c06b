"""A lease per provider in Redis, for hosts that share a Redis and perhaps not a database.

The lease keeps two runs from asking a provider at once. What keeps a run that was thought dead from writing is another
thing: its number, which the database checks in the transaction that writes (console/sync/journal.py). So a Redis that
is away, or that forgets, costs at worst a request too many.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

PREFIX = "modeldeck:sync:lease:"
_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_log = logging.getLogger(__name__)


class Locks:
    """The leases of one run. ``lease``: how long one holds without being renewed."""

    def __init__(self, redis: Redis, lease: timedelta) -> None:
        self._redis = redis
        self._milliseconds = round(lease.total_seconds() * 1000)
        self._token = f"{socket.gethostname()}:{os.getpid()} {secrets.token_hex(8)}"
        self._held: set[str] = set()

    async def take(self, slugs: Sequence[str]) -> dict[str, str]:
        """Take what is free; returns who has the others. Where Redis is away, nothing is with anybody."""
        busy: dict[str, str] = {}

        async def take_all() -> None:
            for slug in slugs:
                key = PREFIX + slug
                if await self._redis.set(key, self._token, nx=True, px=self._milliseconds):
                    self._held.add(slug)
                elif (holder := await self._redis.get(key)) is not None:
                    text = holder.decode("utf-8", "replace") if isinstance(holder, bytes) else str(holder)
                    busy[slug] = text.partition(" ")[0]

        await self._or_without(take_all)
        return busy

    async def renew(self) -> None:
        """Say that this run is alive; a lease that somebody else has by now is not ours any more."""

        async def renew_all() -> None:
            for slug in list(self._held):
                if not await self._run(_RENEW, slug, self._milliseconds):
                    self._held.discard(slug)

        await self._or_without(renew_all)

    async def release(self) -> None:
        """Give back what is still ours."""

        async def release_all() -> None:
            for slug in list(self._held):
                await self._run(_RELEASE, slug)
                self._held.discard(slug)

        await self._or_without(release_all)

    async def _run(self, script: str, slug: str, *arguments: int) -> int:
        return int(await self._redis.eval(script, 1, PREFIX + slug, self._token, *map(str, arguments)))

    async def _or_without(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (RedisError, OSError) as problem:
            _log.warning("leases in Redis: %s; the database's own still hold", type(problem).__name__)
