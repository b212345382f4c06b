"""What an operator can do with publications: plan, publish, update, unpublish."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

from console.access.types import PUBLISHED_KEY
from console.call import Call
from console.keys.book import grant_of
from console.operations.journal import clock_time
from console.operations.types import RUN, UNDOES, NewOperation, Recovery, Step
from console.outcome import Ending, Outcome, Refusal, conflict
from console.publishing import backends, book, holders, limits, native
from console.publishing.diff import spec_changes
from console.publishing.manifests import credential_of, grant_for_authorizer
from console.publishing.origins import Found, find_origin, overruled, own_tenant
from console.publishing.plan import check_name, check_tenant
from console.publishing.planned import another_managers, as_asked, planned, refuse_without_plan
from console.publishing.showing import planner_of, status_of
from console.publishing.steps import as_arguments
from console.publishing.tenants import check_quota, check_standing
from console.publishing.types import (
    LIMIT_OPTIONS,
    Access,
    Effect,
    Limits,
    Plan,
    Publication,
    PublicationKind,
    PublicationState,
    operation_target,
)


def access_of(call: Call) -> Access:
    """Who is to check keys: as it was said, else as it is usual with this gateway."""
    return Access(call["access"]) if call["access"] else native.usual(call.services.profile.gateway)


async def publish(call: Call) -> Outcome:
    """Plan, and unless only the plan is wanted, apply it, wait until it is ready and prove it by a request."""
    refuse_without_plan(call)
    found = await find_origin(call.services, call["model"])
    if call["type"] != "auto":
        found = overruled(found, PublicationKind(call["type"]))
    kind = found.kind
    name = call["name"] or found.origin.name.rpartition("/")[2]
    tenant = _tenant(call, found)
    check_name(name, kind)
    cluster = await call.services.cluster()
    await check_tenant(cluster, tenant)
    store = await call.services.store()
    wanted = limits.changed(Limits(), {option: call[option] for option in LIMIT_OPTIONS})
    publication = Publication(str(uuid.uuid4()), name, tenant, kind, found.origin, wanted, hostnames=call["hostname"])
    publication = dataclasses.replace(publication, access=access_of(call))
    if call["weight"] is not None:
        publication = dataclasses.replace(publication, weight=call["weight"])
    publication, told = await _with_backends(call, publication)
    there = await book.find(store, name)
    if there is not None:
        return await _again(call, there[0], there[1], publication, found.reasons)
    return await bring_about(call, publication, None, (*found.warnings, *told), found.reasons)


async def bring_about(
    call: Call,
    publication: Publication,
    before: Publication | None,
    warnings: Sequence[str] = (),
    reasons: Sequence[str] = (),
) -> Outcome:
    """Publish it where there is nothing before it, else make what there is what it should be.

    ``reasons`` are those for its kind, for the plan.
    """
    if before is not None:
        await _within_quota(call, publication, before)
        return await _bring_about(call, publication, before, f"update {publication.name}", warnings, reasons)
    await check_quota(call, publication.tenant, rpm=publication.limits.requests_per_minute, adds=1)
    await check_standing(call, publication.tenant)
    name, tenant = publication.name, publication.tenant
    title = f"publish {publication.origin.name} as {name} for {tenant}"
    plan = await (await planner_of(call)).to_publish(call.permit, publication, title, warnings)
    plan = dataclasses.replace(plan, reasons=tuple(reasons))
    if call["plan"]:
        return as_asked(call, plan, publication)
    call.emit(plan)
    operation = NewOperation(
        "publish", operation_target(name), tenant, call.permit.actor, _publish_steps(call, plan, publication)
    )
    return await _run(call, operation, publication)


async def update(call: Call) -> Outcome:
    """Change limits, backends or hostnames of a publication in place; what is served goes on being served."""
    refuse_without_plan(call)
    before, state, _ = await book.read(await call.services.store(), call["name"])
    call.permit.covers(before.tenant)
    await refuse_busy(call, before, state)
    given = {option: call[option] for option in LIMIT_OPTIONS}
    lifted = {name.lower() for name in call["no"]}
    hostnames = call["hostname"] or (() if "hostname" in lifted else before.hostnames)
    lifted.discard("hostname")
    if call["no_rpm"]:
        given["rpm"] = None
        lifted.add("rpm")
    named = ("also", "fallback", "drop", "hostname", "access", "no", "no_rpm")
    if all(value in (None, ()) for value in given.values()) and not any(call[name] for name in named):
        raise Refusal(
            "nothing to change was named",
            code="INVALID_PARAMETER",
            then="add a limit such as --rpm, --no LIMIT, --also, --fallback, --drop, --hostname or --access",
        )
    publication = dataclasses.replace(
        before,
        limits=limits.changed(before.limits, given, sorted(lifted)),
        hostnames=hostnames,
        access=Access(call["access"]) if call["access"] else before.access,
    )
    await _within_quota(call, publication, before)
    publication, told = await _with_backends(call, publication, call["drop"])
    return await _bring_about(call, publication, before, f"update {publication.name}", told)


async def unpublish(call: Call) -> Outcome:
    """Take a publication back: the route first, then its entry, the keys that name it, its policies and backends.

    It is finished by recovery, not undone, where it is interrupted; run again, it changes nothing.
    """
    store = await call.services.store()
    if await book.find(store, call["name"]) is None and await book.was_published(
        store, call["name"], tenants=call.principal.tenants
    ):
        return Outcome(Ending.UNCHANGED, f"{call['name']} is not published any more")
    publication, _, _ = await book.read(store, call["name"])
    call.permit.covers(publication.tenant)
    planner = await planner_of(call)
    plan = await planner.to_unpublish(publication, f"unpublish {publication.name}")
    objects = [change.target for change in plan.changes]
    keys = await holders.holders(call, publication)
    plan = dataclasses.replace(plan, changes=(*plan.changes, *holders.planned(keys, publication)))
    if call["plan"]:
        return planned(plan)
    call.emit(plan)
    about = _about(call)
    deletions = [
        Step("kube.delete", change_name, about | {"object": _stub(manifest), "publication_id": publication.id})
        for change_name, manifest in zip(
            [target for target in objects if not target.startswith("published_model_info")],
            reversed(planner.manifests(publication)),
            strict=True,
        )
    ]
    entry = about | {"name": publication.name, "grant": _grant(publication)}
    steps = (
        Step(
            "publish.state",
            "publication marked",
            {"id": publication.id, "state": PublicationState.REMOVING.value} | _part_of(call),
        ),
        deletions[0],
        Step("redis.unpublish", "published_model_info", entry),
        *holders.steps(call, keys, publication),
        *deletions[1:],
        Step("publish.state", "publication removed", {"id": publication.id, "state": PublicationState.REMOVED.value}),
    )
    new = NewOperation(
        "unpublish",
        operation_target(publication.name),
        publication.tenant,
        call.permit.actor,
        steps,
        Recovery.FINISH,
        still=holders.still(publication, keys),
    )
    runner = await call.services.runner()
    record, outcome = await runner.run(new, call.emit)
    if outcome.ending is Ending.DONE:
        summary = f"{publication.name} is not published any more"
        data = {"operation": record.id, "name": publication.name, "tenant": publication.tenant}
        outcome = dataclasses.replace(outcome, summary=summary, data=data)
        if frozen := await planner.frozen():
            told = f"{summary}; but gateways keep an older {PUBLISHED_KEY}, where it still is: {frozen}"
            then = f"have that entry mended or removed, and only that one: redis-cli GET {PUBLISHED_KEY}"
            outcome = dataclasses.replace(outcome, ending=Ending.PENDING, summary=told, then=then)
    return outcome


async def _within_quota(call: Call, publication: Publication, before: Publication) -> None:
    """A change of the limit has to stay within the tenant's quota; what was published before it may be repaired."""
    rpm = publication.limits.requests_per_minute
    if rpm != before.limits.requests_per_minute:
        await check_quota(call, publication.tenant, rpm=rpm, adds=0)


