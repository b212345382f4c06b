"""When each provider is due, in the database, for however many processes and hosts look after it.

A due provider is claimed before it is synced, for as long as the claim holds; a claim that its process did not renew is
anybody's. The number of a claim counts up, so that the late word of a process that was thought dead changes nothing.
The row ``*`` is the daily run of all.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from console.guard import Permit
from console.outcome import Refusal
from console.store.engine import Store
from console.store.tables.catalog import sync_schedules as table
from console.store.types import Moment
from console.sync import pace
from console.sync.pace import Due
from console.sync.providers.base import ProviderSpec
from console.sync.types import ProviderReport

ALL = "*"
DAILY_HOUR = 2  # UTC
SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(days=7)
_STAGGER = timedelta(minutes=10)  # the daily run, and the first one of a new schedule, are spread over this


@dataclass(frozen=True, slots=True)
class Claim:
    """A provider that is ours to sync now. ``number``: of this claim, see above; ``at``: when it was taken."""

    provider: str
    number: int
    at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """When a provider is due. ``interval``: an operator's, else its tier's; ``slowed`` times it between two looks."""

    provider: str
    interval: timedelta
    own_interval: bool
    slowed: int
    paused: bool
    next_run_at: datetime
    not_before: datetime | None
    failures: int
    reason: str
    running: bool
    changed_by: str


class Schedule:
    """Reads and moves the due times of some providers.

    Args:
        specs: the providers that are looked after; each gets a row when it is first seen
        clock: aware UTC
        chance: a number from 0 to 1, another one each time
    """

    def __init__(
        self,
        store: Store,
        specs: Sequence[ProviderSpec],
        *,
        clock: Callable[[], datetime],
        chance: Callable[[], float],
        lease: timedelta = timedelta(minutes=2),
        holder: str = "",
    ) -> None:
        self._store = store
        self._specs: Mapping[str, ProviderSpec] = {spec.slug: spec for spec in specs}
        self._clock = clock
        self._chance = chance
        self._lease = lease
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}"

    async def claim_due(self, permit: Permit, *, most: int) -> tuple[Claim, ...]:
        """Take what is due and free, the longest due first."""
        del permit
        now = self._clock()
        if not await self._anything_to_do(now):
            return ()
        async with self._store.writing() as connection:
            await self._enroll(connection, now)
            await self._start_the_day(connection, now)
            due = (
                sa.select(table.c.provider, table.c.claim)
                .where(table.c.provider.in_(self._specs), _is_due(now))
                .order_by(table.c.next_run_at, table.c.provider)
                .limit(most)
                .with_for_update(skip_locked=True)
            )
            claims = [Claim(row.provider, row.claim + 1, now) for row in await connection.execute(due)]
            for claim in claims:
                await connection.execute(
                    sa.update(table)
                    .where(table.c.provider == claim.provider)
                    .values(claim=claim.number, claimed_by=self._holder, claimed_until=now + self._lease)
                )
        return tuple(claims)

    async def renew(self, permit: Permit, claim: Claim) -> bool:
        """Say that a claim is being worked on; False where it is somebody else's by now."""
        del permit
        async with self._store.writing() as connection:
            held = _of(claim)
            update = sa.update(table).where(*held).values(claimed_until=self._clock() + self._lease)
            return bool((await connection.execute(update)).rowcount)

    async def release(self, permit: Permit, claim: Claim) -> None:
        """Give a claim back unused: the provider stays due."""
        del permit
        async with self._store.writing() as connection:
            update = sa.update(table).where(*_of(claim))
            await connection.execute(update.values(claimed_until=None, claimed_by=""))

    async def finished(self, permit: Permit, claim: Claim, report: ProviderReport) -> Due | None:
        """Say what came of it, which gives the next time. None: the claim was somebody else's by then."""
        del permit
        async with self._store.writing() as connection:
            query = sa.select(table).where(*_of(claim)).with_for_update()
            row = (await connection.execute(query)).mappings().first()
            if row is None:
                return None
            due = self._after(row, report, since=claim.at)
            free = {"claimed_until": None, "claimed_by": ""}
            await connection.execute(sa.update(table).where(*_of(claim)).values(**_columns(due), **free))
            return due

    async def learn(self, permit: Permit, reports: Sequence[ProviderReport], *, since: datetime | None = None) -> None:
        """Move the times of providers that somebody has synced by hand; a Retry-After is honoured then too.

        Only runs of the schedule slow it down: here a list that did not change, or was not had, is not counted.

        Args:
            since: when that run began
        """
        del permit
        now = self._clock()
        async with self._store.writing() as connection:
            await self._enroll(connection, now)
            for report in reports:
                if report.code == "SYNC_RUNNING":
                    continue
                mine = (table.c.provider == report.provider, table.c.claimed_until.is_(None))
                row = (await connection.execute(sa.select(table).where(*mine).with_for_update())).mappings().first()
                if row is not None:
                    due = self._after(row, report, since=since, by_hand=1)
                    await connection.execute(sa.update(table).where(*mine).values(**_columns(due)))

    async def pause(self, permit: Permit, provider: str) -> bool:
        """Leave a provider alone until it is resumed; one that is being synced is finished. False: it was paused."""
        return await self._edit(permit, provider, table.c.paused == sa.false(), paused=True)

    async def resume(self, permit: Permit, provider: str) -> bool:
        """Look after it again, from now on. False: it was not paused."""
        now = self._clock()
        values = {"paused": False, "next_run_at": _not_too_early(now), "failures": 0, "quiet": 0, "reason": "resumed"}
        return await self._edit(permit, provider, table.c.paused == sa.true(), **values)

    async def set_interval(self, permit: Permit, provider: str, interval: timedelta | None) -> bool:
        """Look at it so often; None: as often as its tier says. False: it already is so.

        Raises:
            Refusal: BAD_INTERVAL, for less than a minute or more than a week.
        """
        if interval is not None and not SHORTEST <= interval <= LONGEST:
            raise Refusal("an interval is from 1 minute to 7 days; nothing was changed", code="BAD_INTERVAL")
        seconds = None if interval is None else round(interval.total_seconds())
        wait = interval or self._specs[provider].tier.interval
        other = table.c.interval_s.is_distinct_from(seconds)
        values = {"interval_s": seconds, "quiet": 0, "reason": "the interval was changed"}
        return await self._edit(permit, provider, other, next_run_at=_not_too_early(self._clock() + wait), **values)

    async def request(self, permit: Permit, provider: str, reason: str) -> datetime | None:
        """Make it due now, or when it may be asked again. Returns when; None: it is paused."""
        now = self._clock()
        async with self._store.writing() as connection:
            await self._enroll(connection, now)
            mine = table.c.provider == provider
            row = (await connection.execute(sa.select(table).where(mine).with_for_update())).mappings().one()
            if row["paused"]:
                return None
            asked: datetime | None = row["not_before"]
            at = asked if asked is not None and asked > now else now
            due: datetime = min(at, row["next_run_at"])
            # Also where it is due already: a sync that is under way may have read the list as it was before.
            values = {"next_run_at": due, "reason": reason, "changed_by": permit.actor, "changed_at": now}
            await connection.execute(sa.update(table).where(mine).values(**values))
            return due

    async def entries(self) -> tuple[Entry, ...]:
        """Every provider that is looked after, the next one first. Writes nothing; what was never due is due now."""
        now = self._clock()
        async with self._store.reading() as connection:
            rows = {row["provider"]: row for row in (await connection.execute(sa.select(table))).mappings()}
        found = [self._entry(spec, rows.get(slug), now) for slug, spec in self._specs.items()]
        return tuple(sorted(found, key=lambda entry: (entry.paused, entry.next_run_at, entry.provider)))

    async def paused(self) -> frozenset[str]:
        """The providers that are left alone."""
        async with self._store.reading() as connection:
            query = sa.select(table.c.provider).where(table.c.paused == sa.true())
            return frozenset(await connection.scalars(query))

    def _entry(self, spec: ProviderSpec, row: sa.RowMapping | None, now: datetime) -> Entry:
        if row is None:
            return Entry(spec.slug, spec.tier.interval, False, 1, False, now, None, 0, "never synced", False, "")
        return Entry(
            spec.slug,
            self._interval(row),
            row["interval_s"] is not None,
            pace.slower(row["quiet"]),
            row["paused"],
            row["next_run_at"],
            row["not_before"],
            row["failures"],
            row["reason"],
            row["claimed_until"] is not None and row["claimed_until"] >= now,
            row["changed_by"],
        )

    def _interval(self, row: sa.RowMapping) -> timedelta:
        own = row["interval_s"]
        return self._specs[row["provider"]].tier.interval if own is None else timedelta(seconds=own)

    def _after(self, row: sa.RowMapping, report: ProviderReport, *, since: datetime | None, by_hand: int = 0) -> Due:
        """When it is due again.

        Args:
            since: when the run began; what was asked for later (`request`) may be about a newer list, and stays due
            by_hand: runs that do not count, for looking oneself is no reason to look less
        """
        now = self._clock()
        due = pace.after(
            report,
            interval=self._interval(row),
            quiet=max(row["quiet"] - by_hand, 0),
            failures=max(row["failures"] - by_hand, 0),
            now=now,
            chance=self._chance(),
        )
        asked: datetime | None = row["changed_at"]
        if since is None or asked is None or asked <= since or row["next_run_at"] > now:
            return due
        return replace(due, at=max(now, due.not_before or now), reason=row["reason"])

    async def _edit(self, permit: Permit, provider: str, condition: sa.ColumnElement[bool], **values: object) -> bool:
        now = self._clock()
        async with self._store.writing() as connection:
            await self._enroll(connection, now)
            update = sa.update(table).where(table.c.provider == provider, condition)
            changed = await connection.execute(update.values(**values, changed_by=permit.actor, changed_at=now))
            return bool(changed.rowcount)

    async def _anything_to_do(self, now: datetime) -> bool:
        """A look without a write: most of the time nothing is due, and the database has other writers."""
        async with self._store.reading() as connection:
            rows = (await connection.execute(sa.select(table.c.provider, _is_due(now)))).all()
        known = {provider for provider, _ in rows}
        return any(due for _, due in rows) or not known.issuperset((ALL, *self._specs))

    async def _enroll(self, connection: AsyncConnection, now: datetime) -> None:
        """A row for every provider that has none; they are spread, for a new schedule would ask all of them at once."""
        known = set(await connection.scalars(sa.select(table.c.provider)))
        insert = (sqlite.insert if self._store.dialect == "sqlite" else postgresql.insert)(table)
        for slug in (ALL, *self._specs):
            if slug not in known:
                at = _next_day(now) if slug == ALL else now + _STAGGER * self._chance()
                values = _columns(Due(at, "never synced")) | {"provider": slug, "paused": False}
                free = {"claim": 0, "claimed_by": "", "changed_by": ""}
                await connection.execute(insert.values(**values, **free).on_conflict_do_nothing())

    async def _start_the_day(self, connection: AsyncConnection, now: datetime) -> None:
        """Once a day everything is due, but for what asked to be left alone."""
        begun = sa.update(table).where(table.c.provider == ALL, table.c.next_run_at <= now)
        if not (await connection.execute(begun.values(next_run_at=_next_day(now)))).rowcount:
            return
        for slug in self._specs:
            at = now + _STAGGER * self._chance()
            later = sa.or_(table.c.not_before.is_(None), table.c.not_before <= at)
            mine = sa.update(table).where(table.c.provider == slug, table.c.next_run_at > at, later)
            await connection.execute(mine.values(next_run_at=at, reason="the daily run of all"))


def _is_due(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.paused == sa.false(),
        table.c.next_run_at <= now,
        sa.or_(table.c.claimed_until.is_(None), table.c.claimed_until < now),
    )


def _of(claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.provider == claim.provider, table.c.claim == claim.number, table.c.claimed_until.is_not(None)


def _not_too_early(at: datetime) -> sa.ColumnElement[datetime]:
    """``at``, or when the provider may be asked again, whichever is later."""
    moment = sa.literal(at, Moment)
    return sa.case((table.c.not_before > moment, table.c.not_before), else_=moment)


def _columns(due: Due) -> dict[str, object]:
    return {
        "next_run_at": due.at,
        "reason": due.reason,
        "quiet": due.quiet,
        "failures": due.failures,
        "not_before": due.not_before,
    }


def _next_day(now: datetime) -> datetime:
    at = now.replace(hour=DAILY_HOUR, minute=0, second=0, microsecond=0)
    return at if at > now else at + timedelta(days=1)
