"""What belongs to no publication any more: found, and removed as a journaled operation with a plan first.

An object counts as this Modeldeck's where its own database knows the publication or the operation that made it. Another
Modeldeck may be at work on the same cluster: what only carries our label is listed, and removed only where it is named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from redis.exceptions import RedisError

from console.access.codec import Malformed, published_document
from console.access.types import PUBLISHED_KEY
from console.call import Call
from console.k8s.errors import NotServed
from console.k8s.types import (
    AI_GATEWAY_ROUTE,
    AI_SERVICE_BACKEND,
    BACKEND,
    BACKEND_SECURITY_POLICY,
    BACKEND_TLS_POLICY,
    BACKEND_TRAFFIC_POLICY,
    HTTP_ROUTE,
    SECRET,
    SECURITY_POLICY,
    Object,
    ref_of,
)
from console.operations.types import NewOperation, OperationState, Recovery, Step
from console.outcome import Ending, Item, Outcome, Unavailable, counted, not_found
from console.publishing import book
from console.publishing.managers import Writer, written_by
from console.publishing.manifests import ANNOTATION_MODEL, ANNOTATION_OPERATION, LABEL_PUBLICATION, manifests
from console.publishing.types import Effect, Plan, PlannedChange, operation_target
from console.store.tables.operations import operations
from console.store.tables.publishing import publications

KINDS = (
    SECRET,
    BACKEND,
    BACKEND_TLS_POLICY,
    AI_SERVICE_BACKEND,
    BACKEND_SECURITY_POLICY,
    BACKEND_TRAFFIC_POLICY,
    SECURITY_POLICY,
    AI_GATEWAY_ROUTE,
    HTTP_ROUTE,
)
"""Every kind that a publication has objects of."""
_TARGET = "leftovers"


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object, or an entry of ``published_model_info``, that no publication asks for.

    target  ``Backend acme/pub-llama``, ``published_model_info llama``
    model   the public name that it was for; empty where it does not say
    owner   the id of the publication that it was of
    object  enough of it to name it; None for an entry, whose value is ``grant``
    seen    its uid and the operation that wrote it last, as it was found
    ours    this Modeldeck made it
    """

    target: str
    tenant: str | None
    model: str
    owner: str
    by: Writer
    ours: bool
    object: Object | None = None
    grant: dict[str, Any] | None = None
    seen: tuple[str, str] = ("", "")

    def as_json(self) -> dict[str, Any]:
        return {
            "object": self.target,
            "tenant": self.tenant,
            "model": self.model,
            "publication": self.owner,
            "by": self.by.name,
            "at": self.by.at,
            "ours": self.ours,
        }


async def listing(call: Call) -> Outcome:
    """Everything that is left, whoever made it."""
    found = await find(call)
    summary = counted(len(found), "leftover") if found else "nothing is left over"
    return Outcome(
        Ending.DONE,
        summary,
        data=[one.as_json() for one in found],
        then="modeldeck publications prune --plan" if found else "",
    )


async def prune(call: Call) -> Outcome:
    """Remove what is left: this Modeldeck's, or what is named. Routes first, so that nothing is open meanwhile.

    It is finished by recovery, not undone, where it is interrupted.
    """
    found = await find(call)
    chosen = _chosen(found, call["object"])
    for one in chosen:
        if one.tenant is not None:
            call.permit.covers(one.tenant)
    title = f"remove {counted(len(chosen), 'leftover')}"
    changes = tuple(PlannedChange(one.target, Effect.REMOVE) for one in chosen)
    warnings = tuple(
        f"{one.target} is not known to this Modeldeck: another one may need it" for one in chosen if not one.ours
    )
    if not call["object"]:
        warnings = tuple(
            f"{one.target} is left: this Modeldeck does not know it; name it to remove it"
            for one in found
            if not one.ours
        )
    plan = Plan(title, None, changes, warnings)
    if call["plan"]:
        return Outcome(Ending.UNCHANGED if plan.changes_nothing else Ending.DONE, plan.summary, data=plan)
    if not chosen:
        return Outcome(Ending.UNCHANGED, "nothing is left over that this Modeldeck made", items=_left(found))
    call.emit(plan)
    about = {"action": call.permit.action, "actor": call.permit.actor}
    steps = tuple(_step(one, about) for one in chosen)
    tenants = {one.tenant for one in chosen}
    tenant = tenants.pop() if len(tenants) == 1 else None
    operation = NewOperation(call.permit.action, _TARGET, tenant, call.permit.actor, steps, Recovery.FINISH)
    record, outcome = await (await call.services.runner()).run(operation, call.emit)
    if outcome.ending is not Ending.DONE:
        return outcome
    kept = tuple(Item(step.name, "left", step.detail) for step in record.steps if step.detail.startswith("left"))
    count = len(chosen) - len(kept)
    removed = f"{counted(count, 'leftover')} removed"
    data = {"operation": record.id, "removed": count}
    if kept:
        told = f"{removed}, {len(kept)} changed meanwhile and left"
        return dataclasses.replace(outcome, ending=Ending.PARTIAL, summary=told, items=kept, proof=(), data=data)
    return dataclasses.replace(outcome, summary=removed, data=data)


