"""Forgets what is older than it is kept: changes, decided held changes, runs with their rejected records, webhooks.

What the next sync needs stays: the last run of each provider, and the last one that was in order. A model, its override
and what still waits for a decision are never forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from console.guard import Permit
from console.store.engine import Store
from console.store.tables import catalog as t
from console.sync.types import HeldState, ProviderOutcome, RunState


@dataclass(frozen=True, slots=True)
class Keep:
    """How long."""

    history: timedelta = timedelta(days=365)
    runs: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows went; rejected records go with their run and are not counted."""

    changes: int
    held: int
    runs: int
    webhooks: int


async def forget(permit: Permit, store: Store, keep: Keep, *, now: datetime) -> Forgotten:
    """Delete what is older than ``keep`` says.

    Args:
        permit: of the guard; forgetting is a write
    """
    del permit
    history, runs = now - keep.history, now - keep.runs
    async with store.writing() as connection:
        changes = t.model_changes.c
        providers = await connection.scalars(sa.select(changes.provider).distinct())
        gone = 0
        for provider in providers.all():  # one by one: that is what the index is in order of
            old = sa.delete(t.model_changes).where(changes.provider == provider, changes.at < history)
            gone += await _deleted(connection, old)
        held = t.held_changes.c
        decided = sa.delete(t.held_changes).where(held.state != HeldState.OPEN.value, held.decided_at < history)
        return Forgotten(
            gone,
            await _deleted(connection, decided),
            await _deleted(connection, _old_runs(runs)),
            await _deleted(connection, sa.delete(t.webhook_events).where(t.webhook_events.c.received_at < runs)),
        )


def _old_runs(before: datetime) -> sa.Delete:
    words, table = t.sync_run_providers.c, t.sync_runs
    good = [outcome.value for outcome in ProviderOutcome if outcome.good]
    last = sa.select(sa.func.max(words.run_id)).group_by(words.provider)
    listed = last.where(words.outcome.in_([*good, ProviderOutcome.SUSPICIOUS.value]))
    kept = sa.union(last, listed, last.where(words.outcome.in_(good)))
    return sa.delete(table).where(
        table.c.started_at < before, table.c.state != RunState.RUNNING.value, table.c.id.not_in(kept)
    )


async def _deleted(connection: AsyncConnection, statement: sa.Delete) -> int:
    return int((await connection.execute(statement)).rowcount)
