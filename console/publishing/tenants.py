"""Tenants: the namespaces that carry our label."""

from __future__ import annotations

from console.call import Call
from console.k8s.types import LABEL_TENANT, NAMESPACE
from console.outcome import Ending, Outcome
from console.publishing import book


async def listing(call: Call) -> Outcome:
    """The tenants that the operator may act for, with what each has published."""
    cluster = await call.services.cluster()
    namespaces, _ = await cluster.list(NAMESPACE, labels=LABEL_TENANT)
    allowed = call.principal.tenants
    published = await book.listing(await call.services.store(), tenants=None)
    rows = []
    for item in namespaces:
        name = item["metadata"]["name"]
        if allowed is None or name in allowed:
            count = sum(publication.tenant == name for publication, _, _ in published)
            rows.append({"name": name, "published": count, "created_at": item["metadata"].get("creationTimestamp")})
    return Outcome(Ending.DONE, f"{len(rows)} tenants", data=sorted(rows, key=lambda row: row["name"]))
