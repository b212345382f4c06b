"""What an operator decides about a model: hide it, pin it, give it a price, note something. No sync undoes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from console.catalog import prices, read, rows, stored
from console.catalog.types import Model, Override, Price
from console.guard import Permit
from console.outcome import Refusal, not_found
from console.store.engine import Store
from console.store.tables import catalog as t

_NOTE_LIMIT = 1_000


async def set_override(permit: Permit, store: Store, model_id: int, override: Override, *, now: datetime) -> Model:
    """Put this in place of whatever was decided about the model before; returns the model as it is now.

    ``override.prices`` are USD per unit. An `Override` that says nothing removes the one that there is.

    Raises:
        Refusal: MODEL_NOT_FOUND, or BAD_OVERRIDE for a price that cannot be one.
    """
    if len(override.note) > _NOTE_LIMIT:
        raise Refusal(f"a note has at most {_NOTE_LIMIT} characters; nothing was changed", code="BAD_OVERRIDE")
    override = replace(override, actor=permit.actor, at=now)
    nothing = not (override.hidden or override.pinned or override.prices or override.note)
    async with store.writing() as connection:
        provider = await connection.scalar(sa.select(t.models.c.provider).where(t.models.c.id == model_id))
        if provider is None:
            raise not_found(f"there is no model {model_id}; nothing was changed", code="MODEL_NOT_FOUND")
        await stored.lock(connection, [provider])
        listed = (await stored.prices_of(connection, [model_id])).get(model_id, [])
        columns = rows.price_columns(_checked(listed, override))
        await connection.execute(sa.delete(t.model_overrides).where(t.model_overrides.c.model_id == model_id))
        if not nothing:
            await connection.execute(sa.insert(t.model_overrides).values(_row(model_id, override)))
        # What is filtered and sorted by is in ``models`` too.
        update = sa.update(t.models).where(t.models.c.id == model_id)
        await connection.execute(update.values(hidden=override.hidden, pinned=override.pinned, **columns))
    model = await read.get_model_by_number(store, model_id)
    if model is None:
        raise not_found(f"model {model_id} is gone", code="MODEL_NOT_FOUND")
    return model


def _row(model_id: int, override: Override) -> dict[str, object]:
    return {
        "model_id": model_id,
        "hidden": override.hidden,
        "pinned": override.pinned,
        "prices": {kind.value: prices.plain(usd) for kind, usd in override.prices.items()},
        "note": override.note,
        "actor": override.actor,
        "at": override.at,
    }


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
