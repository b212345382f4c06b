"""Carries out a `Plan`, in one transaction of the caller, and looks whether it is true afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from console.catalog import stored
from console.catalog.write import CatalogWriter
from console.guard import Permit
from console.outcome import Failure
from console.store.tables import catalog as t
from console.sync.plan import Plan
from console.sync.providers.base import ProviderSpec
from console.sync.types import Held, HeldState


def provider_facts(spec: ProviderSpec) -> dict[str, Any]:
    """The columns of ``providers`` that a declaration fills."""
    return {
        "name": spec.name,
        "description": spec.description,
        "list_url": spec.list_url(),
        "api_url": spec.api_url,
        "site_url": spec.site_url,
        "credential_env": spec.auth.env,
        "tier": spec.tier.value,
        "capabilities": list(spec.capabilities),
    }


async def carry_out(
    permit: Permit, connection: AsyncConnection, spec: ProviderSpec, plan: Plan, *, run_id: int, now: datetime
) -> tuple[Held, ...]:
    """Write everything that the plan says; returns what is held, with its ids.

    Raises:
        Failure: NOT_PROVEN, where the catalog does not hold what the list has after all; to be rolled back.
    """
    writer = CatalogWriter(permit, connection, spec.slug, now=now, run_id=run_id)
    overrides = await stored.overrides(connection, t.models.c.provider == spec.slug) if plan.write else {}
    await writer.upsert(plan.write, overrides, plan.ids)
    await writer.welcome_back(plan.returned)
    await writer.mark_missing(plan.missing, last_seen=plan.last_seen or now, retire=plan.retire)
    await writer.record(plan.changes, plan.ids)
    held = await _hold(connection, plan, run_id, now)
    if plan.remember is not None:
        await writer.remember(plan.remember)
    if plan.present is not None and (found := await writer.present()) != plan.present:
        raise Failure(
            f"the list of {spec.name} has {plan.present} models and the catalog holds {found} of them; "
            "everything was rolled back",
            code="NOT_PROVEN",
        )
    return held


async def _hold(connection: AsyncConnection, plan: Plan, run_id: int, now: datetime) -> tuple[Held, ...]:
    table = t.held_changes
    for chunk in stored.chunks(plan.withdraw):
        update = sa.update(table).where(table.c.id.in_(chunk))
        await connection.execute(update.values(state=HeldState.WITHDRAWN.value, decided_at=now))
    ids: dict[tuple[str, str], int] = {}
    for held in plan.hold:
        values = _held_row(held, plan.ids, run_id, now)
        result = await connection.execute(sa.insert(table).values(values).returning(table.c.id))
        ids[held.native_id, held.field] = result.scalar_one()
    return tuple(_numbered(plan.held, ids))


def _held_row(held: Held, ids: dict[str, int], run_id: int, now: datetime) -> dict[str, Any]:
    return {
        "provider": held.provider,
        "model_id": ids.get(held.native_id),
        "native_id": held.native_id,
        "field": held.field,
        "before": held.before,
        "proposed": held.proposed,
        "reason": held.reason,
        "state": HeldState.OPEN.value,
        "run_id": run_id,
        "created_at": now,
    }


def _numbered(held: Sequence[Held], ids: dict[tuple[str, str], int]) -> list[Held]:

    return [replace(h, id=h.id or ids.get((h.native_id, h.field), 0)) for h in held]
