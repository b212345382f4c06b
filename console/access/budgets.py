"""Budgets of keys and tenants, in money and tokens: what is left is reserved at admission, and settled by the log.

What has been spent comes from the usage that was counted (console/usage/), which alone knows what answers have cost.
Between a request and its line in the log its place is held by what such requests have typically cost, so that callers
at the same moment cannot all spend the same rest. A hold that nobody settles ends by itself.

    modeldeck:budgets              ``key:k7f3aa`` or ``tenant:acme`` → the budget, as JSON
    modeldeck:budget:spent:NAME    of the present period: start, tokens, cost, typical_tokens, typical_cost
    modeldeck:budget:held:NAME     request id → ``tokens cost``; ``t`` and ``c``: their sums
    modeldeck:budget:until:NAME    request id → when its hold ends
    modeldeck:budget:kept:NAME     of the present period: start, tokens, cost of holds whose real cost nobody knows

Costs are nano-dollars (10⁻⁹ USD) here: numbers in Redis' scripts are exact up to 2⁵³, nine million dollars of them.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.decision import Denied

BUDGETS = "modeldeck:budgets"
SPENT, HELD, UNTIL, KEPT = (f"modeldeck:budget:{part}:" for part in ("spent", "held", "until", "kept"))
HOLD_SECONDS = 900
READ_SECONDS = 0.5
NANO_PER_USD = 10**9

_NUMBERS = """
local function n(number)
  return string.format('%.0f', number)
end
"""
_ADMIT = (
    _NUMBERS
    + """
local now, id, until_ = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local answers, fits = {}, true
for i = 1, #KEYS / 4 do
  local spent, held, ends, kept = KEYS[i * 4 - 3], KEYS[i * 4 - 2], KEYS[i * 4 - 1], KEYS[i * 4]
  local tokens, cost, start = tonumber(ARGV[i * 3 + 1]), tonumber(ARGV[i * 3 + 2]), ARGV[i * 3 + 3]
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now)) do
    local t, c = string.match(redis.call('HGET', held, old) or '0 0', '(%d+) (%d+)')
    redis.call('HINCRBY', held, 't', n(0 - tonumber(t)))
    redis.call('HINCRBY', held, 'c', n(0 - tonumber(c)))
    redis.call('HDEL', held, old)
    redis.call('ZREM', ends, old)
  end
  local of = redis.call('HMGET', spent, 'start', 'tokens', 'cost', 'typical_tokens', 'typical_cost')
  local extra = redis.call('HMGET', kept, 'start', 'tokens', 'cost')
  local t, c = 0, 0
  if of[1] == start then t, c = tonumber(of[2]), tonumber(of[3]) end
  if extra[1] == start then t, c = t + tonumber(extra[2] or '0'), c + tonumber(extra[3] or '0') end
  local ht, hc = unpack(redis.call('HMGET', held, 't', 'c'))
  ht, hc = tonumber(ht or '0'), tonumber(hc or '0')
  local et, ec = tonumber(of[4] or '0'), tonumber(of[5] or '0')
  local over
  if redis.call('HEXISTS', held, id) == 1 then
    over = false -- the gateway asks again
  elseif redis.call('ZCARD', ends) == 0 then
    -- The last one may go through as long as anything is left: else the rest could never be used.
    over = (tokens >= 0 and t >= tokens) or (cost >= 0 and c >= cost)
  else
    over = (tokens >= 0 and t + ht + et >= tokens) or (cost >= 0 and c + hc + ec >= cost)
  end
  fits = fits and not over
  answers[i] = {over and 1 or 0, t, c, et, ec}
end
if fits then
  for i = 1, #KEYS / 4 do
    local held, ends = KEYS[i * 4 - 2], KEYS[i * 4 - 1]
    if redis.call('HSETNX', held, id, n(answers[i][4]) .. ' ' .. n(answers[i][5])) == 1 then
      redis.call('HINCRBY', held, 't', n(answers[i][4]))
      redis.call('HINCRBY', held, 'c', n(answers[i][5]))
    end
    redis.call('ZADD', ends, until_, id)
    redis.call('EXPIREAT', ends, until_ + 60)
    redis.call('EXPIREAT', held, until_ + 60)
  end
end
return answers
"""
)
_SETTLE = (
    _NUMBERS
    + """
local start = ARGV[1]
redis.call('HSET', KEYS[1], 'start', start, 'tokens', ARGV[2], 'cost', ARGV[3], 'typical_tokens', ARGV[4],
  'typical_cost', ARGV[5])
if redis.call('HGET', KEYS[4], 'start') ~= start then
  redis.call('DEL', KEYS[4])
