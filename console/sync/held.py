"""Changes that were held back, and what an operator decides about them.

accept  a price is written at once, into the catalog and its history; of a list that shrank it is noted that its new
        size is in order, and the next sync takes it over
refuse  the catalog stays; the same proposal is not brought up again, another one is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from console.catalog import prices, rows, stored
from console.catalog.types import ChangeKind, ModelChange, Per, Price, PriceKind, PriceState
from console.catalog.write import CatalogWriter, Entry
from console.guard import Permit
from console.outcome import Ending, Outcome, Refusal, conflict, counted, not_found
from console.store.engine import Store
from console.store.tables import catalog as t
from console.sync.plan import LIST_FIELD, stored_held
from console.sync.types import Held, HeldState


async def list_held(store: Store, *, provider: str = "") -> tuple[Held, ...]:
    """What waits for a decision, the oldest first; of all providers where none is named."""
    table = t.held_changes
    query = sa.select(table).where(table.c.state == HeldState.OPEN.value).order_by(table.c.id)
    if provider:
        query = query.where(table.c.provider == provider)
    async with store.reading() as connection:
        return tuple(stored_held(row) for row in (await connection.execute(query)).mappings())


async def accept(permit: Permit, store: Store, ids: Sequence[int], *, now: datetime) -> Outcome:
    """Let these changes through, all of them or none.

    Raises:
        Refusal: HELD_NOT_FOUND, HELD_DECIDED (already), HELD_OUTDATED (the catalog has moved on meanwhile).
    """
    async with store.writing() as connection:
        found = await _open(connection, ids)
        for held, model_id in found:
            if held.field == LIST_FIELD:
                await _accept_list(connection, held)
            else:
                await _accept_price(permit, connection, held, model_id, now)
        await _decide(connection, permit, ids, HeldState.ACCEPTED, now)
    lists = [held.provider for held, _ in found if held.field == LIST_FIELD]
    return Outcome(
        Ending.DONE,
        f"{counted(len(found), 'held change')} accepted"
        + ("; the next sync takes the shorter list over" if lists else ""),
        proof=tuple(_shown(held) for held, _ in found),
        then=f"modeldeck sync run {' '.join(lists)}" if lists else "",
    )


async def refuse(permit: Permit, store: Store, ids: Sequence[int], *, now: datetime) -> Outcome:
    """Keep the catalog as it is. Raises as `accept` does, but for HELD_OUTDATED."""
    async with store.writing() as connection:
        found = await _open(connection, ids)
        await _decide(connection, permit, ids, HeldState.REFUSED, now)
    return Outcome(
        Ending.DONE,
        f"{counted(len(found), 'held change')} refused; the catalog stays as it is",
        proof=tuple(_shown(held) for held, _ in found),
    )


async def _open(connection: AsyncConnection, ids: Sequence[int]) -> list[tuple[Held, int | None]]:
    """The held changes with these ids, all open, with the ids of their models."""
    if not ids:
        raise Refusal("no held change was named; nothing was changed", code="BAD_REQUEST", status=400)
    table = t.held_changes
    providers = await connection.scalars(sa.select(table.c.provider).where(table.c.id.in_(ids)).distinct())
    await stored.lock(connection, providers.all())  # before the rows, in the order in which a sync locks
    query = sa.select(table).where(table.c.id.in_(ids)).order_by(table.c.id).with_for_update()
    found = [(stored_held(row), row["model_id"]) for row in (await connection.execute(query)).mappings()]
    if absent := set(ids) - {held.id for held, _ in found}:
        raise not_found(f"there is no held change {min(absent)}; nothing was changed", code="HELD_NOT_FOUND")
    for held, _ in found:
        if held.state is not HeldState.OPEN:
            raise conflict(f"held change {held.id} is already {held.state}; nothing was changed", code="HELD_DECIDED")
    return found


async def _accept_list(connection: AsyncConnection, held: Held) -> None:
    """The next list is compared with the size that was accepted, and has to be fetched in full."""
    table = t.provider_states
    update = sa.update(table).where(table.c.provider == held.provider)
    await connection.execute(update.values(listed=held.proposed, etag=None, last_modified=None))


async def _accept_price(
    permit: Permit, connection: AsyncConnection, held: Held, model_id: int | None, now: datetime
) -> None:
    before = (await stored.listings(connection, [model_id])).get(model_id) if model_id is not None else None
    if before is None or model_id is None or rows.fields(before).get(held.field) != held.before:
        raise conflict(
            f"{_shown(held)}: the catalog has moved on since; nothing was changed",
            code="HELD_OUTDATED",
            then=f"modeldeck sync run {held.provider}",
        )
    price = _proposed(held)
    after = replace(before, prices=tuple(price if old.kind is price.kind else old for old in before.prices))
    override = (await stored.overrides(connection, t.models.c.id == model_id)).get(model_id)
    writer = CatalogWriter(permit, connection, held.provider, now=now, run_id=None)
    await writer.reprice(model_id, Entry(after, rows.content_hash(after)), override)
    change = ModelChange(
        held.provider, held.native_id, ChangeKind.CHANGED, held.field, held.before, prices.as_json(price)
    )
    await writer.record([change], {held.native_id: model_id})


def _proposed(held: Held) -> Price:
    said = held.proposed
    usd = Decimal(said["usd"]) if "usd" in said else None
    kind = PriceKind(held.field.removeprefix("price."))
    return Price(kind, PriceState(said["state"]), usd, Per(said["per"]), said["raw"], said["raw_unit"])


async def _decide(
    connection: AsyncConnection, permit: Permit, ids: Sequence[int], state: HeldState, now: datetime
) -> None:
    update = sa.update(t.held_changes).where(t.held_changes.c.id.in_(ids))
    await connection.execute(update.values(state=state.value, decided_at=now, decided_by=permit.actor))


def _shown(held: Held) -> str:
    return f"{held.provider}/{held.native_id}: {held.reason}" if held.native_id else f"{held.provider}: {held.reason}"
