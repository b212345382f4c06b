"""Our writes to what the gateway reads: atomic, attributed, numbered.

Every write is one transaction of four parts: the change itself, a new epoch (`EPOCH_KEY`; it follows the clock,
so that it also rises where somebody flushed Redis), an entry on the stream that says who and why
(`WRITES_STREAM`), and the announcement of the epoch to whoever follows the keyspace (`EPOCH_CHANNEL`).

Other writers of ``published_model_info`` are respected: only our own entry changes, and only if nobody wrote in
between (DESIGN.md §4).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, WatchError

from console.access.codec import (
    Malformed,
    encode_published,
    encode_restrictions,
    parse_restrictions,
    published_document,
    without_clear,
)
from console.access.types import KEY_PREFIX, PUBLISHED_KEY, RESTRICTIONS_KEY, Grant, Restrictions, shown_key
from console.guard import Permit
from console.outcome import Unavailable, conflict

EPOCH_KEY = "modeldeck:epoch"
EPOCH_CHANNEL = "modeldeck:epochs"
WRITES_STREAM = "modeldeck:writes"
INSTANCE_PREFIX = "modeldeck:authz:"
_STREAM_LENGTH = 10_000
Edit = Callable[[Restrictions], Awaitable[Restrictions]]
"""From restrictions as they are to those that they should be."""
_ATTEMPTS = 40


@dataclass(frozen=True, slots=True)
class Written:
    """A write that took place: its epoch, and the value before it (None: there was none)."""

    epoch: int
    before: Any


class _NothingToDo(Exception):
    """What was to be changed is so already."""


class AccessWriter:
    """Writes ``api_key:<digest>`` and ``published_model_info``; nothing else in Modeldeck does."""

    def __init__(self, redis: Redis, *, salt: str = "bud-") -> None:
        self._redis = redis
        self._salt = salt

    async def put_key(
        self, permit: Permit, digest: str, value: str, *, expires_at: float | None = None, operation: str = ""
    ) -> Written:
        """Set one key's entry. ``expires_at`` (Unix seconds) becomes the Redis expiry; the decision checks the
        time by itself as well."""
        name = KEY_PREFIX + digest

        async def change(pipe: Pipeline) -> tuple[str | None, Callable[[], None]]:
            before = await pipe.get(name)

            def queue() -> None:
                pipe.set(name, value, pxat=None if expires_at is None else math.ceil(expires_at * 1000))

            return _text(before), queue

        return await self._transact(permit, (name,), change, operation)

    async def drop_key(self, permit: Permit, digest: str, *, operation: str = "") -> Written:
        """Delete one key's entry; the key is refused as soon as the mirrors have seen it."""
        name = KEY_PREFIX + digest

        async def change(pipe: Pipeline) -> tuple[str | None, Callable[[], None]]:
            before = await pipe.get(name)

            def queue() -> None:
                pipe.delete(name)

            return _text(before), queue

        return await self._transact(permit, (name,), change, operation)

    async def drop_clear(
        self, permit: Permit, source: str, digest: str, *, operation: str = "", expected: str | None = None
    ) -> Written | None:
        """Take one key out of a value that names its keys in clear; what others wrote there stays as it came.

        ``before`` is not told: it holds the texts of keys.

        Args:
            expected: what the value said of the key when it was looked at (`ClearEntry.seen`)

        Returns:
            None: it names the key no more, or says something else of it now; it was left as it is.

        Raises:
            Refusal: what is there is malformed, and was left as it is.
        """

        async def change(pipe: Pipeline) -> tuple[None, Callable[[], None]]:
            raw = await pipe.get(source)
            try:
                text = None if raw is None else without_clear(raw, digest, salt=self._salt, expected=expected)
            except Malformed as problem:
                raise conflict(
                    f"{shown_key(source)} cannot be changed safely: {problem}; it was left as it is",
                    code="MALFORMED_KEYS",
                ) from None
            if text is None:
                raise _NothingToDo

            def queue() -> None:
                if text == "{}":
                    pipe.delete(source)
                else:
                    pipe.set(source, text, keepttl=True)

            return None, queue

        try:
            return await self._transact(permit, (source,), change, operation)
        except _NothingToDo:
            return None

    async def publish(self, permit: Permit, model: str, grant: Grant, *, operation: str = "") -> Written:
        """Set our entry for one model name.

        Raises:
            Refusal: another writer's entry has that name (it leads to another endpoint).
        """

        def edit(document: dict[str, Any]) -> Any:
            before = document.get(model)
            if before is not None and _endpoint(before) != grant.endpoint_id:
                raise conflict(
                    f"{PUBLISHED_KEY} has an entry {model!r} of another writer, for endpoint {_endpoint(before)}; "
                    "it was left as it is",
                    code="ALREADY_PUBLISHED",
                )
            document[model] = grant.as_json()
            return before

        return await self._edit_published(permit, edit, operation)

    async def unpublish(self, permit: Permit, model: str, endpoint_id: str, *, operation: str = "") -> Written:
        """Remove our entry for one model name; an entry that leads elsewhere is not ours and stays."""

        def edit(document: dict[str, Any]) -> Any:
            before = document.get(model)
            if before is None or _endpoint(before) != endpoint_id:
                return None
            del document[model]
            return before

        return await self._edit_published(permit, edit, operation)

    async def restrict(self, permit: Permit, edit: Edit) -> Written:
        """Change the restrictions; ``edit`` may be called again where somebody came between.

        Raises:
            Refusal: what is there is malformed, and was left as it is.
        """

        async def change(pipe: Pipeline) -> tuple[Restrictions, Callable[[], None]]:
            try:
                before = parse_restrictions(await pipe.get(RESTRICTIONS_KEY))
            except Malformed as problem:
                raise conflict(
                    f"{RESTRICTIONS_KEY} cannot be changed safely: {problem}; it was left as it is",
                    code="MALFORMED_RESTRICTIONS",
                ) from None
            text = encode_restrictions(await edit(before))

            def queue() -> None:
                pipe.set(RESTRICTIONS_KEY, text)

            return before, queue

        return await self._transact(permit, (RESTRICTIONS_KEY,), change, "")

    async def is_published(self, model: str, endpoint_id: str) -> bool:
        """Whether our entry for a model name is there now."""
        try:
            document = published_document(await self._redis.get(PUBLISHED_KEY))
        except Malformed:
            return False
        except (RedisError, OSError) as problem:
            raise Unavailable(f"Redis cannot be read: {type(problem).__name__}", code="REDIS_UNAVAILABLE") from problem
        return bool(_endpoint(document.get(model)) == endpoint_id)

    async def _edit_published(self, permit: Permit, edit: Callable[[dict[str, Any]], Any], operation: str) -> Written:
        async def change(pipe: Pipeline) -> tuple[Any, Callable[[], None]]:
            raw = await pipe.get(PUBLISHED_KEY)
            try:
                document = published_document(raw)
            except Malformed as problem:
                raise conflict(
                    f"{PUBLISHED_KEY} cannot be changed safely: {problem}; it was left as it is",
                    code="MALFORMED_REGISTRY",
                    then="repair or delete it with redis-cli, then run this again",
                ) from None
            before = edit(document)
            text = encode_published(document)

            def queue() -> None:
                # The seed's gateway clears its map when the key is deleted; an empty object does the same and
                # keeps the key's expiry and its history in one place (budapp never deletes it either).
                pipe.set(PUBLISHED_KEY, text, keepttl=True)

            return before, queue

        return await self._transact(permit, (PUBLISHED_KEY,), change, operation)

    async def _transact(
        self,
        permit: Permit,
        names: tuple[str, ...],
        change: Callable[[Pipeline], Awaitable[tuple[Any, Callable[[], None]]]],
        operation: str,
    ) -> Written:
        """WATCH what is read, queue the change, announce it; again where somebody came between."""
        try:
            for _ in range(_ATTEMPTS):
                async with self._redis.pipeline(transaction=True) as pipe:
                    await pipe.watch(*names, EPOCH_KEY)
                    epoch = max(int(await pipe.get(EPOCH_KEY) or 0) + 1, time.time_ns() // 1_000_000)
                    before, queue = await change(pipe)
                    pipe.multi()  # type: ignore[no-untyped-call]
                    queue()
                    pipe.set(EPOCH_KEY, epoch)
                    pipe.xadd(
                        WRITES_STREAM,
                        _attribution(permit, names, epoch, operation),
                        maxlen=_STREAM_LENGTH,
                        approximate=True,
                    )
                    pipe.publish(EPOCH_CHANNEL, epoch)
                    try:
                        await pipe.execute()
                    except WatchError:
                        continue
                    return Written(epoch, before)
        except (RedisError, OSError) as problem:
            raise Unavailable(
                f"Redis did not take the write to {', '.join(map(shown_key, names))}: {type(problem).__name__}",
                code="REDIS_UNAVAILABLE",
                then="modeldeck status",
            ) from problem
        raise conflict(f"others write {', '.join(map(shown_key, names))} without a pause; nothing was changed")


def _attribution(permit: Permit, names: tuple[str, ...], epoch: int, operation: str) -> dict[Any, Any]:
    return {
        "keys": json.dumps(names),
        "actor": permit.actor,
        "action": permit.action,
        "operation": operation,
        "epoch": epoch,
    }


def _endpoint(entry: Any) -> Any:
    return entry.get("endpoint_id") if isinstance(entry, dict) else None


def _text(value: bytes | str | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
