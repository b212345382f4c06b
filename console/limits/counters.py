"""Counters in Redis: fixed windows by its own clock, taken together or not at all.

One script per request of Envoy's, so that any number of services and gateways count exactly. A counter is a number
with an expiry at the end of its window; there is nothing to clean up, and no two clocks to agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local said, refused = {}, false
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 4
  local limit, hits, mode = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3]), ARGV[at + 4]
  local used = tonumber(redis.call('GET', key) or '0')
  -- To ask without taking (0 hits) is to ask whether anything is left.
  local over = used + math.max(hits, 1) > limit
  if mode == 'take' and over then
    refused = true
  end
  said[i] = {used, over and 1 or 0, 0}
end
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 4
  local seconds, hits, mode = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4]
  local ends = (math.floor(time[1] / seconds) + 1) * seconds * 1000
  if hits > 0 and (mode == 'count' or not refused) then
    said[i][1] = redis.call('INCRBY', key, string.format('%.0f', hits))
    if redis.call('PTTL', key) < 0 then
      redis.call('PEXPIREAT', key, string.format('%.0f', ends))
    end
  end
  said[i][3] = ends - now
end
return said
"""


_LATE = """
local now = tonumber(redis.call('TIME')[1])
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 3
  local seconds, window = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  -- What was charged in a window that has ended since counts no more.
  if math.floor(now / seconds) == window then
    redis.call('INCRBY', key, ARGV[at + 3])
    if redis.call('PTTL', key) < 0 then
      redis.call('PEXPIREAT', key, string.format('%.0f', (window + 1) * seconds * 1000))
    end
  end
end
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One counter of a request.

    hits     so many are to be taken; 0 only asks whether anything is left
    count    add them even where they do not fit: they are spent already
    """

    key: str
    limit: int
    seconds: int
    hits: int
    count: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A counter after a request. ``over``: the request does not fit. ``resets_in`` in seconds."""

    used: int
    over: bool
    resets_in: float


class Counters:
    """The counters of every service on one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(_TAKE)
        self._late = redis.register_script(_LATE)

    async def take(self, asked: Sequence[Asked]) -> list[Standing]:
        """Take from all of them, or, where one has too little left, from none: a refused request costs nothing.

        Raises:
            RedisError, OSError: Redis does not answer; whether anything was taken is not known.
        """
        arguments: list[str | int] = []
        for one in asked:
            arguments += [one.limit, one.seconds, one.hits, "count" if one.count else "take"]
        said = await self._script(keys=[one.key for one in asked], args=arguments)
        return [Standing(int(used), bool(over), milliseconds / 1000) for used, over, milliseconds in said]

    async def charge_late(self, charges: Sequence[tuple[str, int, int, int]]) -> None:
        """Add what was spent earlier to the counters of the windows that it was spent in, as far as they still run.

        Args:
            charges: key, seconds of its windows, number of the window since 1970, how much

        Raises:
            RedisError, OSError: as in `take`.
        """
        arguments = [number for _, seconds, window, hits in charges for number in (seconds, window, hits)]
        await self._late(keys=[key for key, *_ in charges], args=arguments)