# --- parts ------------------------------------------------------------------------------------------------------


async def _with_backends(
    call: Call, publication: Publication, drop: Sequence[str] = ()
) -> tuple[Publication, tuple[str, ...]]:
    """The publication with the backends that the call asks for, and what to know of them."""

    async def find(target: str) -> Found:
        return await find_origin(call.services, target)

    publication, told = await backends.changed(
        publication, find, also=call["also"], fallback=call["fallback"], drop=drop
    )
    return publication, (*told, *await backends.differences(await call.services.store(), publication))


def _tenant(call: Call, found: Found) -> str:
    """The tenant that was named, a service's own namespace, or the only one of the profile."""
    given: str | None = call["tenant"]
    own = own_tenant(found.origin)
    if own is not None:
        if given not in (None, own):
            raise Refusal(
                f"{found.origin.name} belongs to tenant {own}, not {given}; nothing was changed",
                code="INVALID_TENANT",
            )
        tenant = own
    elif given is not None:
        tenant = given
    else:
        tenants = call.services.profile.tenants or frozenset()
        if len(tenants) != 1:
            raise Refusal("for which tenant?", code="INVALID_TENANT", then="add --tenant NAME")
        tenant = next(iter(tenants))
    call.permit.covers(tenant)
    return tenant


async def _again(
    call: Call, publication: Publication, state: PublicationState, wanted: Publication, reasons: Sequence[str]
) -> Outcome:
    """The name is in use. By the same publication: what differs from it is repaired. By another: a conflict."""
    allowed = call.principal.tenants
    if allowed is not None and publication.tenant not in allowed:  # whose, and what it is, is not his to know
        raise conflict(
            f"the name {publication.name} is taken; nothing was changed",
            code="ALREADY_PUBLISHED",
            then="choose another --name",
        )
    await refuse_busy(call, publication, state)
    if publication.tenant != wanted.tenant or not backends.same(publication, wanted):
        raise conflict(
            f"{publication.name} is published already: {publication.origin.name} for tenant {publication.tenant}; "
            "nothing was changed",
            code="ALREADY_PUBLISHED",
            then="choose another --name",
        )
    if any(getattr(publication, name) != getattr(wanted, name) for name in ("limits", "hostnames", "access")):
        raise conflict(
            f"{publication.name} is published with other limits, hostnames or access; nothing was changed",
            code="ALREADY_PUBLISHED",
            then=f"modeldeck update {publication.name} …",
        )
    return await _bring_about(call, publication, publication, f"repair {publication.name}", reasons=reasons)


