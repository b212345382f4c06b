"""The record of runs, and the lease that keeps two of them off the same provider.

A lease is a row with an end. It is taken and renewed in the database, so it holds across processes and hosts that
share one; what a run writes about a provider is written in a transaction that checks the lease (`hold`), so a run that
lost it to another one writes nothing more.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from console.guard import Permit
from console.outcome import Refusal, conflict
from console.store.engine import Store
from console.store.tables import catalog as t
from console.sync.types import ProviderReport, RunState


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that has begun. ``busy``: the providers that another run holds, and who that is."""

    run_id: int
    busy: dict[str, str]


class Journal:
    """Writes down runs, and hands out leases.

    Args:
        clock: aware UTC
        lease: how long a lease holds without being renewed
    """

    def __init__(self, store: Store, clock: Callable[[], datetime], lease: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._lease = lease
        self._holder = f"{socket.gethostname()}:{os.getpid()}"

    async def begin(
        self, permit: Permit, slugs: Sequence[str], actor: str, elsewhere: Mapping[str, str] | None = None
    ) -> Begun:
        """A new run with the leases that can be had. ``elsewhere``: who has which by another kind of lease.

        Raises:
            Refusal: SYNC_RUNNING (409), where all of them are with another run. No trace is left then.
        """
        now = self._clock()
        async with self._store.writing() as connection:
            await self._bury_the_dead(connection, now)
            run_id = await self._new_run(connection, permit, slugs, actor, now)
            busy = dict(elsewhere or {})
            for slug in slugs:
                if slug in busy:
                    continue
                holder = await self._take(connection, slug, run_id, now)
                if holder is not None:
                    busy[slug] = holder
            if len(busy) == len(slugs):
                raise conflict(
                    f"{', '.join(slugs)}: another run is syncing just this ({', '.join(sorted(set(busy.values())))})",
                    code="SYNC_RUNNING",
                    then="modeldeck sync history",
                )
        return Begun(run_id, busy)

    async def renew(self, run_id: int) -> None:
        """Say that this run is alive."""
        until = self._clock() + self._lease
        async with self._store.writing() as connection:
            leases, runs = t.sync_leases, t.sync_runs
            await connection.execute(sa.update(leases).where(leases.c.run_id == run_id).values(until=until))
            await connection.execute(sa.update(runs).where(runs.c.id == run_id).values(alive_until=until))

    async def hold(self, connection: AsyncConnection, run_id: int, slug: str) -> None:
        """Make sure, within a writing transaction, that the lease is ours until its end.

        Raises:
            Refusal: LEASE_LOST, where another run has taken it over.
        """
        table = t.sync_leases
        query = sa.select(table.c.run_id).where(table.c.provider == slug).with_for_update()
        if await connection.scalar(query) != run_id:
            raise Refusal(
                f"this run was thought dead, and another one is syncing {slug}; nothing was written",
                code="LEASE_LOST",
                status=409,
            )

    async def close(self, connection: AsyncConnection, run_id: int, report: ProviderReport) -> None:
        """Write down what came of one provider, and give its lease back."""
        counts = report.counts
        await connection.execute(
            sa.insert(t.sync_run_providers).values(
                run_id=run_id,
                provider=report.provider,
                outcome=report.outcome.value,
                code=report.code,
                sentence=report.sentence,
                baseline=report.baseline,
                fetched=counts.fetched,
                normalised=counts.normalised,
                rejected=counts.rejected,
                written=counts.written,
                unchanged=counts.unchanged,
                missing=counts.missing,
                added=counts.added,
                changed=counts.changed,
                returned=counts.returned,
                retired=counts.retired,
                held=counts.held,
                body_bytes=report.body_bytes,
                milliseconds=report.milliseconds,
                finished_at=self._clock(),
                retry_at=report.retry_at,
            )
        )
        if report.rejects:
            rows = [
                {
                    "run_id": run_id,
                    "provider": report.provider,
                    "position": reject.position,
                    "native_id": reject.native_id,
                    "costs": reject.costs,
                    "reason": reject.reason,
                    "record": reject.record,
                }
                for reject in report.rejects
            ]
            await connection.execute(sa.insert(t.sync_rejects), rows)
        table = t.sync_leases
        await connection.execute(sa.delete(table).where(table.c.provider == report.provider, table.c.run_id == run_id))

    async def end(self, run_id: int, state: RunState, summary: str) -> None:
        """The run is over; whatever lease it still has is free."""
        async with self._store.writing() as connection:
            runs, leases = t.sync_runs, t.sync_leases
            await connection.execute(
                sa.update(runs)
                .where(runs.c.id == run_id)
                .values(state=state.value, summary=summary, finished_at=self._clock())
            )
            await connection.execute(sa.delete(leases).where(leases.c.run_id == run_id))

    async def _bury_the_dead(self, connection: AsyncConnection, now: datetime) -> None:
        runs = t.sync_runs
        await connection.execute(
            sa.update(runs)
            .where(runs.c.state == RunState.RUNNING.value, runs.c.alive_until < now)
            .values(state=RunState.INTERRUPTED.value, summary="its process ended midway", finished_at=now)
        )

    async def _new_run(
        self, connection: AsyncConnection, permit: Permit, slugs: Sequence[str], actor: str, now: datetime
    ) -> int:
        values = {
            "state": RunState.RUNNING.value,
            "actor": actor or permit.actor,
            "via": permit.principal.via,
            "asked": list(slugs),
            "holder": self._holder,
            "started_at": now,
            "alive_until": now + self._lease,
            "summary": "",
        }
        result = await connection.execute(sa.insert(t.sync_runs).values(values).returning(t.sync_runs.c.id))
        return int(result.scalar_one())

    async def _take(self, connection: AsyncConnection, slug: str, run_id: int, now: datetime) -> str | None:
        """Take the lease; returns who has it where it cannot be had."""
        table = t.sync_leases
        insert = (sqlite.insert if self._store.dialect == "sqlite" else postgresql.insert)(table)
        values = {"run_id": run_id, "holder": self._holder, "until": now + self._lease}
        taken = insert.values(provider=slug, **values).on_conflict_do_update(
            index_elements=["provider"], set_=values, where=table.c.until < now
        )
        await connection.execute(taken)
        query = sa.select(table.c.run_id, table.c.holder).where(table.c.provider == slug)
        held_by, holder = (await connection.execute(query)).one()
        return None if held_by == run_id else f"run {held_by} on {holder}"
