"""Keys in the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from console.access.types import Grant
from console.keys.quotas import MAX_KEYS, check
from console.keys.types import Generation, Import, Key, KeyForm, KeyKind
from console.outcome import Refusal, conflict, not_found
from console.store.engine import Store
from console.store.tables.keys import key_generations, keys
from console.store.tables.operations import operation_steps, operations
from console.store.tables.publishing import publications
from console.store.tables.usage import budgets

_AT_REST = "ready"
"""The state of a publication that nobody is at work on (console/publishing/types.py)."""
_TARGET = "model {}"
"""What operations on a publication have as their target (`operation_target` of console/publishing/types.py)."""


async def read_key(
    store: Store, identifier: str, *, tenants: Collection[str] | None = None, revoked: bool = False
) -> Key:
    """One key by its id, or by its name where only one has it.

    Args:
        tenants: whose keys a name may mean; None for all. An id means its key whatever the tenant.
        revoked: whether, where no other has it, a name means the key of that name that was revoked last

    Raises:
        Refusal: there is none (404), or several have the name (409).
    """
    async with store.reading() as db:
        found = await _keys(db, keys.c.id == identifier)
        if not found:
            found = await _keys(db, sa.and_(keys.c.name == identifier, keys.c.revoked_at.is_(None)))
            own = [key for key in found if tenants is None or key.tenant in tenants]
            found = own or found[:1]  # another's alone: who may not see it is refused by its tenant
        if not found and revoked:
            over = await _keys(db, sa.and_(keys.c.name == identifier, keys.c.revoked_at.is_not(None)))
            own = [key for key in over if tenants is None or key.tenant in tenants]
            found = sorted(own or over, key=lambda key: key.revoked_at or key.created_at)[-1:]
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
    """Where a key's own models lead: to publications of the tenants that it names, its own among them, or where the
    entry led that it was taken over from.

    Args:
        models: other models than those it has

    Raises:
        Refusal: one of them is neither.
    """
    names = key.models if models is None else models
    brought = dict(key.imported.grants) if key.imported is not None else {}
    ours = await grants_for(store, key.quota_tenants, [name for name in names if name not in brought])
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


async def grants_for(store: Store, tenants: Sequence[str], models: Sequence[str]) -> dict[str, Grant]:
    """Where models of some tenants lead.

    Raises:
        Refusal: a name is not published by any of them.
    """
    if not models:
        return {}
    async with store.reading() as db:
        rows = await db.execute(
            sa.select(publications.c.id, publications.c.name, publications.c.tenant, publications.c.spec)
            .where(publications.c.name.in_(list(models)))
            .where(publications.c.removed_at.is_(None))
        )
        found = {row.name: row for row in rows if row.tenant in tenants}
    missing = [name for name in models if name not in found]
    if missing:
        raise Refusal(
            f"tenant {' or '.join(tenants)} publishes no {', '.join(missing)}; nothing was changed",
            code="MODEL_NOT_PUBLISHED",
            then="modeldeck published",
        )
    return {name: grant_of(row.id, row.spec, row.tenant) for name, row in found.items()}


async def published_grants(store: Store) -> dict[str, Grant]:
    """Where every publication leads, by its name."""
    query = sa.select(publications.c.id, publications.c.name, publications.c.spec, publications.c.tenant)
    async with store.reading() as db:
        rows = await db.execute(query.where(publications.c.removed_at.is_(None)))
    return {row.name: grant_of(row.id, row.spec, row.tenant) for row in rows}


def grant_of(publication_id: str, spec: dict[str, Any], tenant: str) -> Grant:
    """The grant that leads to a publication: its id is the endpoint, its tenant the project."""
    return Grant(publication_id, spec.get("model_id") or spec.get("served_as"), tenant)


async def insert_key(store: Store, key: Key, *, most: Mapping[str, int | None] | None = None) -> None:
    """Add a key without generations.

    Its name and the quotas are judged in the transaction that writes: of two that come at the same moment, the
    second sees the first.

    Args:
        most: how many keys a tenant may have, by tenant; one that is missing, or None: as many as it likes

    Raises:
        Refusal: one of its tenants has as many as it may, or its own has one of that name.
    """
    async with store.writing() as db:
        await _alone(store, db, key.quota_tenants)
        await alone_with(db, key.models)
        await _judge_new(db, key, most or {})
        await db.execute(
            keys.insert().values(
                id=key.id,
                name=key.name,
                tenant=key.tenant,
                owner=key.owner,
                kind=key.kind.value,
                form=key.form.value,
                models=list(key.models),
                networks=list(key.networks),
                labels=dict(key.labels),
                tenants=list(key.tenants),
                suspended=key.suspended,
                imported=key.imported.as_json() if key.imported is not None else None,
                expires_at=key.expires_at,
                created_at=key.created_at,
            )
        )


async def judge_new(store: Store, key: Key, most: Mapping[str, int | None]) -> None:
    """Whether `insert_key` would take a key now, for a plan; raises as it does."""
    async with store.reading() as db:
        await _judge_new(db, key, most)


async def judge_quotas(store: Store, key: Key, most: Mapping[str, int | None]) -> None:
    """Whether `set_fields` would let a key come to these tenants now; raises as it does."""
    async with store.reading() as db:
        await _judge_quotas(db, key, tuple(most), most, datetime.now(UTC))


async def judge_models(store: Store, names: Collection[str]) -> None:
    """As `insert_key` does for the models of a new key, for those that a key gets beside its own.

    Raises:
        Refusal: one is being published, or removed: the key would have it when it is gone.
    """
    async with store.reading() as db:
        await _judge_models(db, names)


async def alone_with(db: AsyncConnection, names: Collection[str]) -> None:
    """Nobody else gives these models to a key, or begins to unpublish them, until the transaction ends."""
    if db.dialect.name == "postgresql":  # on SQLite there is one writer at a time
        for name in sorted(names):
            await db.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(_TARGET.format(name)))))


async def _judge_models(db: AsyncConnection, names: Collection[str]) -> None:
    if not names:
        return
    query = sa.select(publications.c.name, publications.c.state).where(publications.c.name.in_(sorted(names)))
    changing = query.where(publications.c.removed_at.is_(None)).where(publications.c.state != _AT_REST)
    row = (await db.execute(changing.limit(1))).first()
    if row is not None:
        raise conflict(
            f"{row.name} is {row.state}, and a key may outlive it; nothing was changed",
            code="OPERATION_UNDER_WAY",
            then="modeldeck operations list",
        )
    # One that has only just begun to be unpublished has no mark of it yet.
    removing = sa.select(operations.c.target, operations.c.actor).where(operations.c.ended_at.is_(None))
    removing = removing.where(operations.c.kind == "unpublish")
    removing = removing.where(operations.c.target.in_([_TARGET.format(name) for name in sorted(names)]))
    begun = (await db.execute(removing.limit(1))).first()
    if begun is not None:
        raise conflict(
            f"{begun.target} is being unpublished by {begun.actor}, and a key may outlive it; nothing was changed",
            code="OPERATION_UNDER_WAY",
            then="modeldeck operations list",
        )


async def _judge_new(db: AsyncConnection, key: Key, most: Mapping[str, int | None]) -> None:
    await _judge_models(db, key.models)
    await _judge_quotas(db, key, key.quota_tenants, most, key.created_at)
    same_name = sa.and_(keys.c.tenant == key.tenant, keys.c.name == key.name, keys.c.revoked_at.is_(None))
    if (await db.execute(sa.select(keys.c.id).where(same_name))).first() is not None:
        raise conflict(
            f"tenant {key.tenant} has a key called {key.name} already; nothing was changed", code="KEY_EXISTS"
        )


async def _alone(store: Store, db: AsyncConnection, tenants: Sequence[str]) -> None:
    """Nobody else adds a key to these tenants until the transaction ends."""
    if store.dialect == "postgresql":  # on SQLite there is one writer at a time
        for tenant in sorted(tenants):  # in one order, so that two never wait for each other
            await db.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"keys of {tenant}"))))


async def _judge_quotas(
    db: AsyncConnection, key: Key, tenants: Sequence[str], most: Mapping[str, int | None], now: datetime
) -> None:
    """Refuse one key more in these tenants than they may have."""
    if all(most.get(tenant) is None for tenant in tenants):
        return
    own = keys.c.tenant.in_(list(tenants))
    visiting = sa.type_coerce(keys.c.tenants, sa.Text) != "[]"
    there = await _keys(db, sa.and_(sa.or_(own, visiting), keys.c.revoked_at.is_(None), keys.c.id != key.id))
    for tenant in tenants:
        used = sum(tenant in other.quota_tenants and other.counts(now) for other in there)
        check(tenant, "keys", MAX_KEYS, used=used, most=most.get(tenant))


async def set_fields(
    store: Store,
    identifier: str,
    fields: Mapping[str, Any],
    *,
    most: Mapping[str, int | None] | None = None,
    gets: Collection[str] = (),
) -> None:
    """Change columns of a key: ``models``, ``networks``, ``labels``, ``tenants``, ``owner``, ``expires_at``,
    ``suspended``.

    Args:
        most: how many keys each tenant may have that it comes to, as in `insert_key`
        gets: the models that it gets beside its own

    Raises:
        Refusal: one of them has as many as it may, or one of the models is going.
    """
    async with store.writing() as db:
        await _alone(store, db, tuple(most or ()))
        await alone_with(db, gets)  # after the tenants, as in `insert_key`: so that two never wait for each other
        await _judge_models(db, gets)
        if most:
            (key,) = await _keys(db, keys.c.id == identifier)
            await _judge_quotas(db, key, tuple(most), most, datetime.now(UTC))
        await db.execute(keys.update().where(keys.c.id == identifier).values(**fields))


async def delete_key(store: Store, identifier: str) -> None:
    """Forget a key that was never handed out (the undo of its creation)."""
    async with store.writing() as db:
        await db.execute(key_generations.delete().where(key_generations.c.key_id == identifier))
        await db.execute(keys.delete().where(keys.c.id == identifier))


async def insert_generation(store: Store, key_id: str, generation: Generation, operation: str) -> None:
    """Add a generation; again with the same digest is no error.

    Raises:
        Refusal: another key has that text, or this one has a generation of that number.
    """
    async with store.writing() as db:
        there = await db.execute(
            sa.select(key_generations.c.key_id).where(key_generations.c.digest == generation.digest)
        )
        holder = there.scalar()
        if holder is not None and holder != key_id:
            raise conflict(f"key {holder} has that text already; nothing was changed", code="KEY_EXISTS")
        if holder is None:
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
                    not_after=generation.not_after,
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
    """Revoke a key, and with it its budget: nobody spends it any more. Redis loses the copy of that by itself."""
    async with store.writing() as db:
        await db.execute(keys.update().where(keys.c.id == identifier).values(revoked_at=when))
        if when is not None:
            await db.execute(budgets.delete().where(budgets.c.scope == "key", budgets.c.name == identifier))


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
            KeyForm(row.form),
            row.labels,
            tuple(row.tenants),
        )
        for row in rows
    ]