async def _bring_about(
    call: Call,
    publication: Publication,
    before: Publication,
    title: str,
    warnings: Sequence[str] = (),
    reasons: Sequence[str] = (),
) -> Outcome:
    """Make a publication what it should be, in place: apply what differs, prove it, and remove what is left over.

    The removals come last: until then everything can be put back as it was without a request that fails.
    """
    planner = await planner_of(call)
    take_over = bool(call.values.get("take_over"))
    plan = await planner.to_publish(call.permit, publication, title, warnings, before=before, take_over=take_over)
    plan = dataclasses.replace(plan, reasons=tuple(reasons))
    if not plan.changes_nothing:
        await check_standing(call, publication.tenant)
    if call["plan"]:
        return as_asked(call, plan, publication)
    if plan.conflicts:
        raise another_managers(plan)
    if plan.changes_nothing:
        return Outcome(Ending.UNCHANGED, f"{publication.name} is so already", data=plan)
    call.emit(plan)
    about = _about(call) | {"publication": as_arguments(publication)}
    entry = _about(call) | {"name": publication.name, "grant": _grant(publication), "before": _grant(before)}
    removals = [
        Step(
            "kube.remove",
            f"{one['kind']} {one['metadata']['namespace']}/{one['metadata']['name']}",
            _about(call) | {"object": one, "credential": credential_of(before, one), "publication_id": publication.id},
        )
        for one in planner.superfluous(before, publication)
    ]
    steps = (
        *_apply_steps(call, plan, publication, force=take_over),
        Step("publish.spec", "publication's spec", about),
        Step("redis.publish", "published_model_info", entry),
        Step("publish.ready", "ready", about),
        Step("publish.probe", "live probe", about),
        *removals,
    )
    target = operation_target(publication.name)
    operation = NewOperation(
        call.permit.action, target, publication.tenant, call.permit.actor, steps, still=book.still(before)
    )
    outcome = await _run(call, operation, publication)
    changed = spec_changes(before.as_spec(), publication.as_spec())
    if outcome.ending is not Ending.DONE or not changed:
        return outcome
    return dataclasses.replace(outcome, data={**outcome.data, "changed": changed})


