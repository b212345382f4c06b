"""Charges that could not be written: kept in memory until Redis is back, for as long as their windows run."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator

from redis.exceptions import RedisError

from console.limits.counters import Asked, Counters

_MOST = 10_000
"""Counters, some 200 bytes each; of what comes beyond them it is logged that it is lost."""
_AT_ONCE = 500
_TRY_SECONDS = 0.2
log = logging.getLogger("modeldeck.limits")


class LateCharges:
    """What one worker has not been able to charge. It is lost with the worker.

    Args:
        clock: seconds since 1970
    """

    def __init__(self, counters: Counters, *, clock: Callable[[], float] = time.time) -> None:
        self._counters = counters
        self._clock = clock
        self._kept: dict[tuple[str, int, int], int] = {}
        self._lost = 0
        self._writing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, charges: Iterable[Asked]) -> None:
        """Write them as soon as Redis answers. To be called in the loop of the worker."""
        now = int(self._clock())
        for one in charges:
            self._add((one.key, one.seconds, now // one.seconds), one.hits)
        if self._kept and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write_when_possible(), name="late charges")

    async def write(self) -> None:
        """Write what is kept.

        Raises:
            RedisError, OSError: Redis does not answer; what is not written is still kept.
        """
        while self._kept:
            batch = dict(itertools.islice(self._kept.items(), _AT_ONCE))
            await self._counters.charge_late([(*name, hits) for name, hits in batch.items()])
            for name, hits in batch.items():
                rest = self._kept.pop(name, 0) - hits  # more may have come meanwhile
                if rest > 0:
                    self._kept[name] = rest

    async def stop(self) -> None:
        """A last attempt."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        with contextlib.suppress(RedisError, OSError):
            await self.write()
        if self._kept:
            log.error("charges of %d counters are lost: Redis did not answer before the end", len(self._kept))

    async def _write_when_possible(self) -> None:
        while self._kept:
            await asyncio.sleep(_TRY_SECONDS)
            self._forget_what_is_over()
            count = len(self._kept)
            try:
                await self.write()
            except (RedisError, OSError):
                continue
            if count:
                lost = f"; {self._lost} were too many and are lost" if self._lost else ""
                log.warning("late charges are written to %d counters%s", count, lost)
        self._lost = 0

    def _add(self, name: tuple[str, int, int], hits: int) -> None:
        if name not in self._kept and len(self._kept) >= _MOST:
            self._lost += 1
            return
        self._kept[name] = self._kept.get(name, 0) + hits

    def _forget_what_is_over(self) -> None:
        now = int(self._clock())
        for name in list(self._over(now)):
            del self._kept[name]

    def _over(self, now: int) -> Iterator[tuple[str, int, int]]:
        for name in self._kept:
            _, seconds, window = name
            if window < now // seconds:
                yield name