async def find(call: Call) -> list[Leftover]:
    """What is left in the tenants that the caller may see, in the order of its removal.

    What a controller made of another object goes with that, and is not listed. Nor is what belongs to a publication
    that an operation is at work on: a new backend is in the cluster before the publication asks for it.
    """
    cluster, store = await call.services.cluster(), await call.services.store()
    profile, tenants = call.services.profile, call.principal.tenants
    # Objects before publications: what is published meanwhile has its row before it has its objects.
    objects: list[Object] = []
    for kind in reversed(KINDS):
        for namespace in [None] if tenants is None else sorted(tenants):
            try:
                found, _ = await cluster.list(kind, namespace=namespace, labels=LABEL_PUBLICATION)
            except NotServed:
                continue
            objects += found
    entries = await _entries(call)
    wanted, live, busy = set(), set(), set()
    begun = await _under_way(call)
    listed = await book.listing(store)
    under_way = begun | await _under_way(call)  # one may begin, or end, between the two
    for publication, _, _ in listed:
        live.add(publication.id)
        if operation_target(publication.name) in under_way:
            busy.add(publication.id)
        for manifest in manifests(publication, profile.gateway, header_prefix=profile.access.header_prefix):
            wanted.add((str(ref_of(manifest)), publication.id))
    made = await _made_here(call, objects, entries)
    left = []
    for one in objects:
        metadata = one["metadata"]
        owner, annotations = metadata["labels"][LABEL_PUBLICATION], metadata.get("annotations") or {}
        if owner in busy or (str(ref_of(one)), owner) in wanted or metadata.get("ownerReferences"):
            continue
        ours = owner in made or owner in live or annotations.get(ANNOTATION_OPERATION) in made
        left.append(
            Leftover(
                str(ref_of(one)),
                metadata.get("namespace"),
                annotations.get(ANNOTATION_MODEL, ""),
                owner,
                written_by(one, "metadata"),
                ours,
                object=_stub(one),
                seen=(metadata.get("uid", ""), annotations.get(ANNOTATION_OPERATION, "")),
            )
        )
    for name, grant in entries.items():
        owner = grant.get("endpoint_id")
        tenant = made.get(owner)
        if owner in live or tenant is None or (tenants is not None and tenant not in tenants):
            continue  # an entry of somebody else says nothing of us
        target = f"{PUBLISHED_KEY} {name}"
        left.append(Leftover(target, tenant, name, str(owner), Writer("", ""), ours=True, grant=grant))
    return left


def _chosen(found: Sequence[Leftover], named: Iterable[str]) -> list[Leftover]:
    names = tuple(named)
    if not names:
        return [one for one in found if one.ours]
    there = {one.target for one in found}
    for name in names:
        if name not in there:
            raise not_found(f"{name} is no leftover", code="NOT_LEFT_OVER", then="modeldeck publications leftovers")
    return [one for one in found if one.target in names]


def _left(found: Sequence[Leftover]) -> tuple[Item, ...]:
    return tuple(Item(one.target, "left", "not known to this Modeldeck; name it to remove it") for one in found)


def _step(one: Leftover, about: dict[str, str]) -> Step:
    if one.object is None:
        arguments = {**about, "name": one.model, "grant": one.grant}
        return Step("redis.unpublish", one.target, arguments)
    guards = {"publication_id": one.owner, "seen": list(one.seen)}
    return Step("kube.delete", one.target, {**about, **guards, "object": one.object})


def _stub(one: Object) -> Object:
    metadata = one["metadata"]
    named = {"name": metadata["name"], "namespace": metadata.get("namespace")}
    return {"apiVersion": one["apiVersion"], "kind": one["kind"], "metadata": named}


async def _entries(call: Call) -> dict[str, dict[str, Any]]:
    try:
        document = published_document(await (await call.services.redis()).get(PUBLISHED_KEY))
    except Malformed:
        return {}
    except (RedisError, OSError) as problem:
        raise Unavailable(f"Redis cannot be read: {type(problem).__name__}", code="REDIS_UNAVAILABLE") from problem
    return {name: entry for name, entry in document.items() if isinstance(entry, dict)}


async def _under_way(call: Call) -> set[str]:
    """What operations are at work on."""
    open_ = [state.value for state in OperationState if not state.over]
    async with (await call.services.store()).reading() as db:
        rows = await db.execute(sa.select(operations.c.target).where(operations.c.state.in_(open_)))
        return {row.target for row in rows}


async def _made_here(
    call: Call, objects: Sequence[Object], entries: dict[str, dict[str, Any]]
) -> dict[Any, str | None]:
    """Ids of publications, and of operations, that this database knows; the tenant of each."""
    owners = {one["metadata"]["labels"][LABEL_PUBLICATION] for one in objects}
    owners |= {str(entry.get("endpoint_id")) for entry in entries.values()}
    marks = {(one["metadata"].get("annotations") or {}).get(ANNOTATION_OPERATION) for one in objects} - {None}
    known: dict[Any, str | None] = {}
    async with (await call.services.store()).reading() as db:
        for table, ids in ((publications, owners), (operations, marks)):
            if ids:
                rows = await db.execute(sa.select(table.c.id, table.c.tenant).where(table.c.id.in_(sorted(ids))))
                known |= {row.id: row.tenant for row in rows}
    return known
