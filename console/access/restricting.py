"""Suspending and resuming a tenant: one entry among the restrictions, in effect when every worker has it."""

from __future__ import annotations

from dataclasses import replace

from redis.exceptions import RedisError

from console.access.codec import Malformed, parse_restrictions
from console.access.propagation import everywhere
from console.access.types import RESTRICTIONS_KEY, Restrictions
from console.call import Call
from console.outcome import Ending, Outcome, Refusal, Unavailable

_PROPAGATION_SECONDS = 8.0


async def suspend(call: Call) -> Outcome:
    """Refuse every key of a tenant from now on."""
    return await _change(call, suspended=True)


async def resume(call: Call) -> Outcome:
    """Let a tenant's keys through again."""
    return await _change(call, suspended=False)


async def _change(call: Call, *, suspended: bool) -> Outcome:
    tenant: str = call["tenant"]
    call.permit.covers(tenant)
    word = "suspended" if suspended else "resumed"
    redis = await call.services.redis()

    def edit(before: Restrictions) -> Restrictions:
        names = before.suspended_tenants
        return replace(before, suspended_tenants=names | {tenant} if suspended else names - {tenant})

    try:
        now = parse_restrictions(await redis.get(RESTRICTIONS_KEY))
    except Malformed as problem:
        raise Refusal(
            f"{RESTRICTIONS_KEY} cannot be read: {problem}; nothing was changed",
            code="MALFORMED_RESTRICTIONS",
            then=f"look at it: redis-cli GET {RESTRICTIONS_KEY}",
        ) from None
    if edit(now) == now:
        return Outcome(Ending.UNCHANGED, f"tenant {tenant} is {word if suspended else 'not suspended'} already")
    written = await (await call.services.writer()).restrict(call.permit, edit)
    try:
        propagation = await everywhere(redis, written.epoch, timeout=_PROPAGATION_SECONDS)
    except (RedisError, OSError, Unavailable):
        return Outcome(Ending.PENDING, f"tenant {tenant}: written, and not proven at the gateway")
    if not propagation.complete:
        return Outcome(Ending.PENDING, f"tenant {tenant} {word}: {propagation}", then="modeldeck access status")
    return Outcome(Ending.DONE, f"tenant {tenant} {word}: {propagation}", proof=(str(propagation),))
