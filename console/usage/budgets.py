"""Keeps budgets and what is left of them true: in the database, and in Redis, where the gateway's workers look.

The counted usage is the truth. What is spent is written to Redis whole, never added to it, so that writing it again
after any fault does no harm; holds of requests that the log has told of end with it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from redis.exceptions import RedisError

from console.access import budgets as gate
from console.access import suspensions
from console.access.budgets import NANO_PER_USD, Budget, Period, Spent
from console.guard import system_permit
from console.outcome import ModeldeckError, Refusal
from console.store.engine import Store
from console.store.tables import usage as t
from console.sync import analytics
from console.sync.analytics import Event
from console.usage.pricing import PICO_PER_USD
from console.usage.reading import Question, Sums, series_totals, sums
from console.usage.tally import Settled

if TYPE_CHECKING:
    from console.services import Services

TOLD_AT = (80, 100)
"""Percent of a budget of which somebody is told."""
_LOOK_SECONDS = 10.0
_PICO_PER_NANO = PICO_PER_USD // NANO_PER_USD
_DAY = 86_400
_FEW = 5
"""From how many requests a mean is taken."""
_FIRST_TOKENS, _FIRST_NANO = 2_000, 2_000_000
"""What is held for a request before anything is known of what they cost: 2,000 tokens, $0.002."""
log = logging.getLogger("modeldeck.budgets")


@dataclass(frozen=True, slots=True)
class Kept:
    """A budget as the database has it."""

    budget: Budget
    actor: str
    set_at: datetime
    told: int = 0
    told_of: int = 0


async def listing(store: Store) -> list[Kept]:
    """Every budget, tenants first."""
    table = t.budgets
    async with store.reading() as db:
        rows = (await db.execute(sa.select(table).order_by(table.c.scope.desc(), table.c.name))).all()
    return [Kept(_budget(row), row.actor, row.set_at, row.told, row.told_of) for row in rows]


async def put(store: Store, budget: Budget, actor: str, now: datetime) -> None:
    """Set a budget; of one that is there the bounds are replaced, and it is told anew."""
    values = {
        "period": budget.period.value,
        "tokens": budget.tokens,
        "usd": None if budget.usd is None else f"{budget.usd:f}",
        "actor": actor,
        "set_at": now,
        "told": 0,
        "told_of": 0,
    }
    table = t.budgets
    async with store.writing() as db:
        there = sa.update(table).where(table.c.scope == budget.scope, table.c.name == budget.name).values(**values)
        if not (await db.execute(there)).rowcount:
            await db.execute(sa.insert(table).values(scope=budget.scope, name=budget.name, **values))


async def remove(store: Store, scope: str, name: str) -> bool:
    """Whether there was one."""
    table = t.budgets
    async with store.writing() as db:
        gone = await db.execute(sa.delete(table).where(table.c.scope == scope, table.c.name == name))
        return bool(gone.rowcount)


async def spent(store: Store, budget: Budget, now: float) -> Sums:
    """What was counted for a budget in its present period."""
    key = budget.name if budget.scope == "key" else None
    tenants = [budget.name] if budget.scope == "tenant" else None
    if budget.period is Period.TOTAL:
        return await series_totals(store, tenants=tenants, key=key)
    start = budget.period.start(now)
    found = await sums(store, Question(_DAY, start, start + 32 * _DAY, tenants, key=key), budget.scope)
    return sum(found, Sums(budget.name))


def share(budget: Budget, tokens: int, nano: int) -> int:
    """Whole percent of what a budget allows: the greater of its two."""
    parts = [0]
    if budget.tokens is not None:
        parts.append(tokens * 100 // max(1, budget.tokens))
    if budget.usd is not None:
        parts.append(nano * 100 // max(1, int(budget.usd * NANO_PER_USD)))
    return max(parts)


def _standing(budget: Budget, percent: int, tokens: int, nano: int, known: Spent) -> str:
    """``spent``; ``one at a time`` where what is left is less than a request usually costs, so that none is let through
    beside another; ``spending`` from the first alert on; else ``open``."""
    if percent >= TOLD_AT[-1]:
        return "spent"
    few_tokens = budget.tokens is not None and tokens + known.typical_tokens >= budget.tokens
    few_money = budget.usd is not None and nano + known.typical_nano >= int(budget.usd * NANO_PER_USD)
    if few_tokens or few_money:
        return "one at a time"
    return "spending" if percent >= TOLD_AT[0] else "open"


class Settler:
    """Settles what the collector has counted, and puts right what Redis has, now and then."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting: dict[str, bool] = {}
        self._touched: set[str] = set()
        self._looked_at = 0.0

    async def counted(self, settled: Sequence[Settled]) -> None:
        """What was counted just now; settled with the next `look`."""
        for one in settled:
            if one.identifier:
                self._waiting[one.identifier] = not one.unmetered
            self._touched |= {f"key:{one.key}", f"tenant:{one.tenant}"}

    async def look(self) -> None:
        """Settle. Where Redis or the database is away, it is done with the next look.

        Raises:
            ModeldeckError, RedisError, OSError: they are.
        """
        everything = time.monotonic() - self._looked_at > _LOOK_SECONDS
        if not self._touched and not everything:
            return
        store = await self._services.store()
        kept = await listing(store)
        if kept or everything:
            redis = await self._services.redis()
            if everything:
                await _mirror(redis, kept)
                await self._suspend()
            requests = list(self._waiting.items())
            others = await series_totals(store) if kept else Sums("")
            for one in kept:
                if everything or one.budget.field in self._touched:
                    await self._settle(store, redis, one, requests, others)
        self._waiting.clear()
        self._touched.clear()
        if everything:
            self._looked_at = time.monotonic()

    async def _suspend(self) -> None:
        """See to it that Redis has every suspension of the database, for the same reasons."""
        try:
            if await suspensions.mirror(self._services, system_permit("tenants.suspend")) is not None:
                log.warning("Redis had lost a tenant's suspension; it is written again")
        except Refusal as problem:  # the Overview tells it too; budgets need not wait for who mends it
            log.warning("suspended tenants: %s", problem)

    async def _settle(
        self, store: Store, redis: Any, kept: Kept, requests: Iterable[tuple[str, bool]], others: Sums
    ) -> None:
        now = time.time()
        found = await spent(store, kept.budget, now)
        after = await gate.settle(redis, kept.budget, _spent(found, others), requests, now=now)
        await self._tell(store, redis, kept, share(kept.budget, after.tokens, after.nano), now)

    async def _tell(self, store: Store, redis: Any, kept: Kept, percent: int, now: float) -> None:
        """Tell once in a period that so much of a budget is used."""
        start = kept.budget.period.start(now)
        level = max((one for one in TOLD_AT if percent >= one), default=0)
        before = kept.told if kept.told_of == start else 0
        if level <= before:
            return
        table, budget = t.budgets, kept.budget
        mine = (table.c.scope == budget.scope, table.c.name == budget.name)
        same = (table.c.told == kept.told, table.c.told_of == kept.told_of)
        async with store.writing() as db:
            told = await db.execute(sa.update(table).where(*mine, *same).values(told=level, told_of=start))
        if not told.rowcount:
            return  # another process has told it
        log.warning("%d %% of the budget of %s %s (%s) is used", percent, budget.scope, budget.name, budget.sentence)
        data = {"scope": budget.scope, "name": budget.name, "percent": percent, "reached": level,
                "budget": budget.sentence}  # fmt: skip
        await analytics.write(redis, [Event("budget.reached", data)], budget.field)


