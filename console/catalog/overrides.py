"""What an operator decides about a model: hide it, pin it, give it a price, note something. No sync undoes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from console.catalog import prices, read, rows, stored
from console.catalog.types import ChangeKind, Model, ModelChange, Override, Price
from console.catalog.write import CatalogWriter
from console.guard import Permit
from console.outcome import Refusal, not_found
from console.store.engine import Store
from console.store.tables import catalog as t

_NOTE_LIMIT = 1_000


async def set_override(permit: Permit, store: Store, model_id: int, override: Override, *, now: datetime) -> Model:
    """Put this in place of whatever was decided about the model before; returns the model as it is now.

    ``override.prices`` are USD per unit. An `Override` that says nothing removes the one that there is. Each decision
    that differs from the one before is in the history, with who made it.

    Raises:
        Refusal: MODEL_NOT_FOUND, or BAD_OVERRIDE for a price that cannot be one.
    """
    return await amend(permit, store, model_id, lambda _: override, now=now)


async def amend(
    permit: Permit, store: Store, model_id: int, change: Callable[[Override], Override], *, now: datetime
) -> Model:
    """Put what ``change`` makes of the decisions about a model in their place. Raises as `set_override` does."""
    async with store.writing() as connection:
        query = sa.select(t.models.c.provider, t.models.c.native_id).where(t.models.c.id == model_id)
        found = (await connection.execute(query)).one_or_none()
        if found is None:
            raise not_found(f"there is no model {model_id}; nothing was changed", code="MODEL_NOT_FOUND")
        provider, native_id = found
        await stored.lock(connection, [provider])
        before = (await stored.overrides(connection, t.models.c.id == model_id)).get(model_id, Override())
        override = replace(change(before), actor=permit.actor, at=now)
        if len(override.note) > _NOTE_LIMIT:
            raise Refusal(f"a note has at most {_NOTE_LIMIT} characters; nothing was changed", code="BAD_OVERRIDE")
        nothing = not (override.hidden or override.pinned or override.prices or override.note)
        listed = (await stored.prices_of(connection, [model_id])).get(model_id, [])
        columns = rows.price_columns(_checked(listed, override))
        await connection.execute(sa.delete(t.model_overrides).where(t.model_overrides.c.model_id == model_id))
        if not nothing:
            await connection.execute(sa.insert(t.model_overrides).values(_row(model_id, override)))
        # What is filtered and sorted by is in ``models`` too.
        update = sa.update(t.models).where(t.models.c.id == model_id)
        await connection.execute(update.values(hidden=override.hidden, pinned=override.pinned, **columns))
        changes = [
            ModelChange(provider, native_id, ChangeKind.CHANGED, f"override.{name}", old, new)
            for name, old, new in _differences(before, override)
        ]
        writer = CatalogWriter(permit, connection, provider, now=now, run_id=None)
        await writer.record(changes, {native_id: model_id})
    model = await read.get_model_by_number(store, model_id)
    if model is None:
        raise not_found(f"model {model_id} is gone", code="MODEL_NOT_FOUND")
    return model


def _differences(before: Override, after: Override) -> list[tuple[str, Any, Any]]:
    """What is decided otherwise: name, before, after."""
    old, new = _decided(before), _decided(after)
    return [(name, old[name], new[name]) for name in old if old[name] != new[name]]


def _decided(override: Override) -> dict[str, Any]:
    return {
        "hidden": override.hidden,
        "pinned": override.pinned,
        "prices": {kind.value: prices.plain(usd) for kind, usd in sorted(override.prices.items())},
        "note": override.note,
    }


def _row(model_id: int, override: Override) -> dict[str, object]:
    return {"model_id": model_id, **_decided(override), "actor": override.actor, "at": override.at}


def _checked(listed: Iterable[Price], override: Override) -> tuple[Price, ...]:
    """The effective prices; refuses an amount that cannot be a price of its unit."""
    try:
        effective = rows.effective_prices(listed, override)
        for price in effective:
            if price.source == "operator" and price.usd:
                prices.refuse_incredible(price.usd, price.per)
    except (ValueError, ArithmeticError) as problem:  # NotAPrice is a ValueError; so is what `Price` refuses
        raise Refusal(f"{problem}; nothing was changed", code="BAD_OVERRIDE") from problem
    return effective