def _about(call: Call) -> dict[str, Any]:
    return {"action": call.permit.action, "actor": call.permit.actor} | _part_of(call)


def _part_of(call: Call) -> dict[str, Any]:
    """The run of several that it is part of, or takes back (console/publishing/runs.py)."""
    return {name: call.values[name] for name in (RUN, UNDOES) if name in call.values}


def _grant(publication: Publication) -> dict[str, str]:
    return grant_of(publication.id, publication.as_spec(), publication.tenant).as_json()


def _publish_steps(call: Call, plan: Plan, publication: Publication) -> tuple[Step, ...]:
    """Secret, backends, policies, route, Redis entry, readiness, probe (issue order; policies before the route)."""
    about = _about(call) | {"publication": as_arguments(publication)}
    objects = [change.target for change in plan.changes if change.manifest is not None]
    return (
        Step("publish.reserve", f"name {publication.name}", about | {"objects": objects}),
        *_apply_steps(call, plan, publication),
        Step(
            "redis.publish",
            "published_model_info",
            _about(call) | {"name": publication.name, "grant": _grant(publication)},
        ),
        Step("publish.ready", "ready", about),
        Step("publish.probe", "live probe", about),
        Step("publish.state", "publication ready", {"id": publication.id, "state": PublicationState.READY.value}),
    )


async def refuse_busy(call: Call, publication: Publication, state: PublicationState) -> None:
    """Refuse where an operation is at work on a publication, and say whose and since when."""
    if state is PublicationState.READY:
        return
    newest = await (await call.services.journal()).about(operation_target(publication.name), 1)
    who = f" by {newest[0].actor} since {clock_time(newest[0].created_at)}" if newest else ""
    raise conflict(
        f"{publication.name} is {state.value}{who}; nothing was changed",
        code="OPERATION_UNDER_WAY",
        then=f"modeldeck operations show {newest[0].id[:8]}" if newest else "modeldeck operations list",
    )


def _apply_steps(call: Call, plan: Plan, publication: Publication, *, force: bool = False) -> list[Step]:
    shared = grant_for_authorizer(publication.tenant, call.services.profile.gateway)
    steps = []
    for change in plan.changes:
        if change.manifest is None or change.effect is Effect.NOTHING:
            continue
        if (
            change.manifest["metadata"]["name"] == shared["metadata"]["name"]
            and change.manifest["kind"] == shared["kind"]
        ):
            steps.append(Step("kube.ensure", change.target, _about(call) | {"manifest": change.manifest}))
            continue
        credential = credential_of(publication, dict(change.manifest))
        arguments = _about(call) | {"manifest": change.manifest, "credential": credential, "force": force}
        steps.append(Step("kube.apply", change.target, arguments))
    return steps


def _stub(manifest: dict[str, Any]) -> dict[str, Any]:
    """Enough of an object to name it."""
    metadata = manifest["metadata"]
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": {"name": metadata["name"], "namespace": metadata.get("namespace")},
    }


async def _run(call: Call, operation: NewOperation, publication: Publication) -> Outcome:
    runner = await call.services.runner()
    record, outcome = await runner.run(operation, call.emit)
    if outcome.ending is not Ending.DONE:
        return outcome
    fresh, state, created_at = await book.read(await call.services.store(), publication.name)
    status = await status_of(call, fresh, state, created_at)
    return dataclasses.replace(
        outcome,
        summary=f"{publication.name} is published: {status.url}",
        data=status.as_json() | {"operation": record.id},
    )
