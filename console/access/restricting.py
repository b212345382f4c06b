"""Suspending and resuming a tenant: in the database, and in one entry of Redis; in effect when every worker has it."""

from __future__ import annotations

from dataclasses import replace

from redis.exceptions import RedisError

from console.access import suspensions
from console.access.codec import Malformed, parse_restrictions
from console.access.propagation import everywhere
from console.access.types import RESTRICTIONS_KEY, Restrictions
from console.access.writer import Edit, Written
from console.call import Call
from console.k8s.types import LABEL_TENANT, NAMESPACE, Ref
from console.outcome import Ending, ModeldeckError, Outcome, Refusal, Unavailable

_PROPAGATION_SECONDS = 8.0


async def suspend(call: Call) -> Outcome:
    """Refuse every key of a tenant from now on."""
    tenant: str = call["tenant"]
    call.permit.covers(tenant)
    store = await call.services.store()
    there = await _there(call)
    await _refuse_strange(call, tenant)
    before = await suspensions.kept(store)
    if there is not None and tenant in there and tenant in before:
        return Outcome(Ending.UNCHANGED, f"tenant {tenant} is suspended already")
    await suspensions.put(store, tenant, suspensions.by(call.permit))
    try:
        written = await (await call.services.writer()).restrict(call.permit, _with(tenant))
    except Unavailable as problem:
        # It is kept: whatever happens to Redis meanwhile, the tenant is suspended there too when it is back.
        return Outcome(
            Ending.PENDING,
            f"tenant {tenant} is suspended in the database, and the gateway was not told: {problem}",
            then="modeldeck keys restore writes it when Redis is back, and so does a running collector of usage",
        )
    return await _proven(call, written, f"tenant {tenant} suspended")


async def resume(call: Call) -> Outcome:
    """Let a tenant's keys through again."""
    tenant: str = call["tenant"]
    call.permit.covers(tenant)
    store = await call.services.store()
    there = await _there(call)
    before = (await suspensions.kept(store)).get(tenant)
    if before is None and (there is None or tenant not in there):
        return Outcome(Ending.UNCHANGED, f"tenant {tenant} is not suspended already")
    # The database first: what writes again what Redis lacks goes by it.
    await suspensions.remove(store, tenant)
    try:
        written = await (await call.services.writer()).restrict(call.permit, _without(tenant))
    except ModeldeckError:
        if before is not None:
            await suspensions.put(store, tenant, before)
        raise
    return await _proven(call, written, f"tenant {tenant} resumed")


async def again(call: Call, tenants: list[str]) -> Outcome:
    """Write the suspensions that Redis has lost.

    Raises:
        Refusal: what stands in Redis is malformed.
    """
    written = await suspensions.mirror(call.services, call.permit)
    said = f"suspension of {', '.join(tenants)} restored"
    if written is None:
        return Outcome(Ending.UNCHANGED, f"{said} by somebody else")
    return await _proven(call, written, said)


async def _proven(call: Call, written: Written, said: str) -> Outcome:
    try:
        propagation = await everywhere(await call.services.redis(), written.epoch, timeout=_PROPAGATION_SECONDS)
    except (RedisError, OSError, Unavailable):
        return Outcome(Ending.PENDING, f"{said}: written, and not proven at the gateway", then="modeldeck status")
    if not propagation.complete:
        return Outcome(Ending.PENDING, f"{said}: {propagation}", then="modeldeck access status")
    return Outcome(Ending.DONE, f"{said}: {propagation}", proof=(str(propagation),))


def _with(tenant: str) -> Edit:
    async def edit(before: Restrictions) -> Restrictions:
        return replace(before, suspended_tenants=before.suspended_tenants | {tenant})

    return edit


def _without(tenant: str) -> Edit:
    async def edit(before: Restrictions) -> Restrictions:
        return replace(before, suspended_tenants=before.suspended_tenants - {tenant})

    return edit


async def _there(call: Call) -> frozenset[str] | None:
    """The tenants that are suspended in Redis; None where it cannot be asked.

    Raises:
        Refusal: what stands there is malformed.
    """
    try:
        raw = await (await call.services.redis()).get(RESTRICTIONS_KEY)
        return parse_restrictions(raw).suspended_tenants
    except Malformed as problem:
        raise Refusal(
            f"{RESTRICTIONS_KEY} cannot be read: {problem}; nothing was changed",
            code="MALFORMED_RESTRICTIONS",
            then=f"look at it: redis-cli GET {RESTRICTIONS_KEY}",
        ) from None
    except (RedisError, OSError, Unavailable):
        return None


async def _refuse_strange(call: Call, tenant: str) -> None:
    """A slip of the finger must not be called a suspension. The database is asked first: it works in an emergency too.

    Raises:
        Refusal: there is no such tenant, or nobody can be asked who would know.
    """
    if await suspensions.is_known(await call.services.store(), tenant):
        return
    problem = ""
    try:
        namespace = await (await call.services.cluster()).get(Ref(NAMESPACE, tenant, None))
        if namespace is not None and LABEL_TENANT in namespace["metadata"].get("labels", {}):
            return
    except ModeldeckError as unknown:
        problem = f" in the database, and the cluster cannot be asked: {unknown}"
    raise Refusal(
        f"there is no tenant {tenant}{problem}; nothing was changed",
        code="INVALID_TENANT",
        then="modeldeck tenants list",
    )
