"""Tenants: the namespaces that carry our label, and how much of what each may have."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from console.access import suspensions
from console.call import Call
from console.k8s.types import LABEL_TENANT, NAMESPACE, Object, Ref
from console.keys import book as keys
from console.keys.quotas import MAX_PUBLICATIONS, MAX_RPM, Quota, check, quota_of
from console.outcome import Ending, Outcome, Refusal, conflict, counted
from console.publishing import book


async def listing(call: Call) -> Outcome:
    """The tenants that the operator may act for, with what each has and may have."""
    cluster = await call.services.cluster()
    namespaces, _ = await cluster.list(NAMESPACE, labels=LABEL_TENANT)
    allowed = call.principal.tenants
    store = await call.services.store()
    now = datetime.now(UTC)
    published = Counter(publication.tenant for publication, _, _ in await book.listing(store, tenants=None))
    issued = Counter(tenant for key in await keys.list_keys(store) if key.counts(now) for tenant in key.quota_tenants)
    stand = await suspensions.standing(call.services)
    rows = []
    for item in namespaces:
        name = item["metadata"]["name"]
        if allowed is None or name in allowed:
            rows.append(_row(item, published[name], issued[name]) | {"state": stand.state(name)})
    return Outcome(Ending.DONE, counted(len(rows), "tenant"), data=sorted(rows, key=lambda row: row["name"]))


def _row(namespace: Object, published: int, issued: int) -> dict[str, Any]:
    metadata = namespace["metadata"]
    quota, problem = Quota(), ""
    try:
        quota = quota_of(namespace)
    except Refusal as refusal:
        problem = str(refusal)
    return {
        "name": metadata["name"],
        "published": published,
        "max_published": quota.publications,
        "publications": _share(published, quota.publications, problem),
        "keys": issued,
        "max_keys": quota.keys,
        "keys_used": _share(issued, quota.keys, problem),
        "max_rpm": quota.rpm,
        "problem": problem,
        "created_at": metadata.get("creationTimestamp"),
    }


def _share(used: int, most: int | None, problem: str) -> str:
    """``3/10``; ``3`` without a limit; ``3/?`` where the limit cannot be read."""
    if problem:
        return f"{used}/?"
    return str(used) if most is None else f"{used}/{most}"


async def check_quota(call: Call, tenant: str, *, rpm: int | None, adds: int) -> None:
    """Refuse a publication that the tenant's quota does not allow. Asks the cluster once.

    Args:
        rpm: requests per minute for each key that it will have; None: no limit of its own
        adds: how many publications come on top of those there are; 0 for a change of one

    Raises:
        Refusal: there would be too many, or the limit is too high or missing, or the quota cannot be read.
    """
    quota = await _quota(call, tenant)
    if adds:
        await _judge_number(call, tenant, quota, adds)
    if quota.rpm is not None and (rpm is None or rpm > quota.rpm):
        asked = "no limit" if rpm is None else f"{rpm}"
        raise Refusal(
            f"tenant {tenant} may let a key have {quota.rpm} requests per minute at most ({MAX_RPM}), and {asked} was "
            "asked for; nothing was changed",
            code="QUOTA_EXCEEDED",
            status=409,
            then=f"add --rpm {quota.rpm}",
        )


async def check_number(call: Call, tenant: str, *, adds: int) -> None:
    """Refuse so many publications more than a tenant has, all of them together.

    Raises:
        Refusal: they would be too many; the sentence says how many fit. Or the quota cannot be read.
    """
    await _judge_number(call, tenant, await _quota(call, tenant), adds)


async def check_standing(call: Call, tenant: str) -> None:
    """Refuse to bring anything about for a tenant that is suspended: no request of its own could prove it.

    Raises:
        Refusal: it is suspended, as far as the database and Redis tell.
    """
    if (await suspensions.standing(call.services)).state(tenant) != suspensions.ACTIVE:
        raise conflict(
            f"tenant {tenant} is suspended: no request could prove what is published for it; nothing was changed",
            code="TENANT_SUSPENDED",
            then=f"modeldeck tenants resume {tenant}",
        )


async def _quota(call: Call, tenant: str) -> Quota:
    namespace = await (await call.services.cluster()).get(Ref(NAMESPACE, tenant, None))
    # Who plans the publication says it where there is no such tenant.
    return Quota() if namespace is None else quota_of(namespace)


async def _judge_number(call: Call, tenant: str, quota: Quota, adds: int) -> None:
    if quota.publications is None:
        return
    there = len(await book.listing(await call.services.store(), tenants=[tenant]))
    fit = max(0, quota.publications - there)
    if adds == 1 or not fit:
        check(tenant, "publications", MAX_PUBLICATIONS, used=there, most=quota.publications)
    elif adds > fit:
        raise Refusal(
            f"tenant {tenant} has {there} publications and may have {quota.publications}: of the {adds} new ones "
            f"{fit} would fit; nothing was changed",
            code="QUOTA_EXCEEDED",
            status=409,
            then=f"name fewer, or raise {MAX_PUBLICATIONS} on the namespace {tenant}",
        )
