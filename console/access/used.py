"""When a key was last used, how often, and for which models: counted by the gateway's workers, kept in Redis.

Workers add up in memory and write once a second, so a request costs no round trip; while Redis is away they go on
adding up. Only keys that are known are counted by key: whoever tries a million wrong ones fills no memory.

    modeldeck:used:keys      digest → ``<Unix seconds> <client address or ->``
    modeldeck:used:counts    digest → requests that were let through
    modeldeck:used:models    model → requests that were let through
    modeldeck:used:denials   code → requests that were refused
    modeldeck:used:hour:N    digest → requests that were let through in hour N since 1970; the last 24 are kept
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.decision import Allowed, Denied
from console.access.types import is_probe

T = TypeVar("T")

KEYS = "modeldeck:used:keys"
COUNTS = "modeldeck:used:counts"
MODELS = "modeldeck:used:models"
DENIALS = "modeldeck:used:denials"
HOUR_PREFIX = "modeldeck:used:hour:"
HOURS = 24
FLUSH_SECONDS = 1.0
_HOUR_SECONDS = 3600
_DROPPED_HOURS = 8 * 24
"""How far back hours are dropped, once an hour: further than a gateway that is in use has been off."""
_CHUNK = 2_000
_LONGEST_CLIENT = 64


@dataclass(frozen=True, slots=True)
class Use:
    """What is known of one text of a key: the last request that was let through, and how many there were."""

    at: datetime
    client: str | None
    count: int


class Tally:
    """What one worker has seen and not written yet."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._last: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._models: Counter[str] = Counter()
        self._denials: Counter[str] = Counter()
        self._hour = 0
        """The hour whose beginning dropped the old ones."""

    def saw(self, answer: Allowed | Denied, client: str | None, now: float) -> None:
        """One decision; what Modeldeck's own probes ask is nobody's use. ``now``: Unix seconds."""
        if isinstance(answer, Denied):
            self._denials[answer.code] += 1
            return
        if is_probe(answer.key_id):
            return
        address = (client or "-")[:_LONGEST_CLIENT].replace(" ", "_")
        self._last[answer.digest] = f"{now:.0f} {address}"
        self._counts[answer.digest] += 1
        if answer.model is not None:
            self._models[answer.model] += 1

    async def flush(self, now: float | None = None) -> None:
        """Write what has come together. Where Redis does not take it, it is kept for the next time.

        The hour of a request is the hour in which it is written, a second later: that costs a request nothing.

        Raises:
            RedisError, OSError: Redis does not answer.
        """
        last, self._last = self._last, {}
        tallies = {COUNTS: self._counts, MODELS: self._models, DENIALS: self._denials}
        self._counts, self._models, self._denials = Counter(), Counter(), Counter()
        try:
            # One transaction: all or nothing. Only where the answer to it is lost may something count twice.
            pipeline = self._redis.pipeline(transaction=True)
            for some in _chunks(list(last.items())):
                pipeline.hset(KEYS, mapping=dict(some))
            for name, counts in tallies.items():
                for field, count in counts.items():
                    pipeline.hincrby(name, field, count)
            hour = int(time.time() if now is None else now) // _HOUR_SECONDS
            for field, count in tallies[COUNTS].items():
                pipeline.hincrby(f"{HOUR_PREFIX}{hour}", field, count)
            if len(pipeline) and hour != self._hour:
                # Not by an expiry: a gateway's user of Redis may delete its counters, and need not have more rights.
                pipeline.delete(*(f"{HOUR_PREFIX}{hour - HOURS - back}" for back in range(_DROPPED_HOURS)))
            if len(pipeline):
                await pipeline.execute()
                self._hour = hour
        except (RedisError, OSError):
            self._last = last | self._last
            self._counts.update(tallies[COUNTS])
            self._models.update(tallies[MODELS])
            self._denials.update(tallies[DENIALS])
            raise


async def uses_of(redis: Redis, digests: Sequence[str]) -> dict[str, Use]:
    """What is known of these digests; those that were never used are left out."""
    found: dict[str, Use] = {}
    for some in _chunks(list(digests)):
        lasts, counts = await redis.hmget(KEYS, some), await redis.hmget(COUNTS, some)
        for digest, last, count in zip(some, lasts, counts, strict=True):
            use = _use(last, count)
            if use is not None:
                found[digest] = use
    return found


async def hours_of(redis: Redis, digests: Sequence[str], now: float) -> list[int]:
    """Requests with any of these digests in each of the last 24 hours, the oldest first, the present hour last."""
    if not digests:
        return [0] * HOURS
    present = int(now) // _HOUR_SECONDS
    pipeline = redis.pipeline(transaction=False)
    for hour in range(present - HOURS + 1, present + 1):
        pipeline.hmget(f"{HOUR_PREFIX}{hour}", list(digests))
    return [sum(map(_number, counts)) for counts in await pipeline.execute()]


async def requests_of(redis: Redis, models: Sequence[str]) -> dict[str, int]:
    """How many requests for each of these models were let through."""
    if not models:
        return {}
    return {model: _number(raw) for model, raw in zip(models, await redis.hmget(MODELS, list(models)), strict=True)}


async def denials(redis: Redis) -> dict[str, int]:
    """How many requests were refused, by the code that the client got."""
    return {_text(code): _number(raw) for code, raw in (await redis.hgetall(DENIALS)).items()}


def _use(last: bytes | str | None, count: bytes | str | None) -> Use | None:
    if last is None:
        return None
    seconds, _, client = _text(last).partition(" ")
    try:
        at = datetime.fromtimestamp(float(seconds), UTC)
    except (ValueError, OverflowError, OSError):  # somebody else's doing
        return None
    return Use(at, None if client in ("", "-") else client, _number(count))


def _number(raw: bytes | str | None) -> int:
    try:
        return int(raw or 0)
    except ValueError:
        return 0


def _chunks(items: list[T]) -> Iterable[list[T]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
