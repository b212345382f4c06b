"""Keys in the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from console.access.types import Grant
from console.keys.quotas import MAX_KEYS, check
from console.keys.types import Generation, Import, Key, KeyKind
from console.outcome import Refusal, conflict, not_found
from console.store.engine import Store
from console.store.tables.keys import key_generations, keys
from console.store.tables.operations import operation_steps
from console.store.tables.publishing import publications


async def read_key(store: Store, identifier: str, *, tenants: Collection[str] | None = None) -> Key:
    """One key by its id, or by its name where only one has it.

    Args:
        tenants: whose keys a name may mean; None for all. An id means its key whatever the tenant.

    Raises:
        Refusal: there is none (404), or several have the name (409).
    """
    async with store.reading() as db:
        found = await _keys(db, keys.c.id == identifier)
        if not found:
            found = await _keys(db, sa.and_(keys.c.name == identifier, keys.c.revoked_at.is_(None)))
            own = [key for key in found if tenants is None or key.tenant in tenants]
            found = own or found[:1]  # another's alone: who may not see it is refused by its tenant
    if not found:
        raise not_found(f"there is no key {identifier}", code="KEY_NOT_FOUND", then="modeldeck keys list")
    if len(found) > 1:
        ids = ", ".join(key.id for key in found)
        raise conflict(f"several keys are called {identifier}: {ids}", then="name it by its id")
    return found[0]


async def key_of_digest(store: Store, digest: str) -> Key | None:
    """The key that one of its texts has this digest; None where none of ours has."""
    return (await keys_of_digests(store, [digest])).get(digest)


async def keys_of_digests(store: Store, digests: Sequence[str]) -> dict[str, Key]:
    """The keys that have a text with one of these digests, by that digest."""
    named = sa.select(key_generations.c.key_id).where(key_generations.c.digest.in_(list(digests)))
    async with store.reading() as db:
        found = await _keys(db, keys.c.id.in_(named))
    wanted = set(digests)
    return {one.digest: key for key in found for one in key.generations if one.digest in wanted}


async def kind_of_digest(store: Store, digest: str) -> str | None:
    """The kind of the key that one of its texts has this digest; None where none of ours has."""
    key = await key_of_digest(store, digest)
    return key.kind.value if key is not None else None


async def operations_of(store: Store, identifier: str) -> dict[str, Mapping[str, Any]]:
    """The operations that issued a key's generations, with what each was asked for (`journaling.issue`)."""
    steps, issued = operation_steps.c, key_generations.c
    query = (
        sa.select(steps.operation_id, steps.arguments)
        .join(key_generations, issued.operation_id == steps.operation_id)
        .where(issued.key_id == identifier, steps.kind == "keys.generation")
    )
    async with store.reading() as db:
        return {row.operation_id: row.arguments for row in await db.execute(query)}


async def own_grants(store: Store, key: Key, models: Sequence[str] | None = None) -> dict[str, Grant]:
    """Where a key's own models lead: to publications of its tenant, or where the entry led that it was taken over from.

    Args:
        models: other models than those it has

    Raises:
        Refusal: one of them is neither.
    """
    names = key.models if models is None else models
    brought = dict(key.imported.grants) if key.imported is not None else {}
    ours = await grants_for(store, key.tenant, [name for name in names if name not in brought])
    return ours | {name: brought[name] for name in names if name in brought}


async def list_keys(store: Store, *, tenants: Sequence[str] | None = None, revoked: bool = False) -> list[Key]:
    """Keys by tenant and name; revoked ones only where asked for."""
    conditions: list[sa.ColumnElement[bool]] = []
    if tenants is not None:
        conditions.append(keys.c.tenant.in_(tenants))
    if not revoked:
        conditions.append(keys.c.revoked_at.is_(None))
    async with store.reading() as db:
        return await _keys(db, sa.and_(sa.true(), *conditions))


async def grants_for(store: Store, tenant: str, models: Sequence[str]) -> dict[str, Grant]:
    """Where a tenant's own models lead.

    Raises:
        Refusal: a name is not published by this tenant.
    """
    if not models:
        return {}
    async with store.reading() as db:
        rows = await db.execute(
            sa.select(publications.c.id, publications.c.name, publications.c.tenant, publications.c.spec)
            .where(publications.c.name.in_(list(models)))
            .where(publications.c.removed_at.is_(None))
        )
        found = {row.name: row for row in rows if row.tenant == tenant}
    missing = [name for name in models if name not in found]
    if missing:
        raise Refusal(
            f"tenant {tenant} publishes no {', '.join(missing)}; nothing was changed",
            code="MODEL_NOT_PUBLISHED",
            then="modeldeck published",
        )
    return {name: grant_of(row.id, row.spec, row.tenant) for name, row in found.items()}


