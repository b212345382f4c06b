"""Looks after providers: syncs what is due, several at a time, until it is stopped.

A provider's sync has its outcome, whatever happens; should Modeldeck itself fail at one, the claim runs out and the
provider is tried again, by whichever process comes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from console.guard import Permit
from console.outcome import ModeldeckError, Refusal
from console.sync.schedule import Claim, Schedule
from console.sync.types import ProviderReport

_log = logging.getLogger(__name__)

Sync = Callable[[str], Awaitable[ProviderReport]]
Sleep = Callable[[float], Awaitable[None]]


class Scheduler:
    """Runs what a `Schedule` says is due.

    Args:
        sync: syncs one provider, by its slug
        parallel: providers at a time
        look: how often to look for what is due
        renew: how often a claim is renewed; well below how long it holds
        sleep: `asyncio.sleep`, or a test's
    """

    def __init__(
        self,
        schedule: Schedule,
        permit: Permit,
        sync: Sync,
        *,
        parallel: int = 4,
        look: timedelta = timedelta(seconds=15),
        renew: timedelta = timedelta(seconds=30),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._schedule = schedule
        self._permit = permit
        self._sync = sync
        self._parallel = parallel
        self._look = look.total_seconds()
        self._renew = renew.total_seconds()
        self._sleep = sleep
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled; what is being synced then is cancelled too, and stays due."""
        try:
            while True:
                try:
                    await self.look()
                except ModeldeckError as problem:  # the database is away: it may come back
                    _log.warning("the schedule cannot be read: %s", problem)
                await self._sleep(self._look)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def look(self) -> int:
        """Start what is due, as far as there is room. Returns how many were started."""
        room = self._parallel - len(self._running)
        claims = await self._schedule.claim_due(self._permit, most=room) if room > 0 else ()
        for claim in claims:
            task = asyncio.create_task(self._one(claim), name=f"sync {claim.provider}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(claims)

    async def idle(self) -> None:
        """Until everything that was started has ended."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def _one(self, claim: Claim) -> None:
        renewing = asyncio.create_task(self._keep(claim), name=f"claim of {claim.provider}")
        try:
            report = await self._sync(claim.provider)
            await self._schedule.finished(self._permit, claim, report)
        except asyncio.CancelledError:
            with contextlib.suppress(ModeldeckError):
                await asyncio.shield(self._schedule.release(self._permit, claim))
            raise
        except Exception as problem:
            if isinstance(problem, Refusal) and problem.code == "SYNC_RUNNING":
                await self._lost(claim, problem)
                return
            _log.exception(
                "the scheduled sync of %s failed; its claim runs out, then it is tried again", claim.provider
            )
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})

    async def _lost(self, claim: Claim, why: Refusal) -> None:
        """A run by hand was quicker. The provider stays due: that run moves its time when it is over."""
        _log.info("%s; the schedule leaves it to that run", why)
        with contextlib.suppress(ModeldeckError):
            await self._schedule.release(self._permit, claim)

    async def _keep(self, claim: Claim) -> None:
        while True:
            await self._sleep(self._renew)
            with contextlib.suppress(ModeldeckError):
                if not await self._schedule.renew(self._permit, claim):
                    return
