"""What the runs did: the last word on each provider, the runs, the changes, the rejected records. Reads only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from console.catalog.types import ChangeKind, ModelChange
from console.outcome import not_found
from console.store.engine import Store
from console.store.tables import catalog as t
from console.sync.types import Counts, ProviderOutcome, ProviderReport, Reject, RunState

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it was written down. ``alive_until``: a running one that is past it has lost its process."""

    id: int
    state: RunState
    actor: str
    via: str
    asked: tuple[str, ...]
    started_at: datetime
    finished_at: datetime | None
    alive_until: datetime
    summary: str


@dataclass(frozen=True, slots=True)
class LastWord:
    """What came of a provider's last sync, and when its list was last in order.

    report   of the last run that asked it; its changes and rejects are read by `changes` and `rejects`
    good_at  None: never yet
    """

    report: ProviderReport
    run_id: int
    finished_at: datetime
    good_at: datetime | None


@dataclass(frozen=True, slots=True)
class Passed:
    """What one run came to at one provider, in short."""

    run_id: int
    finished_at: datetime
    outcome: ProviderOutcome
    written: int
    milliseconds: int


async def runs(store: Store, *, limit: int = 50) -> tuple[Run, ...]:
    """The newest runs first."""
    table = t.sync_runs
    query = sa.select(table).order_by(table.c.id.desc()).limit(min(limit, _MOST))
    async with store.reading() as connection:
        return tuple(
            Run(
                row["id"],
                RunState(row["state"]),
                row["actor"],
                row["via"],
                tuple(row["asked"]),
                row["started_at"],
                row["finished_at"],
                row["alive_until"],
                row["summary"],
            )
            for row in (await connection.execute(query)).mappings()
        )


async def refuse_unknown(store: Store, run_id: int) -> None:
    """Raise `Refusal` (RUN_NOT_FOUND) where no such run is known. What it changed is remembered longer than the run."""
    async with store.reading() as connection:
        for column in (t.sync_runs.c.id, t.model_changes.c.run_id):
            if await connection.scalar(sa.select(column).where(column == run_id).limit(1)) is not None:
                return
    raise not_found(f"there is no run {run_id}", code="RUN_NOT_FOUND", then="modeldeck sync history")


async def last_words(store: Store) -> dict[str, LastWord]:
    """By provider; those that were never asked are not in it."""
    table = t.sync_run_providers
    newest = sa.select(table.c.provider, sa.func.max(table.c.run_id).label("run_id")).group_by(table.c.provider)
    last = newest.subquery()
    good = [outcome.value for outcome in ProviderOutcome if outcome.good]
    in_order = sa.select(table.c.provider, sa.func.max(table.c.finished_at).label("good_at"))
    seen = in_order.where(table.c.outcome.in_(good)).group_by(table.c.provider).subquery()
    query = (
        sa.select(table, seen.c.good_at)
        .join(last, (last.c.provider == table.c.provider) & (last.c.run_id == table.c.run_id))
        .outerjoin(seen, seen.c.provider == table.c.provider)
    )
    async with store.reading() as connection:
        return {
            row["provider"]: LastWord(_report(row), row["run_id"], row["finished_at"], row["good_at"])
            for row in (await connection.execute(query)).mappings()
        }


async def recent(store: Store, providers: Sequence[str], *, limit: int) -> dict[str, tuple[Passed, ...]]:
    """The last runs of each of these providers, the oldest first."""
    columns = t.sync_run_providers.c

    def last(provider: str) -> sa.Select[tuple[object, ...]]:
        # One look into the index for each: a window over all that is kept would read all that is kept.
        query = (
            sa.select(
                columns.provider, columns.run_id, columns.finished_at, columns.outcome, columns.written,
                columns.milliseconds,
            )
            .where(columns.provider == provider)
            .order_by(columns.finished_at.desc())
            .limit(limit)
        )  # fmt: skip
        return sa.select(query.subquery())

    found: dict[str, list[Passed]] = {provider: [] for provider in providers}
    if not found:
        return {}
    async with store.reading() as connection:
        for row in await connection.execute(sa.union_all(*[last(provider) for provider in found])):
            outcome = ProviderOutcome(row.outcome)
            found[row.provider].append(Passed(row.run_id, row.finished_at, outcome, row.written, row.milliseconds))
    return {slug: tuple(sorted(passed, key=lambda one: one.finished_at)) for slug, passed in found.items()}


async def last_changes(store: Store, providers: Sequence[str]) -> dict[str, datetime]:
    """When something last changed at each of these providers; those where nothing ever did are not in it."""
    table = t.model_changes
    if not providers:
        return {}
    newest = [
        sa.select(
            sa.literal(provider).label("provider"),
            sa.select(sa.func.max(table.c.at)).where(table.c.provider == provider).scalar_subquery().label("at"),
        )
        for provider in providers
    ]
    async with store.reading() as connection:
        return {row.provider: row.at for row in await connection.execute(sa.union_all(*newest)) if row.at is not None}


async def provider_reports(store: Store, run_id: int) -> tuple[ProviderReport, ...]:
    """What a run said of each provider, without changes and rejects."""
    table = t.sync_run_providers
    query = sa.select(table).where(table.c.run_id == run_id).order_by(table.c.provider)
    async with store.reading() as connection:
        return tuple(_report(row) for row in (await connection.execute(query)).mappings())


async def changes(
    store: Store,
    *,
    run_id: int | None = None,
    provider: str = "",
    model_id: int | None = None,
    field: str = "",
    since: datetime | None = None,
    limit: int = 500,
) -> tuple[ModelChange, ...]:
    """The newest changes first: of a run ("what did it write"), a provider since a time ("what changed at groq this
    week"), or a field of a model ("when did this price change"). The conditions all hold."""
    table = t.model_changes
    query = sa.select(table).order_by(table.c.at.desc(), table.c.id.desc()).limit(min(limit, _MOST))
    if run_id is not None:
        query = query.where(table.c.run_id == run_id)
    if provider:
        query = query.where(table.c.provider == provider)
    if model_id is not None:
        query = query.where(table.c.model_id == model_id)
    if field:
        query = query.where(table.c.field == field)
    if since is not None:
        query = query.where(table.c.at >= since)
    async with store.reading() as connection:
        return tuple(
            ModelChange(
                row["provider"],
                row["native_id"],
                ChangeKind(row["kind"]),
                row["field"],
                row["before"],
                row["after"],
                row["at"],
                row["run_id"],
                row["actor"],
            )
            for row in (await connection.execute(query)).mappings()
        )


async def rejects(store: Store, run_id: int, *, provider: str = "") -> tuple[Reject, ...]:
    """The records that a run left out, with the reason, as far as they were kept."""
    table = t.sync_rejects
    query = sa.select(table).where(table.c.run_id == run_id).order_by(table.c.provider, table.c.id)
    if provider:
        query = query.where(table.c.provider == provider)
    async with store.reading() as connection:
        return tuple(
            Reject(row["position"], row["native_id"], row["reason"], row["record"], row["costs"])
            for row in (await connection.execute(query)).mappings()
        )


def _report(row: sa.RowMapping) -> ProviderReport:
    names = [item.name for item in dataclasses.fields(Counts)]
    return ProviderReport(
        row["provider"],
        ProviderOutcome(row["outcome"]),
        row["sentence"],
        row["code"],
        Counts(**{name: row[name] for name in names}),
        row["baseline"],
        body_bytes=row["body_bytes"],
        milliseconds=row["milliseconds"],
        retry_at=row["retry_at"],
    )