def grant_of(publication_id: str, spec: dict[str, Any], tenant: str) -> Grant:
    """The grant that leads to a publication: its id is the endpoint, its tenant the project."""
    return Grant(publication_id, spec.get("model_id") or spec.get("served_as"), tenant)


async def insert_key(store: Store, key: Key, *, most: int | None = None) -> None:
    """Add a key without generations.

    Its name and the tenant's quota are judged in the transaction that writes: of two that come at the same moment,
    the second sees the first.

    Args:
        most: how many keys the tenant may have; None: as many as it likes

    Raises:
        Refusal: the tenant has as many as it may, or one of that name.
    """
    async with store.writing() as db:
        if store.dialect == "postgresql":  # on SQLite there is one writer at a time
            await db.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"keys of {key.tenant}"))))
        others = await _keys(db, sa.and_(keys.c.tenant == key.tenant, keys.c.revoked_at.is_(None)))
        used = sum(other.counts(key.created_at) for other in others)
        check(key.tenant, "keys", MAX_KEYS, used=used, most=most)
        if any(other.name == key.name for other in others):
            raise conflict(
                f"tenant {key.tenant} has a key called {key.name} already; nothing was changed", code="KEY_EXISTS"
            )
        await db.execute(
            keys.insert().values(
                id=key.id,
                name=key.name,
                tenant=key.tenant,
                owner=key.owner,
                kind=key.kind.value,
                models=list(key.models),
                networks=list(key.networks),
                suspended=key.suspended,
                imported=key.imported.as_json() if key.imported is not None else None,
                expires_at=key.expires_at,
                created_at=key.created_at,
            )
        )


async def set_fields(store: Store, identifier: str, fields: Mapping[str, Any]) -> None:
    """Change columns of a key: ``models``, ``networks``, ``owner``, ``expires_at``, ``suspended``."""
    async with store.writing() as db:
        await db.execute(keys.update().where(keys.c.id == identifier).values(**fields))


async def delete_key(store: Store, identifier: str) -> None:
    """Forget a key that was never handed out (the undo of its creation)."""
    async with store.writing() as db:
        await db.execute(key_generations.delete().where(key_generations.c.key_id == identifier))
        await db.execute(keys.delete().where(keys.c.id == identifier))


async def insert_generation(store: Store, key_id: str, generation: Generation, operation: str) -> None:
    """Add a generation; again with the same digest is no error."""
    async with store.writing() as db:
        there = await db.execute(
            sa.select(key_generations.c.key_id).where(key_generations.c.digest == generation.digest)
        )
        if there.first() is None:
            taken = await db.execute(
                sa.select(key_generations.c.digest)
                .where(key_generations.c.key_id == key_id)
                .where(key_generations.c.generation == generation.number)
            )
            if taken.first() is not None:
                raise conflict(
                    f"generation {generation.number} of {key_id} was issued by somebody else just now",
                    code="ROTATION_UNDER_WAY",
                    then=f"modeldeck keys show {key_id}",
                )
            await db.execute(
                key_generations.insert().values(
                    key_id=key_id,
                    generation=generation.number,
                    digest=generation.digest,
                    last_four=generation.last_four,
                    issued_at=generation.issued_at,
                    operation_id=operation,
                )
            )


async def delete_generation(store: Store, digest: str) -> None:
    async with store.writing() as db:
        await db.execute(key_generations.delete().where(key_generations.c.digest == digest))


async def set_generation_end(
    store: Store, digest: str, *, not_after: datetime | None, revoked_at: datetime | None
) -> None:
    async with store.writing() as db:
        await db.execute(
            key_generations.update()
            .where(key_generations.c.digest == digest)
            .values(not_after=not_after, revoked_at=revoked_at)
        )


async def set_revoked(store: Store, identifier: str, when: datetime | None) -> None:
    async with store.writing() as db:
        await db.execute(keys.update().where(keys.c.id == identifier).values(revoked_at=when))


async def _keys(db: AsyncConnection, condition: sa.ColumnElement[bool]) -> list[Key]:
    rows = (await db.execute(sa.select(keys).where(condition).order_by(keys.c.tenant, keys.c.name, keys.c.id))).all()
    if not rows:
        return []
    generations: dict[str, list[Generation]] = {row.id: [] for row in rows}
    found = await db.execute(
        sa.select(key_generations)
        .where(key_generations.c.key_id.in_(list(generations)))
        .order_by(key_generations.c.key_id, key_generations.c.generation)
    )
    for row in found:
        generations[row.key_id].append(
            Generation(row.generation, row.digest, row.last_four, row.issued_at, row.not_after, row.revoked_at)
        )
    return [
        Key(
            row.id,
            row.name,
            row.tenant,
            row.owner,
            KeyKind(row.kind),
            tuple(row.models),
            row.created_at,
            row.expires_at,
            row.suspended,
            row.revoked_at,
            tuple(generations[row.id]),
            tuple(row.networks),
            Import.of(row.imported),
        )
        for row in rows
    ]
