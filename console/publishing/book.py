"""Publications in the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from console.operations.journal import clock_time
from console.outcome import Refusal, conflict, not_found
from console.publishing.types import Publication, PublicationState, operation_target
from console.store.engine import Store
from console.store.tables.operations import operations
from console.store.tables.publishing import publications


async def find(store: Store, name: str) -> tuple[Publication, PublicationState, datetime] | None:
    """The publication that has a public name now."""
    async with store.reading() as db:
        row = (
            await db.execute(
                sa.select(publications).where(publications.c.name == name).where(publications.c.removed_at.is_(None))
            )
        ).first()
    return None if row is None else (_publication(row), PublicationState(row.state), row.created_at)


async def by_id(store: Store, identifier: str) -> tuple[Publication, PublicationState] | None:
    """A publication by its id; None for one that is removed."""
    query = sa.select(publications).where(publications.c.id == identifier)
    async with store.reading() as db:
        row = (await db.execute(query.where(publications.c.removed_at.is_(None)))).first()
    return None if row is None else (_publication(row), PublicationState(row.state))


async def was_published(store: Store, name: str, *, tenants: Collection[str] | None) -> bool:
    """Whether a public name was in use before, by one of these tenants (None: any). It may be in use again."""
    query = sa.select(publications.c.id).where(publications.c.name == name)
    if tenants is not None:
        query = query.where(publications.c.tenant.in_(list(tenants)))
    async with store.reading() as db:
        return (await db.execute(query.where(publications.c.removed_at.is_not(None)).limit(1))).first() is not None


async def read(store: Store, name: str) -> tuple[Publication, PublicationState, datetime]:
    """As `find`.

    Raises:
        Refusal: there is none.
    """
    found = await find(store, name)
    if found is None:
        raise not_published(name)
    return found


def not_published(name: str) -> Refusal:
    """What is said of a name that nothing has."""
    return not_found(f"nothing is published as {name}", code="NOT_PUBLISHED", then="modeldeck published")


async def listing(
    store: Store, *, tenants: Sequence[str] | None = None
) -> list[tuple[Publication, PublicationState, datetime]]:
    """Everything that is published, by tenant and name."""
    query = sa.select(publications).where(publications.c.removed_at.is_(None))
    if tenants is not None:
        query = query.where(publications.c.tenant.in_(list(tenants)))
    async with store.reading() as db:
        rows = await db.execute(query.order_by(publications.c.tenant, publications.c.name))
        return [(_publication(row), PublicationState(row.state), row.created_at) for row in rows]


async def reserve(store: Store, publication: Publication, objects: Sequence[str], operation: str) -> None:
    """Take the public name. The unique index lets only one have it; again for the same publication is no error."""
    now = datetime.now(UTC)
    async with store.writing() as db:
        there = await db.execute(sa.select(publications.c.id).where(publications.c.id == publication.id))
        if there.first() is not None:
            return
        await db.execute(
            publications.insert().values(
                id=publication.id,
                name=publication.name,
                tenant=publication.tenant,
                source=publication.origin.source,
                source_name=publication.origin.name,
                kind=publication.kind.value,
                state=PublicationState.PUBLISHING.value,
                spec=publication.as_spec(),
                objects=list(objects),
                created_at=now,
                updated_at=now,
                operation_id=operation,
            )
        )


async def forget(store: Store, identifier: str) -> None:
    """The undo of `reserve`: the publication never came to be."""
    async with store.writing() as db:
        await db.execute(publications.delete().where(publications.c.id == identifier))


async def set_state(store: Store, identifier: str, state: PublicationState) -> None:
    """Move to another state; removed frees the name."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {"state": state.value, "updated_at": now}
    values["removed_at"] = now if state is PublicationState.REMOVED else None
    async with store.writing() as db:
        await db.execute(publications.update().where(publications.c.id == identifier).values(**values))


async def set_spec(store: Store, identifier: str, spec: dict[str, Any], origin: tuple[str, str]) -> None:
    """Write what a publication is now; ``origin`` is the source and the name of its first backend."""
    source, name = origin
    async with store.writing() as db:
        values = {"spec": spec, "source": source, "source_name": name, "updated_at": datetime.now(UTC)}
        await db.execute(publications.update().where(publications.c.id == identifier).values(**values))


def still(publication: Publication) -> Callable[[Any], Awaitable[None]]:
    """For `NewOperation.still`: whether a publication is what the plan was made from.

    Another operator may have changed it between the plan and its application: applying it would undo that.
    """

    async def check(db: Any) -> None:
        query = sa.select(publications).where(publications.c.id == publication.id)
        row = (await db.execute(query.where(publications.c.removed_at.is_(None)))).first()
        if row is not None and _publication(row) == publication:
            return
        target = operation_target(publication.name)
        newest = sa.select(operations).where(operations.c.target == target).order_by(operations.c.created_at.desc())
        last = (await db.execute(newest.limit(1))).first()
        who = "" if last is None else f" by {last.actor} ({last.kind}, {clock_time(last.ended_at or last.created_at)})"
        what = "unpublished" if row is None else "changed"
        raise conflict(
            f"{publication.name} was {what} meanwhile{who}; nothing was changed",
            code="CHANGED_MEANWHILE",
            then="look at the plan again, and repeat it",
        )

    return check


async def state_of(store: Store, identifier: str) -> PublicationState | None:
    async with store.reading() as db:
        row = (await db.execute(sa.select(publications.c.state).where(publications.c.id == identifier))).first()
    return None if row is None else PublicationState(row.state)


def _publication(row: Any) -> Publication:
    return Publication.of_spec(
        row.spec,
        identifier=row.id,
        name=row.name,
        tenant=row.tenant,
        kind=row.kind,
        source=row.source,
        source_name=row.source_name,
    )