end
for i = 6, #ARGV, 2 do
  local found = redis.call('HGET', KEYS[2], ARGV[i])
  if found then
    local t, c = string.match(found, '(%d+) (%d+)')
    redis.call('HINCRBY', KEYS[2], 't', n(0 - tonumber(t)))
    redis.call('HINCRBY', KEYS[2], 'c', n(0 - tonumber(c)))
    redis.call('HDEL', KEYS[2], ARGV[i])
    redis.call('ZREM', KEYS[3], ARGV[i])
    if ARGV[i + 1] == '0' then
      redis.call('HSET', KEYS[4], 'start', start)
      redis.call('HINCRBY', KEYS[4], 'tokens', t)
      redis.call('HINCRBY', KEYS[4], 'cost', c)
    end
  end
end
local kept = redis.call('HMGET', KEYS[4], 'tokens', 'cost')
return {tonumber(kept[1] or '0'), tonumber(kept[2] or '0')}
"""
)


log = logging.getLogger("modeldeck.budgets")


class Period(StrEnum):
    """When a budget begins anew, in UTC."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"

    def start(self, now: float) -> int:
        """Unix seconds of the beginning of the present one; 0 of the one that never ends."""
        at = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Period.TOTAL:
            return 0
        return int((at if self is Period.DAY else at.replace(day=1)).timestamp())

    def end(self, now: float) -> int | None:
        """Unix seconds of its end."""
        if self is Period.TOTAL:
            return None
        start = datetime.fromtimestamp(self.start(now), UTC)
        if self is Period.DAY:
            return int(start.timestamp()) + 86_400
        year, month = divmod(start.year * 12 + start.month, 12)
        return int(start.replace(year=year, month=month + 1).timestamp())


@dataclass(frozen=True, slots=True)
class Budget:
    """What a key or a tenant may spend in a period; of ``tokens`` and ``usd`` None is no bound.

    scope  ``key`` or ``tenant``
    name   the id of the key, or the tenant
    """

    scope: Literal["key", "tenant"]
    name: str
    period: Period
    tokens: int | None
    usd: Decimal | None

    @property
    def field(self) -> str:
        return f"{self.scope}:{self.name}"

    @property
    def sentence(self) -> str:
        """``$10.00 and 1,000,000 tokens a month``."""
        bounds = [] if self.usd is None else [f"${self.usd:,.2f}" if self.usd >= 1 else f"${self.usd:f}"]
        bounds += [] if self.tokens is None else [f"{self.tokens:,} tokens"]
        return f"{' and '.join(bounds)} {'in all' if self.period is Period.TOTAL else f'a {self.period.value}'}"

    def as_text(self) -> str:
        usd = None if self.usd is None else f"{self.usd:f}"
        return json.dumps({"period": self.period.value, "tokens": self.tokens, "usd": usd})

    @classmethod
    def of_text(cls, field: str, text: str) -> Budget:
        """What `as_text` made.

        Raises:
            ValueError: it is something else.
        """
        scope, _, name = field.partition(":")
        if scope not in ("key", "tenant"):
            raise ValueError(field)
        try:
            said = json.loads(text)
            usd = None if said["usd"] is None else Decimal(said["usd"])
            tokens = None if said["tokens"] is None else int(said["tokens"])
            return cls("key" if scope == "key" else "tenant", name, Period(said["period"]), tokens, usd)
        except (ArithmeticError, KeyError, TypeError) as problem:
            raise ValueError(field) from problem


class BudgetGate:
    """Asks, for the requests of keys and tenants that have a budget, whether something is left. Of the others it costs
    a look into a set. Belongs to one worker.

    Args:
        fail: what becomes of a request where Redis does not answer: ``open`` lets it pass, ``closed`` refuses it
    """

    def __init__(self, redis: Redis, *, fail: Literal["open", "closed"]) -> None:
        self._redis = redis
        self._fail = fail
        self._admit = redis.register_script(_ADMIT)
        self._known = True
        self.budgets: Mapping[str, Budget] = {}

    async def read(self) -> None:
        """Read which budgets there are.

        Raises:
            RedisError, OSError: Redis does not answer; those that were read last stay.
        """
        self.budgets = await read_budgets(self._redis)

    def of(self, key_id: str | None, tenant: str | None) -> tuple[Budget, ...]:
        """The budgets that a request is charged to."""
        budgets = self.budgets
        if not budgets:
            return ()
        found = (budgets.get(f"key:{key_id}"), budgets.get(f"tenant:{tenant}"))
        return tuple(one for one in found if one is not None)

    async def admit(self, budgets: Sequence[Budget], request: str, now: float) -> Denied | None:
        """Hold a place for a request in all of its budgets, or in none; then the refusal.

        Args:
            request: its id, as it will stand in the log; the same one holds one place
        """
        keys: list[str] = []
        arguments: list[str | int] = [int(now), request, int(now) + HOLD_SECONDS]
        for one in budgets:
            keys += [part + one.field for part in (SPENT, HELD, UNTIL, KEPT)]
            nano = -1 if one.usd is None else int(one.usd * NANO_PER_USD)
            arguments += [-1 if one.tokens is None else one.tokens, nano, one.period.start(now)]
        try:
            answers = await self._admit(keys=keys, args=arguments)
        except (RedisError, OSError) as problem:
            self._note(problem)
            if self._fail == "open":
                return None
            message = "What is left of the budget is not known at the moment."
            return Denied(503, "budget_unknown", message, "budget", retry_after=1)
        self._note(None)
        for budget, (over, *_) in zip(budgets, answers, strict=True):
            if over:
                return refusal(budget, now)
        return None

    def _note(self, problem: Exception | None) -> None:
        """Say once that nobody knows what is left, and once that it is known again."""
        if self._known != (problem is None):
            self._known = problem is None
            if problem is None:
                log.warning("what is left of budgets is known again")
            else:
                become = "pass" if self._fail == "open" else "are refused"
                log.error("what is left of budgets is not known (%s): their requests %s", problem, become)


