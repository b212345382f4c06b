"""What is published, and how it is: one verdict on each publication, and where clients call it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from console.access import suspensions
from console.access.used import requests_of
from console.call import Call
from console.outcome import Ending, ModeldeckError, Outcome
from console.publishing import book
from console.publishing.drift import Difference, compare, row_of, sentence
from console.publishing.manifests import public_host, tenant_path
from console.publishing.plan import Planner
from console.publishing.readiness import readiness
from console.publishing.types import Publication, PublicationKind, PublicationState, Published


async def published(call: Call) -> Outcome:
    """Everything that is published, each with one verdict on whether it is served."""
    store = await call.services.store()
    tenants = [call["tenant"]] if call["tenant"] else None
    if tenants is None and call.principal.tenants is not None:
        tenants = sorted(call.principal.tenants)
    rows = []
    standing = await suspensions.standing(call.services)
    for publication, state, created_at in await book.listing(store, tenants=tenants):
        if call["name"] and publication.name != call["name"]:
            continue
        status = await status_of(call, publication, state, created_at)
        if publication.tenant in standing.refused and status.ready:
            refused = f"tenant {publication.tenant} is suspended: its keys are refused with 403"
            status = dataclasses.replace(status, ready=False, reason=refused)
        rows.append((await _with_drift(call, status)).as_json())
    requests = await requests_of(await call.services.redis(), [row["name"] for row in rows])
    rows = [row | {"requests": requests[row["name"]]} for row in rows]
    if call["name"] and not rows:
        # Another tenant's looks like one that is not there.
        raise book.not_published(call["name"])
    return Outcome(Ending.DONE, f"{len(rows)} published", data=rows)


async def planner_of(call: Call) -> Planner:
    services = call.services
    return Planner(await services.cluster(), await services.redis(), services.profile, services.provider_credential)


async def status_of(call: Call, publication: Publication, state: PublicationState, created_at: Any) -> Published:
    gateway = call.services.profile.gateway
    verdict = await readiness(await call.services.cluster(), publication, gateway)
    planner = await planner_of(call)
    entry = await planner.entry_problem(publication)
    ready = verdict.ready and entry is None and state is PublicationState.READY
    reason = ""
    if state is not PublicationState.READY:
        reason = f"{state.value}: an operation is under way, or recovery ends it within a minute (operations list)"
    elif not ready:
        reason = entry or "" if verdict.ready else verdict.sentence
    objects = tuple(f"{m['kind']} {publication.tenant}/{m['metadata']['name']}" for m in planner.manifests(publication))
    return Published(publication, state, ready, reason, url_of(publication, gateway.url), created_at, objects)


async def _with_drift(call: Call, status: Published) -> Published:
    """With what differs from it: as the watch of this process knows, where there is one; for a single one as it is."""
    differences: Sequence[Difference] | None = None
    if call.services.drift is not None:
        differences = call.services.drift.of(status.publication)
    elif call["name"] and status.state is PublicationState.READY:
        with contextlib.suppress(ModeldeckError):  # who may not ask the cluster for it sees all the rest
            differences = (await compare(call, status.publication)).differences
    if differences is None:
        return status
    reason = status.reason or sentence(differences)
    return dataclasses.replace(status, drift=tuple(row_of(one) for one in differences), reason=reason)


def url_of(publication: Publication, base: str) -> str:
    """Where clients call it: at its first hostname, with the scheme and port of the Gateway."""
    host = public_host(publication)
    if host is not None:
        parts = urlsplit(base)
        base = parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host).geturl()
    if publication.kind is PublicationKind.TRADITIONAL:
        return f"{base}{tenant_path(publication.tenant)}/v1/models/{publication.name}:predict"
    return f"{base}/v1/chat/completions"
