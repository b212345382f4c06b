"""The keys that have a publication among their own models, and what becomes of them when it is unpublished.

A client key has everything that is published; only what it names itself is its own. A key of which nothing is left is
revoked: its text would open nothing. Every other one loses the model and goes on working.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from redis.asyncio import Redis

from console.access.writer import AccessWriter
from console.call import Call
from console.keys import book
from console.keys.digests import KeepDigests
from console.keys.steps import DropEntry, PutEntry
from console.keys.types import Key, KeyKind, text_of
from console.operations.types import Step
from console.outcome import Failure, Refusal, conflict
from console.publishing import book as publications
from console.publishing.types import Effect, FieldChange, PlannedChange, Publication
from console.store.engine import Store
from console.store.tables.keys import keys


async def holders(call: Call, publication: Publication) -> list[Key]:
    """The keys that name it, of whichever tenant; not those that were taken over with a grant of their own."""
    found = await book.list_keys(await call.services.store())
    name = publication.name
    return [
        key for key in found if name in key.models and (key.imported is None or name not in dict(key.imported.grants))
    ]


def still(publication: Publication, found: Sequence[Key]) -> Callable[[Any], Awaitable[None]]:
    """For `NewOperation.still`: the publication is as it was planned with, and no other key names it since."""
    unchanged, known = publications.still(publication), {key.id for key in found}

    async def check(db: Any) -> None:
        await book.alone_with(db, [publication.name])
        await unchanged(db)
        query = sa.select(keys.c.id, keys.c.models, keys.c.imported)
        for row in await db.execute(query.where(keys.c.revoked_at.is_(None))):
            if publication.name in row.models and row.imported is None and row.id not in known:
                raise conflict(
                    f"another key was given {publication.name} meanwhile; nothing was changed",
                    code="CHANGED_MEANWHILE",
                    then="look at the plan again, and repeat it",
                )

    return check


def planned(found: Sequence[Key], publication: Publication) -> list[PlannedChange]:
    """What the plan says of them."""
    changes = []
    for key in found:
        left = _left(key, publication)
        fields = (FieldChange("models", json.dumps(list(key.models)), json.dumps(left)),)
        useless = _is_useless(key, left)
        changes.append(PlannedChange(f"key {key}", Effect.REMOVE if useless else Effect.CHANGE, fields))
    return changes


def steps(call: Call, found: Sequence[Key], publication: Publication) -> Iterator[Step]:
    """A step for each key. What is left of it is seen when it is taken: two models may be going at the same time."""
    for key in found:
        about = {"action": call.permit.action, "actor": call.permit.actor}
        yield Step("publish.release", f"key {key}", {**about, "key": key.id, "model": publication.name})


class ReleaseKey:
    """Take a model from a key: its row, and its entries at the gateway. Part of what is finished, never undone."""

    def __init__(self, store: Store, redis: Redis, writer: AccessWriter, digests: KeepDigests) -> None:
        self._store = store
        self._digests = digests
        self._put = PutEntry(store, redis, writer)
        self._drop = DropEntry(store, redis, writer)

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        left = await self._release(arguments, operation)
        await self._digests.take(arguments, {}, operation)
        return left

    async def _release(self, arguments: Mapping[str, Any], operation: str) -> str:
        key = await book.read_key(self._store, arguments["key"])
        about = {name: arguments[name] for name in ("key", "action", "actor")}
        if key.revoked_at is not None:
            await self._forget(key, about, operation)
            return "was revoked"
        leading = {model for model in key.models if model != arguments["model"] and await self._leads(key, model)}
        left = await self._keep(key, leading)
        now = datetime.now(UTC)
        if not _is_useless(key, left):
            for one in key.live(now):
                entry = {"generation": one.number, "digest": one.digest, "not_after": text_of(one.not_after)}
                await self._put.take(about | entry, {}, operation)
            return f"keeps {', '.join(left)}" if left else "keeps what is published"
        for one in key.live(now):
            await book.set_generation_end(self._store, one.digest, not_after=now, revoked_at=now)
        await book.set_revoked(self._store, key.id, now)
        # After that: who is writing an entry of it at this moment looks again, and drops it (`PutEntry`).
        await self._forget(key, about, operation)
        return "revoked: nothing is left of it"

    async def _forget(self, key: Key, about: Mapping[str, Any], operation: str) -> None:
        for one in key.generations:
            await self._drop.take({**about, "digest": one.digest}, {}, operation)

    async def _keep(self, key: Key, leading: Container[str]) -> list[str]:
        """Take all other models from it, in one transaction: another one may be going from it at this moment."""
        async with self._store.writing() as db:
            query = sa.select(keys.c.models).where(keys.c.id == key.id).with_for_update()
            now: list[str] = (await db.execute(query)).scalar_one()
            left = [model for model in now if model in leading]
            await db.execute(keys.update().where(keys.c.id == key.id).values(models=left))
        return left

    async def _leads(self, key: Key, model: str) -> bool:
        """Whether a model of a key is published still: it cannot be written for one that is not."""
        try:
            await book.own_grants(self._store, key, [model])
        except Refusal:
            return False
        return True

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        raise Failure(f"key {arguments['key']} has lost {arguments['model']} and stays so", code="NOT_UNDOABLE")


def _left(key: Key, publication: Publication) -> list[str]:
    return [model for model in key.models if model != publication.name]


def _is_useless(key: Key, left: Sequence[str]) -> bool:
    return key.kind is KeyKind.ADMIN and not left
