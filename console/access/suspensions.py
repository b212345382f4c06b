"""Which tenants are suspended: the database keeps it, Redis has the copy that the gateway's workers decide by.

What is lost in Redis, by a flush or a new server, is written again from the database. It is never lifted by itself: a
tenant that Redis alone has, as another writer or an older Modeldeck put it there, stays refused until it is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.codec import Malformed, parse_restrictions
from console.access.types import RESTRICTIONS_KEY, Restrictions
from console.access.writer import AccessWriter, Written
from console.guard import Permit
from console.outcome import Unavailable
from console.store.engine import Store
from console.store.tables.access import suspended_tenants
from console.store.tables.keys import keys
from console.store.tables.publishing import publications

if TYPE_CHECKING:
    from console.services import Services

ACTIVE, SUSPENDED, LOST = "active", "suspended", "suspension lost"


@dataclass(frozen=True, slots=True)
class Suspension:
    """Who suspended a tenant, and when."""

    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How tenants stand.

    kept   what the database says, by tenant
    there  what Redis says, and the gateway does; None where that cannot be read
    """

    kept: Mapping[str, Suspension]
    there: frozenset[str] | None

    @property
    def refused(self) -> frozenset[str]:
        """The tenants whose keys the gateway refuses, as far as that is known."""
        return frozenset(self.kept) if self.there is None else self.there

    @property
    def lost(self) -> frozenset[str]:
        """Those that are suspended, and that the gateway lets through for all that."""
        return frozenset() if self.there is None else frozenset(self.kept) - self.there

    def state(self, tenant: str) -> str:
        """``active``, ``suspended``, or ``suspension lost`` where the gateway lets its keys through for all that."""
        if tenant in self.lost:
            return LOST
        return SUSPENDED if tenant in self.kept or tenant in self.refused else ACTIVE


async def kept(store: Store) -> dict[str, Suspension]:
    """The suspended tenants of the database, by name."""
    async with store.reading() as db:
        rows = await db.execute(sa.select(suspended_tenants).order_by(suspended_tenants.c.tenant))
        return {row.tenant: Suspension(row.actor, row.suspended_at) for row in rows}


async def put(store: Store, tenant: str, suspension: Suspension) -> None:
    """Suspend a tenant in the database; one that is suspended stays as it is."""
    row = {"tenant": tenant, "actor": suspension.actor, "suspended_at": suspension.at}
    async with store.writing() as db:
        there = await db.execute(sa.select(suspended_tenants.c.tenant).where(suspended_tenants.c.tenant == tenant))
        if there.first() is None:
            await db.execute(suspended_tenants.insert().values(**row))


async def remove(store: Store, tenant: str) -> None:
    """Suspend a tenant no more in the database."""
    async with store.writing() as db:
        await db.execute(suspended_tenants.delete().where(suspended_tenants.c.tenant == tenant))


async def standing(services: Services) -> Standing:
    """As it is now; where Redis cannot be asked, or what stands there cannot be read, as the database has it."""
    said = await kept(await services.store())
    try:
        there = await _there(await services.redis())
    except (RedisError, OSError, Unavailable, Malformed):
        return Standing(said, None)
    return Standing(said, there)


async def mirror(services: Services, permit: Permit) -> Written | None:
    """Write what Redis lacks of the suspended tenants; None where it lacks nothing.

    The database is read again within the transaction on Redis: whoever resumes a tenant meanwhile writes there too, so
    that one of the two sees the other.

    Raises:
        Refusal: what is there is malformed, and was left as it is.
        ModeldeckError, RedisError, OSError: the database or Redis cannot be asked.
    """
    store = await services.store()
    said = await kept(store)
    if not said:
        return None
    try:
        if frozenset(said) <= await _there(await services.redis()):
            return None
    except Malformed:
        pass  # who writes says so

    async def edit(before: Restrictions) -> Restrictions:
        now = await kept(store)
        return replace(before, suspended_tenants=before.suspended_tenants | frozenset(now))

    writer: AccessWriter = await services.writer()
    return await writer.restrict(permit, edit)


async def is_known(store: Store, tenant: str) -> bool:
    """Whether the database has a key or a publication of a tenant, or its suspension."""
    asked = (
        sa.select(suspended_tenants.c.tenant).where(suspended_tenants.c.tenant == tenant),
        sa.select(keys.c.tenant).where(keys.c.tenant == tenant, keys.c.revoked_at.is_(None)),
        sa.select(publications.c.tenant).where(publications.c.tenant == tenant, publications.c.removed_at.is_(None)),
    )
    async with store.reading() as db:
        for query in asked:
            if (await db.execute(query.limit(1))).first() is not None:
                return True
    return False


def by(permit: Permit) -> Suspension:
    """A suspension by whoever has this permit, now."""
    return Suspension(permit.actor, datetime.now(UTC))


async def _there(redis: Redis) -> frozenset[str]:
    return parse_restrictions(await redis.get(RESTRICTIONS_KEY)).suspended_tenants