def refusal(budget: Budget, now: float) -> Denied:
    """The 402."""
    whose = "this key" if budget.scope == "key" else f"the tenant {budget.name}"
    end = budget.period.end(now)
    anew = "" if end is None else f" It begins anew on {datetime.fromtimestamp(end, UTC):%Y-%m-%d} (UTC)."
    message = f"The budget of {whose}, {budget.sentence}, is used up.{anew}"
    return Denied(402, "insufficient_quota", message, "budget")


async def read_budgets(redis: Redis) -> dict[str, Budget]:
    """The budgets in force. What nobody can read is left out: it was not written by Modeldeck.

    Raises:
        RedisError, OSError: Redis does not answer.
    """
    found: dict[str, Budget] = {}
    for raw_field, raw in (await redis.hgetall(BUDGETS)).items():
        field, text = _text(raw_field), _text(raw)
        try:
            found[field] = Budget.of_text(field, text)
        except ValueError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent of a budget in its period. ``typical``: what a request has cost so far, in the mean."""

    tokens: int
    nano: int
    typical_tokens: int = 0
    typical_nano: int = 0


async def settle(
    redis: Redis, budget: Budget, spent: Spent, requests: Iterable[tuple[str, bool]], *, now: float | None = None
) -> Spent:
    """Write what is spent, and end the holds of requests that the log has told of.

    Args:
        spent: as it was counted; the whole of it, so that to write it twice does no harm
        requests: id of each, and whether its cost is known: one whose cost nobody knows keeps what was held for it

    Returns:
        what is spent, with what was kept

    Raises:
        RedisError, OSError: Redis does not answer; settle again.
    """
    start = budget.period.start(time.time() if now is None else now)
    arguments: list[Any] = [start, spent.tokens, spent.nano, spent.typical_tokens, spent.typical_nano]
    for identifier, known in requests:
        arguments += [identifier, int(known)]
    keys = [part + budget.field for part in (SPENT, HELD, UNTIL, KEPT)]
    script = redis.register_script(_SETTLE)
    tokens, nano = await script(keys=keys, args=arguments)
    return Spent(spent.tokens + int(tokens), spent.nano + int(nano), spent.typical_tokens, spent.typical_nano)


@dataclass(frozen=True, slots=True)
class Held:
    """How many requests hold a place, and what was kept of those whose cost nobody knows, in the present period."""

    requests: int
    kept_tokens: int
    kept_nano: int


async def held(redis: Redis, budget: Budget, now: float) -> Held:
    """What stands beside what was counted.

    Raises:
        RedisError, OSError: Redis does not answer.
    """
    requests = await redis.zcount(UNTIL + budget.field, int(now) + 1, "+inf")
    start, tokens, nano = await redis.hmget(KEPT + budget.field, ["start", "tokens", "cost"])
    if start is None or int(start) != budget.period.start(now):
        return Held(int(requests), 0, 0)
    return Held(int(requests), int(tokens or 0), int(nano or 0))


async def write_budget(redis: Redis, budget: Budget) -> None:
    await redis.hset(BUDGETS, budget.field, budget.as_text())


async def drop_budget(redis: Redis, scope: str, name: str) -> None:
    """Remove a budget, and what was counted and held for it."""
    field = f"{scope}:{name}"
    pipeline = redis.pipeline(transaction=True)
    pipeline.hdel(BUDGETS, field)
    pipeline.delete(*(part + field for part in (SPENT, HELD, UNTIL, KEPT)))
    await pipeline.execute()


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
