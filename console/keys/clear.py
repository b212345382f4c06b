"""What stands in clear in Redis: values of the seed's form, ``{key: {model: {…}}}``, under whatever name."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from console.access.codec import ClearEntry, parse_clear
from console.access.types import KEY_PREFIX, Fault, is_digest, shown_key

_SCANNED = 5000
"""Names for each question: a look among 100,000 entries takes twenty of them."""


async def clear_values(redis: Redis) -> tuple[list[str], list[Fault]]:
    """The names of the values that are of no digest, and those that cannot be spoken of."""
    names: set[str] = set()
    faults = []
    async for raw in redis.scan_iter(match=f"{KEY_PREFIX}*", count=_SCANNED):
        try:
            name = raw.decode() if isinstance(raw, bytes) else raw
        except UnicodeDecodeError:
            faults.append(Fault(raw.decode("utf-8", "backslashreplace"), "its name is no text"))
            continue
        if not is_digest(name.removeprefix(KEY_PREFIX)):
            names.add(name)
    return sorted(names), faults


async def read_clear(redis: Redis, name: str, salt: str) -> tuple[Sequence[ClearEntry], Sequence[Fault]]:
    """The keys that a value names, and what of it cannot be used; nothing where it is gone."""
    try:
        raw, expiry = await redis.get(name), await redis.pexpiretime(name)
    except ResponseError:
        return (), (Fault(shown_key(name), "it is no text"),)
    if raw is None:
        return (), ()
    return parse_clear(name, raw, salt=salt, expires_at=expiry / 1000 if expiry > 0 else None)


async def count_in_clear(redis: Redis, salt: str) -> int:
    """How many keys stand in clear."""
    names, _ = await clear_values(redis)
    digests = {one.entry.digest for name in names for one in (await read_clear(redis, name, salt))[0]}
    return len(digests)