async def _mirror(redis: Any, kept: Sequence[Kept]) -> None:
    """See to it that Redis has just the budgets of the database: it may have been emptied, or written by others."""
    wanted = {one.budget.field: one.budget for one in kept}
    there = await gate.read_budgets(redis)
    for field, budget in wanted.items():
        if there.get(field) != budget:
            await gate.write_budget(redis, budget)
    for field in there.keys() - wanted.keys():
        scope, _, name = field.partition(":")
        await gate.drop_budget(redis, scope, name)


def _spent(found: Sums, others: Sums) -> Spent:
    """What is spent, and what a request is likely to cost: the mean of the budget's own, else of all there were."""
    tokens, nano = _used(found)
    few = Sums("", metered=_FEW, input_tokens=_FIRST_TOKENS * _FEW, cost=_FIRST_NANO * _FEW * _PICO_PER_NANO)
    known = next(one for one in (found, others, few) if one.metered >= _FEW)
    all_tokens, all_nano = _used(known)
    return Spent(tokens, nano, -(-all_tokens // known.metered), -(-all_nano // known.metered))


def _used(found: Sums) -> tuple[int, int]:
    """Tokens and nano-dollars, rounded up."""
    return found.input_tokens + found.output_tokens, -(-found.cost // _PICO_PER_NANO)


def _budget(row: Any) -> Budget:
    scope: Literal["key", "tenant"] = "key" if row.scope == "key" else "tenant"
    usd = None if row.usd is None else Decimal(row.usd)
    return Budget(scope, row.name, Period(row.period), row.tokens, usd)


async def states(services: Services, kept: Sequence[Kept]) -> list[Mapping[str, Any]]:
    """Each budget with what is spent, held and left."""
    store, now = await services.store(), time.time()
    held: list[gate.Held | None]
    try:
        redis = await services.redis()
        held = [await gate.held(redis, one.budget, now) for one in kept]
    except (ModeldeckError, RedisError, OSError):
        held = [None] * len(kept)
    rows: list[Mapping[str, Any]] = []
    for one, holds in zip(kept, held, strict=True):
        found = await spent(store, one.budget, now)
        tokens, nano = _used(found)
        tokens += holds.kept_tokens if holds else 0
        nano += holds.kept_nano if holds else 0
        end = one.budget.period.end(now)
        usd = Decimal(nano) / NANO_PER_USD
        percent = share(one.budget, tokens, nano)
        rows.append(
            {
                "scope": one.budget.scope,
                "name": one.budget.name,
                "budget": one.budget.sentence,
                "period": one.budget.period.value,
                "tokens": one.budget.tokens,
                "usd": None if one.budget.usd is None else f"{one.budget.usd:f}",
                "spent_tokens": tokens,
                "spent_usd": f"{usd:f}",
                "percent": percent,
                "state": _standing(one.budget, percent, tokens, nano, _spent(found, Sums(""))),
                "unpriced": found.unpriced,
                "under_way": None if holds is None else holds.requests,
                "renews_at": None if end is None else datetime.fromtimestamp(end, UTC).isoformat(timespec="seconds"),
                "set_by": one.actor,
            }
        )
    return rows
