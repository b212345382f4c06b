"""Reads what the index keeps from the database, in pieces, so that neither memory nor the loop is filled at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import sqlalchemy as sa

from console.catalog import stored
from console.catalog.index import Row
from console.store.engine import Store
from console.store.tables.catalog import models

_c = models.c
_PIECE = 2_000
# In the order of `Row`. JSON and times are taken as they are stored: nothing is decoded for 100,000 rows.
_COLUMNS = (
    _c.id,
    _c.provider,
    _c.native_id,
    _c.canonical_key,
    _c.name,
    _c.author,
    _c.family,
    _c.kind,
    _c.context_tokens,
    _c.max_output_tokens,
    sa.type_coerce(_c.input_modalities, sa.Text),
    sa.type_coerce(_c.output_modalities, sa.Text),
    _c.streaming,
    _c.tools,
    _c.vision,
    _c.json_mode,
    _c.reasoning,
    _c.deprecated,
    _c.price_state,
    _c.price_in,
    _c.price_out,
    _c.price_image,
    sa.type_coerce(_c.changed_at, sa.BigInteger),
    _c.missing_runs > 0,
    _c.retired_at.is_not(None),
    _c.hidden,
    _c.pinned,
)


async def rows(store: Store, *, provider: str | None = None) -> AsyncIterator[list[Row]]:
    """Every model, or those of one provider, by id, some thousands at a time.

    Each piece is a transaction of its own: a row that changes meanwhile is in one state or the other, and whoever
    changes it says so afterwards.
    """
    where = [_c.provider == provider] if provider is not None else []
    after = 0
    while True:
        query = sa.select(*_COLUMNS).where(*where, _c.id > after).order_by(_c.id).limit(_PIECE)
        async with store.reading() as connection:
            piece = [Row._make(row) for row in await connection.execute(query)]
        if piece:
            yield piece
        if len(piece) < _PIECE:
            return
        after = piece[-1].id


async def rows_of(store: Store, identifiers: Collection[int]) -> list[Row]:
    """The models with these row ids, as far as they are there."""
    found: list[Row] = []
    async with store.reading() as connection:
        for some in stored.chunks(sorted(identifiers)):
            query = sa.select(*_COLUMNS).where(_c.id.in_(some)).order_by(_c.id)
            found += [Row._make(row) for row in await connection.execute(query)]
    return found
