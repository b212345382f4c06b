"""Runs a sync: providers side by side, each with its own outcome.

One provider's fault is that provider's alone (console/sync/provider_sync.py). A run is written down when it begins, so
that it is seen while it lasts, and found should its process die.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from console.guard import Permit
from console.outcome import Ending, Refusal, Unavailable
from console.store.engine import Store
from console.sync import urls
from console.sync.journal import Journal
from console.sync.provider_sync import Credential, ProviderSync, Tell
from console.sync.types import Limits, ProviderOutcome, ProviderReport, ProviderTarget, RunState, SyncReport

if TYPE_CHECKING:
    from console.sync.fetch import Fetcher
    from console.sync.locks import Locks

_RUN_STATES = {Ending.PARTIAL: RunState.PARTIAL, Ending.FAILED: RunState.FAILED}


def utc_now() -> datetime:
    return datetime.now(UTC)


class Syncer:
    """Keeps the catalog true.

    Args:
        credential: looks up a provider's credential, at once or as an awaitable; None where there is none. It may
            raise `ModeldeckError`, which then is that provider's outcome (no credentials)
        clock: aware UTC
        locks: leases beside the database's, which other hosts see too
    """

    def __init__(
        self,
        store: Store,
        *,
        credential: Credential,
        clock: Callable[[], datetime] = utc_now,
        limits: Limits | None = None,
        locks: Locks | None = None,
    ) -> None:
        self._store = store
        self._credential = credential
        self._clock = clock
        self._limits = limits or Limits()
        self._locks = locks
        self._journal = Journal(store, clock, timedelta(seconds=self._limits.lease_seconds))

    async def run(
        self,
        permit: Permit,
        targets: Sequence[ProviderTarget],
        *,
        dry_run: bool = False,
        actor: str = "",
        progress: Tell = lambda _: None,
    ) -> SyncReport:
        """Sync these providers.

        Args:
            dry_run: fetch and compare, write nothing at all (no run, no provider, no lease)
            actor: who is named in the record of the run, where it is not the permit's principal
            progress: told where each provider is; called from the event loop

        Raises:
            Refusal: nothing was asked for (BAD_REQUEST), a URL is not safe (INSECURE_URL), or other runs have all of
                them (SYNC_RUNNING).
            Unavailable: the database cannot be used.
            asyncio.CancelledError: as it came in; the run is recorded as cancelled, providers that were done stay so.
        """
        _refuse_wrong(targets)
        sync = ProviderSync(self._store, self._journal, self._credential, self._clock, self._limits, progress)
        started = self._clock()
        if dry_run:
            reports: dict[str, ProviderReport] = {}
            await self._side_by_side(targets, sync.preview, reports)
            return self._report(None, started, targets, reports)
        return await self._recorded_run(permit, targets, sync, actor, started)

    async def _recorded_run(
        self, permit: Permit, targets: Sequence[ProviderTarget], sync: ProviderSync, actor: str, started: datetime
    ) -> SyncReport:
        slugs = [target.spec.slug for target in targets]
        elsewhere = await self._locks.take(slugs) if self._locks is not None else {}
        try:
            begun = await self._journal.begin(permit, slugs, actor, elsewhere)
        except BaseException:
            await self._unlock()
            raise
        reports = {
            slug: ProviderReport(slug, ProviderOutcome.REFUSED, f"{holder} is syncing it just now", "SYNC_RUNNING")
            for slug, holder in begun.busy.items()
        }
        free = [target for target in targets if target.spec.slug not in begun.busy]

        def write(target: ProviderTarget, fetcher: Fetcher) -> Awaitable[ProviderReport]:
            return sync.write(permit, begun.run_id, target, fetcher)

        state, summary = RunState.FAILED, "it ended with a fault of Modeldeck's own"
        try:
            async with self._kept_alive(begun.run_id):
                await self._side_by_side(free, write, reports)
            report = self._report(begun.run_id, started, targets, reports)
            state, summary = _RUN_STATES.get(report.ending, RunState.DONE), report.summary
            return report
        except asyncio.CancelledError:
            state, summary = (
                RunState.CANCELLED,
                f"cancelled; {len(reports)} of {len(targets)} providers were finished",
            )
            raise
        finally:
            # A second Ctrl-C does not stop this; should the process die, the leases run out by themselves.
            await asyncio.shield(self._ended(begun.run_id, state, summary))

    async def _ended(self, run_id: int, state: RunState, summary: str) -> None:
        try:
            await self._journal.end(run_id, state, summary)
        finally:
            await self._unlock()

    async def _unlock(self) -> None:
        if self._locks is not None:
            await self._locks.release()

    def _report(
        self,
        run_id: int | None,
        started: datetime,
        targets: Sequence[ProviderTarget],
        reports: dict[str, ProviderReport],
    ) -> SyncReport:
        in_order = tuple(reports[target.spec.slug] for target in targets)
        return SyncReport(run_id, run_id is None, started, self._clock(), in_order)

    async def _side_by_side(
        self,
        targets: Sequence[ProviderTarget],
        sync: Callable[[ProviderTarget, Fetcher], Awaitable[ProviderReport]],
        reports: dict[str, ProviderReport],
    ) -> None:
        from console.sync.fetch import Fetcher  # httpx is not needed by anybody who only looks at a run

        turnstile = asyncio.Semaphore(self._limits.parallel)
        async with Fetcher(self._limits, self._clock) as fetcher:

            async def one(target: ProviderTarget) -> None:
                async with turnstile:
                    reports[target.spec.slug] = await sync(target, fetcher)

            async with asyncio.TaskGroup() as group:
                for target in targets:
                    group.create_task(one(target), name=f"sync {target.spec.slug}")

    @contextlib.asynccontextmanager
    async def _kept_alive(self, run_id: int) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(self._limits.lease_seconds / 3)
                with contextlib.suppress(Unavailable, SQLAlchemyError):  # the next one may get through
                    await self._journal.renew(run_id)
                if self._locks is not None:
                    await self._locks.renew()

        task = asyncio.create_task(renew(), name=f"lease of run {run_id}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


def _refuse_wrong(targets: Sequence[ProviderTarget]) -> None:
    slugs = [target.spec.slug for target in targets]
    if not slugs or len(set(slugs)) != len(slugs):
        raise Refusal("a sync needs providers, and each of them once", code="BAD_REQUEST", status=400)
    for target in targets:
        if target.spec.list_path is not None and (why := urls.why_not(target.spec.list_url(target.base_url))):
            raise Refusal(
                f"the list of {target.spec.name} cannot be fetched from the address that is set for it: {why}. "
                "Nothing was asked",
                code="INSECURE_URL",
            )
