"""What restoring keys leaves to be done: publications that Redis has lost as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa

from console.access.codec import Malformed, published_document
from console.access.types import PUBLISHED_KEY
from console.call import Call
from console.outcome import Outcome, counted
from console.store.tables.publishing import publications

_REPAIR = "modeldeck publications repair --all"


async def with_publications(call: Call, outcome: Outcome, tenants: Sequence[str] | None) -> Outcome:
    """The outcome, with what clients are still refused for: keys alone let nobody call a model that was published."""
    try:
        there = published_document(await (await call.services.redis()).get(PUBLISHED_KEY))
    except Malformed:
        return outcome
    columns = publications.c
    query = sa.select(columns.name).where(columns.removed_at.is_(None), columns.state == "ready")
    if tenants is not None:
        query = query.where(columns.tenant.in_(tenants))
    async with (await call.services.store()).reading() as db:
        missing = [name for name in await db.scalars(query) if name not in there]
    if not missing:
        return outcome
    told = f"{outcome.summary}; but {counted(len(missing), 'publication')} missing in {PUBLISHED_KEY}: calls get 404"
    then = f"{outcome.then}; {_REPAIR}" if outcome.then else _REPAIR
    return dataclasses.replace(outcome, summary=told, then=then)
