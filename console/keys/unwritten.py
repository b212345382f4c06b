"""The keys whose digests could not be written to their tenant's Secret: remembered until they are."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from console.store.engine import Store
from console.store.tables.keys import keys


async def set_behind(store: Store, identifier: str, *, is_behind: bool) -> None:
    """Remember whether a key's digests could not be written to its tenant's Secret."""
    other = keys.c.digests_behind.is_(not is_behind)
    async with store.writing() as db:
        await db.execute(keys.update().where(keys.c.id == identifier, other).values(digests_behind=is_behind))


async def behind(store: Store, *, tenants: Collection[str] | None = None) -> frozenset[str]:
    """The ids of the keys, revoked ones too, whose digests could not be written when they last should have been."""
    query = sa.select(keys.c.id).where(keys.c.digests_behind.is_(True))
    if tenants is not None:
        query = query.where(keys.c.tenant.in_(list(tenants)))
    async with store.reading() as db:
        return frozenset((await db.execute(query)).scalars())
