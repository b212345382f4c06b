"""Writes one provider's part of the catalog, inside one transaction of the caller.

Rows come and go in chunks. What an operator decided (`hidden`, `pinned`, the overrides) is in no statement here, so no
sync can undo it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from console.catalog import rows, stored
from console.catalog.bulk import Bulk
from console.catalog.types import Listing, ModelChange, Override
from console.guard import Permit
from console.store.tables import catalog as t
from console.store.types import Moment

_FIRST_SEEN = ("first_seen_at", "first_seen_run")


@dataclass(frozen=True, slots=True)
class Entry:
    """A listing and its content hash (`rows.content_hash`)."""

    listing: Listing
    digest: str


class CatalogWriter:
    """What one run, or one operator's decision, changes of a provider's part.

    Args:
        permit: of the guard; names who is written into the history
        connection: in a writing transaction of the caller, who commits it or not
        run_id: the run that writes, None for an operator's decision
    """

    def __init__(
        self, permit: Permit, connection: AsyncConnection, provider: str, *, now: datetime, run_id: int | None
    ) -> None:
        self._permit = permit
        self._connection = connection
        self._provider = provider
        self._now = now
        self._run_id = run_id
        self._insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert

    async def describe_provider(self, facts: dict[str, Any]) -> None:
        """Insert the provider's row, or update it where ``facts`` (its columns) say something else; locks it."""
        table = t.providers
        await stored.lock(self._connection, [self._provider])
        query = sa.select(table).where(table.c.slug == self._provider)
        row = (await self._connection.execute(query)).mappings().first()
        if row is None:
            values = {"slug": self._provider, **facts, "created_at": self._now, "updated_at": self._now}
            await self._connection.execute(sa.insert(table).values(values))
        elif any(row[name] != value for name, value in facts.items()):
            update = sa.update(table).where(table.c.slug == self._provider)
            await self._connection.execute(update.values(**facts, updated_at=self._now))

    async def upsert(self, entries: Sequence[Entry], overrides: dict[int, Override], ids: dict[str, int]) -> None:
        """Insert or replace these models and their prices, in chunks.

        Args:
            overrides: by model id; their prices go into the columns that are sorted by
            ids: of the models that exist; those of the new ones are added to it
        """
        if not entries:
            return
        old = [ids[e.listing.native_id] for e in entries if e.listing.native_id in ids]
        models = Bulk(self._connection, t.models, self._upsert_models())
        for chunk in stored.chunks(list(entries)):
            await models.run([self._row(entry, overrides, ids) for entry in chunk])
        if len(old) < len(entries):
            ids.update(await self._ids())
        for outdated in stored.chunks(old):
            await self._connection.execute(sa.delete(t.model_prices).where(t.model_prices.c.model_id.in_(outdated)))
        prices = self._price_insert()
        for chunk in stored.chunks(list(entries)):
            await prices.run(
                [rows.price_row(ids[e.listing.native_id], price) for e in chunk for price in e.listing.prices]
            )

    async def reprice(self, model_id: int, entry: Entry, override: Override | None) -> None:
        """Give one model the prices of ``entry``; whether it is in the list is not touched."""
        columns = rows.price_columns(rows.effective_prices(entry.listing.prices, override))
        update = sa.update(t.models).where(t.models.c.id == model_id)
        told = {"content_hash": entry.digest, "changed_at": self._now, "changed_run": self._run_id}
        await self._connection.execute(update.values(**columns, **told))
        await self._connection.execute(sa.delete(t.model_prices).where(t.model_prices.c.model_id == model_id))
        await self._price_insert().run([rows.price_row(model_id, price) for price in entry.listing.prices])

    async def welcome_back(self, ids: Sequence[int]) -> None:
        """These models are in the list again."""
        values: dict[str, Any] = {"missing_runs": 0, "last_seen_at": None, "retired_at": None}
        for chunk in stored.chunks(list(ids)):
            await self._connection.execute(sa.update(t.models).where(t.models.c.id.in_(chunk)).values(**values))

    async def mark_missing(self, ids: Sequence[int], *, last_seen: datetime, retire: Iterable[int]) -> None:
        """One more list did not have these models; those in ``retire`` are retired with it."""
        columns, retired = t.models.c, list(retire)
        for chunk in stored.chunks(list(ids)):
            await self._connection.execute(
                sa.update(t.models)
                .where(columns.id.in_(chunk))
                .values(
                    missing_runs=columns.missing_runs + 1,
                    last_seen_at=sa.func.coalesce(columns.last_seen_at, sa.literal(last_seen, Moment)),
                )
            )
        for chunk in stored.chunks(retired):
            await self._connection.execute(
                sa.update(t.models).where(columns.id.in_(chunk)).values(retired_at=self._now)
            )

    async def record(self, changes: Sequence[ModelChange], ids: dict[str, int]) -> None:
        """Write these changes into the history."""
        for chunk in stored.chunks(list(changes)):
            await self._connection.execute(
                sa.insert(t.model_changes),
                [
                    {
                        "run_id": self._run_id,
                        "provider": self._provider,
                        "model_id": ids.get(change.native_id),
                        "native_id": change.native_id,
                        "at": self._now,
                        "kind": change.kind.value,
                        "field": change.field,
                        "before": change.before,
                        "after": change.after,
                        "actor": self._permit.actor,
                    }
                    for change in chunk
                ],
            )

    async def remember(self, state: stored.State) -> None:
        """Keep what the next fetch asks with; writes only where it is something new."""
        if await stored.state(self._connection, self._provider) == state:
            return
        values = {
            "etag": state.etag,
            "last_modified": state.last_modified,
            "list_url": state.list_url,
            "revision": state.revision,
            "listed": state.listed,
        }
        statement = self._insert(t.provider_states).values(provider=self._provider, **values)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["provider"], set_=values))

    async def present(self) -> int:
        """How many models of the provider the catalog now holds as present in its list."""
        columns = t.models.c
        query = sa.select(sa.func.count()).where(columns.provider == self._provider, columns.missing_runs == 0)
        return int(await self._connection.scalar(query) or 0)

    def _row(self, entry: Entry, overrides: dict[int, Override], ids: dict[str, int]) -> dict[str, Any]:
        override = overrides.get(ids.get(entry.listing.native_id, 0))
        return {
            **rows.model_row(self._provider, entry.listing, entry.digest, override),
            "first_seen_at": self._now,
            "first_seen_run": self._run_id,
            "changed_at": self._now,
            "changed_run": self._run_id,
            "missing_runs": 0,
            "last_seen_at": None,
            "retired_at": None,
        }

    def _price_insert(self) -> Bulk:
        return Bulk(self._connection, t.model_prices, sa.insert(t.model_prices))

    def _upsert_models(self) -> sa.Insert:
        sample = self._row(Entry(Listing(native_id="", canonical_key="", name=""), ""), {}, {})
        statement = self._insert(t.models).values({name: sa.bindparam(name) for name in sample})
        replaced = {
            name: statement.excluded[name] for name in sample if name not in ("provider", "native_id", *_FIRST_SEEN)
        }
        return statement.on_conflict_do_update(index_elements=["provider", "native_id"], set_=replaced)

    async def _ids(self) -> dict[str, int]:
        """The ids of all models of the provider: one query is quicker than one for each chunk of new ones."""
        query = sa.select(t.models.c.native_id, t.models.c.id).where(t.models.c.provider == self._provider)
        return {row.native_id: row.id for row in await self._connection.execute(query)}
