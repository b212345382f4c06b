"""The steps of key operations, as the journal takes and undoes them (console/operations/types.py)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.codec import encode_entry
from console.access.types import KEY_PREFIX, Grant, short_digest
from console.access.writer import AccessWriter
from console.guard import Permit, system_permit
from console.keys import book
from console.keys.scopes import fields_of, key_of
from console.keys.types import Generation, Key, moment, text_of, told
from console.outcome import Unavailable
from console.store.engine import Store


class NewKeyRow:
    """A key's row in the database, before it has a generation. Undone by forgetting it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        most = arguments.get("most")
        # An older Modeldeck wrote the number of the key's own tenant alone.
        await book.insert_key(
            self._store,
            key_of(arguments),
            most=most if isinstance(most, dict) else {arguments["tenant"]: most},
        )
        return f"key {arguments['id']}"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        await book.delete_key(self._store, arguments["id"])
        return "forgotten"


class NewGeneration:
    """A generation's row: number and digest. Undone by forgetting it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        issued = moment(arguments["issued_at"])
        assert issued is not None
        not_after = moment(arguments.get("not_after"))
        generation = Generation(arguments["generation"], arguments["digest"], arguments["last_four"], issued, not_after)
        await book.insert_generation(self._store, arguments["key"], generation, operation)
        return f"generation {generation.number}, digest {short_digest(generation.digest)}"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        await book.delete_generation(self._store, arguments["digest"])
        return "forgotten"


class EndGeneration:
    """The end of a generation's life: a grace that ends, or now. Undone by putting back what was there."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        key = await book.read_key(self._store, arguments["key"])
        before = next(g for g in key.generations if g.digest == arguments["digest"])
        return {"not_after": text_of(before.not_after), "revoked_at": text_of(before.revoked_at)}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        not_after, revoked_at = moment(arguments["not_after"]), moment(arguments["revoked_at"])
        await book.set_generation_end(self._store, arguments["digest"], not_after=not_after, revoked_at=revoked_at)
        if revoked_at is not None:
            return "revoked"
        return f"until {told(not_after, datetime.now(UTC))}" if not_after is not None else "without an end"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        await book.set_generation_end(
            self._store,
            arguments["digest"],
            not_after=moment(undo["not_after"]),
            revoked_at=moment(undo["revoked_at"]),
        )
        return "as before"


class SetFields:
    """What a key may do is otherwise. Undone by putting back what was there."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        before = fields_of(await book.read_key(self._store, arguments["key"]))
        return {name: before[name] for name in arguments["fields"]}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        most, fields = arguments.get("most", {}), arguments["fields"]
        gets = set(fields.get("models", ())) - set(undo.get("models", ()))
        await book.set_fields(self._store, arguments["key"], _columns(fields), most=most, gets=gets)
        return ", ".join(arguments["fields"])

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        await book.set_fields(self._store, arguments["key"], _columns(undo))
        return "as before"


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: moment(value) if name == "expires_at" else value for name, value in fields.items()}


class RevokeRow:
    """The key as a whole is marked revoked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        await book.set_revoked(self._store, arguments["key"], moment(arguments["revoked_at"]))
        return "revoked"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        await book.set_revoked(self._store, arguments["key"], None)
        return "as before"


class _Entry:
    """What both steps on ``api_key:<digest>`` share: the entry before, which holds no key text, and its return."""

    def __init__(self, store: Store, redis: Redis, writer: AccessWriter) -> None:
        self._store = store
        self._redis = redis
        self._writer = writer

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        name = KEY_PREFIX + arguments["digest"]
        try:
            value, expiry = await self._redis.get(name), await self._redis.pexpiretime(name)
        except (RedisError, OSError) as problem:
            raise Unavailable(f"Redis cannot be read: {type(problem).__name__}", code="REDIS_UNAVAILABLE") from problem
        before = value.decode() if isinstance(value, bytes) else value
        return {"value": before, "expires_at": expiry / 1000 if expiry > 0 else None}

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        permit = system_permit("undo", target=arguments["key"])
        if undo["value"] is None:
            await self._writer.drop_key(permit, arguments["digest"], operation=operation)
            return "removed again"
        await self._writer.put_key(
            permit, arguments["digest"], undo["value"], expires_at=undo["expires_at"], operation=operation
        )
        return "as before"


def _permit_of(arguments: Mapping[str, Any]) -> Permit:
    return system_permit(arguments["action"], target=arguments["key"]).on_behalf_of(arguments["actor"])


class PutEntry(_Entry):
    """The gateway's entry for one generation, as its key is when it is written (`console.publishing.holders`)."""

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        key = await book.read_key(self._store, arguments["key"])
        while True:
            written = await self._put(key, arguments, operation)
            now = await book.read_key(self._store, arguments["key"])
            if now.revoked_at is not None and key.revoked_at is None:
                await self._writer.drop_key(_permit_of(arguments), arguments["digest"], operation=operation)
                return "revoked meanwhile, and dropped"
            if now.models == key.models:
                return written
            key = now  # a model has gone from it meanwhile: whoever took it has written before this

    async def _put(self, key: Key, arguments: Mapping[str, Any], operation: str) -> str:
        # A key that comes back from a Secret brings along where its models lead: the database is new then.
        brought = arguments.get("grants")
        own = {name: Grant(**ids) for name, ids in brought.items()} if brought is not None else None
        grants = await book.own_grants(self._store, key) if own is None else own
        ends = [m for m in (key.expires_at, moment(arguments["not_after"])) if m is not None]
        not_after = min(ends).timestamp() if ends else None
        value = encode_entry(
            grants,
            key_id=key.id,
            user_id=key.owner,
            project_id=key.tenant,
            tenant=key.tenant,
            generation=arguments["generation"],
            not_after=not_after,
            suspended=key.suspended,
            networks=key.networks,
            tenants=key.callable_tenants,
            labels=key.labels,
        )
        written = await self._writer.put_key(
            _permit_of(arguments), arguments["digest"], value, expires_at=not_after, operation=operation
        )
        return f"epoch {written.epoch}"


class DropEntry(_Entry):
    """The gateway forgets one generation."""

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        permit = _permit_of(arguments)
        written = await self._writer.drop_key(permit, arguments["digest"], operation=operation)
        key = await book.key_of_digest(self._store, arguments["digest"])
        if key is not None and key.imported is not None:
            # What it was taken over from may still name it, and would let it through once our entry is gone.
            left = await self._writer.drop_clear(permit, key.imported.source, arguments["digest"], operation=operation)
            written = left or written
        return f"epoch {written.epoch}"


class DropClear:
    """Another writer's value no longer names a key in clear. There is no way back: its text is kept nowhere."""

    def __init__(self, writer: AccessWriter) -> None:
        self._writer = writer

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        permit = system_permit(arguments["action"], target=arguments["key"]).on_behalf_of(arguments["actor"])
        written = await self._writer.drop_clear(
            permit, arguments["source"], arguments["digest"], operation=operation, expected=arguments["seen"]
        )
        return "was gone already" if written is None else f"epoch {written.epoch}"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        return "nothing to put back: its entry by digest stays"
