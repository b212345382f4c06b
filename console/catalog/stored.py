"""What the catalog holds of one provider, as the next list of it is compared with. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from console.catalog import rows
from console.catalog.types import Listing, Override, Price
from console.store.tables import catalog as t

T = TypeVar("T")
CHUNK = 500  # rows in one statement: far below what either database takes, and a good place to stop


@dataclass(frozen=True, slots=True)
class Known:
    """What is needed of a stored model to tell whether a list changes it."""

    id: int
    content_hash: str
    missing_runs: int
    retired: bool
    pinned: bool


@dataclass(frozen=True, slots=True)
class State:
    """What the last list that was taken over left behind. ``listed``: how many models it had."""

    etag: str | None
    last_modified: str | None
    list_url: str
    revision: str
    listed: int


async def known(connection: AsyncConnection, provider: str) -> dict[str, Known]:
    """Every model of a provider by its native id, retired ones too."""
    columns = t.models.c
    query = sa.select(
        columns.native_id,
        columns.id,
        columns.content_hash,
        columns.missing_runs,
        columns.retired_at.is_not(None),
        columns.pinned,
    ).where(columns.provider == provider)
    return {
        native_id: Known(model_id, digest, missing, bool(retired), pinned)
        for native_id, model_id, digest, missing, retired, pinned in await connection.execute(query)
    }


async def state(connection: AsyncConnection, provider: str) -> State | None:
    """None before the first list of this provider."""
    query = sa.select(t.provider_states).where(t.provider_states.c.provider == provider)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        return None
    return State(row["etag"], row["last_modified"], row["list_url"], row["revision"], row["listed"])


async def listings(connection: AsyncConnection, ids: Iterable[int]) -> dict[int, Listing]:
    """What the provider last said about these models, without the operator's overrides."""
    found: dict[int, Listing] = {}
    for chunk in chunks(list(ids)):
        listed = await prices_of(connection, chunk)
        query = sa.select(t.models).where(t.models.c.id.in_(chunk))
        for row in (await connection.execute(query)).mappings():
            found[row["id"]] = rows.stored_listing(row, listed.get(row["id"], ()))
    return found


async def prices_of(connection: AsyncConnection, ids: list[int]) -> Mapping[int, list[Price]]:
    """The provider's prices by model id. ``ids``: at most `CHUNK`."""
    found: dict[int, list[Price]] = defaultdict(list)
    query = sa.select(t.model_prices).where(t.model_prices.c.model_id.in_(ids)).order_by(t.model_prices.c.kind)
    for row in (await connection.execute(query)).mappings():
        found[row["model_id"]].append(rows.stored_price(row))
    return found


async def overrides(connection: AsyncConnection, *conditions: sa.ColumnElement[bool]) -> dict[int, Override]:
    """The operators' overrides by model id; conditions may name columns of ``models``."""
    query = sa.select(t.model_overrides).join(t.models).where(*conditions)
    return {row["model_id"]: rows.stored_override(row) for row in (await connection.execute(query)).mappings()}


async def lock(connection: AsyncConnection, providers: Iterable[str]) -> None:
    """Keep everybody else from writing these providers' models until the transaction ends.

    On SQLite a writing transaction has the whole database; on PostgreSQL the providers' rows stand for their models.
    """
    slugs = t.providers.c.slug
    await connection.execute(
        sa.select(slugs).where(slugs.in_(sorted(set(providers)))).order_by(slugs).with_for_update()
    )


def chunks(items: list[T]) -> Iterable[list[T]]:
    """The list in pieces of `CHUNK`."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
