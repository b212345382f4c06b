"""Several publications in one go: an outcome for each, going on after one fails, or taking all of it back.

Each is a journaled operation of its own, so that whatever interrupts the whole leaves every one of them done or undone.
Run again, it finds what is done unchanged and goes on with the rest.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from console.call import Call
from console.catalog.types import Document
from console.outcome import Ending, Outcome, Refusal, conflict
from console.publishing import book, handlers, limits
from console.publishing import repair as repairing
from console.publishing.as_yaml import joined
from console.publishing.declaration import (
    Declared,
    Resolved,
    bring_about,
    by_default,
    combined,
    read_declaration,
    resolve,
)
from console.publishing.planned import refuse_without_plan
from console.publishing.runs import numbered, taking_back
from console.publishing.several import Part, run_all
from console.publishing.tenants import check_number
from console.publishing.types import LIMIT_OPTIONS, Limits, Plan, Publication, PublicationState

_ONE_BY_ONE: dict[str, Any] = {"also": (), "fallback": (), "drop": (), "no_rpm": False, "manifests": False}


async def publish_many(call: Call) -> Outcome:
    """Publish several models for one tenant, with the same limits and hostnames."""
    wanted = limits.changed(Limits(), {option: call[option] for option in LIMIT_OPTIONS})
    declared = [
        Declared(
            name=by_default(model),
            tenant=call["tenant"],
            model=model,
            limits=wanted,
            hostnames=call["hostname"],
            access=handlers.access_of(call),
        )
        for model in call["model"]
    ]
    names = [one.name for one in declared]
    for name in names:
        if names.count(name) > 1:
            raise Refusal(
                f"two of them would be published as {name}; nothing was changed",
                code="DUPLICATE_NAME",
                then="publish one of them by itself with --name, or write a file: modeldeck publications apply FILE",
            )
    if call["plan"]:
        return await plan_of(call, declared, "publish")
    call = numbered(call)
    return await run_all(call, [_publishing(call, one) for one in declared], "published")


async def update_many(call: Call) -> Outcome:
    """Change several publications in the same way."""
    names = tuple(dict.fromkeys(call["name"]))
    if call["plan"]:
        plans = [(await handlers.update(_updating(call, name))).data for name in names]
        return combined([plan for plan in plans if isinstance(plan, Plan)], f"update {len(names)} publications")
    call = numbered(call)
    return await run_all(call, [_update(call, name) for name in names], "updated")


def _updating(call: Call, name: str) -> Call:
    """As `update` takes it: of all that it takes, what is one publication's own is not offered for several."""
    return dataclasses.replace(call, values=_ONE_BY_ONE | {**call.values, "name": name})


def _update(call: Call, name: str) -> Part:
    """One that is refused, for it is so already or cannot be, leaves the others alone."""
    before: list[Publication] = []

    async def do() -> Outcome:
        found = await book.find(await call.services.store(), name)
        before.extend([] if found is None else [found[0]])
        return await handlers.update(_updating(call, name))

    async def undo() -> Outcome:
        now, _, _ = await book.read(await call.services.store(), name)
        return await handlers.bring_about(taking_back(call), before[0], now)

    return Part(name, do, undo)


async def unpublish_many(call: Call) -> Outcome:
    """Take several publications back."""
    if call.services.profile.protected and not call["plan"]:
        raise Refusal(
            f"profile {call.services.profile.name} is protected, and asks for each name by itself; nothing was changed",
            code="FORBIDDEN",
            status=403,
            then="modeldeck unpublish NAME",
        )
    names = tuple(dict.fromkeys(call["name"]))
    if call["plan"]:
        plans = [(await handlers.unpublish(_for_one(call, name))).data for name in names]
        return combined([plan for plan in plans if isinstance(plan, Plan)], f"unpublish {len(names)} publications")
    return await run_all(call, [Part(name, partial(_unpublish, call, name)) for name in names], "unpublished")


async def repair(call: Call) -> Outcome:
    """Repair one publication, several, or all of those that this principal may change."""
    if bool(call["name"]) == call["all"]:
        raise Refusal(
            "name publications, or --all; nothing was changed",
            code="BAD_REQUEST",
            status=400,
            then="modeldeck publications drift",
        )
    names = tuple(dict.fromkeys(call["name"])) or await _all_ready(call)
    if len(names) == 1:
        return await repairing.repair(_for_one(call, names[0]))
    if not names:
        return Outcome(Ending.UNCHANGED, "nothing is published")
    if call["plan"]:
        plans = [(await repairing.repair(_for_one(call, name))).data for name in names]
        return combined([plan for plan in plans if isinstance(plan, Plan)], f"repair {len(names)} publications")
    going_on = dataclasses.replace(call, values={**call.values, "stop": False})
    parts = [Part(name, partial(repairing.repair, _for_one(call, name))) for name in names]
    return await run_all(going_on, parts, "as published")


async def _all_ready(call: Call) -> tuple[str, ...]:
    tenants = None if call.principal.tenants is None else sorted(call.principal.tenants)
    found = await book.listing(await call.services.store(), tenants=tenants)
    return tuple(publication.name for publication, state, _ in found if state is PublicationState.READY)


async def apply(call: Call) -> Outcome:
    """Bring about what a file declares."""
    refuse_without_plan(call)
    declared = read_declaration(call["file"])
    if call["plan"]:
        return await plan_of(call, declared, "apply")
    call = numbered(call)
    return await run_all(call, [_applying(call, one) for one in declared], "as declared")


def _applying(call: Call, declared: Declared) -> Part:
    resolved: list[Resolved] = []

    async def do() -> Outcome:
        resolved.append(await resolve(call, declared))
        return await bring_about(call, resolved[0])

    async def undo() -> Outcome:
        before, now = resolved[0].before, resolved[0].publication
        if before is None:
            return await handlers.unpublish(_for_one(taking_back(call), declared.name))
        return await handlers.bring_about(taking_back(call), before, now)

    return Part(declared.name, do, undo)


def _publishing(call: Call, declared: Declared) -> Part:
    async def do() -> Outcome:
        there = await book.find(await call.services.store(), declared.name)
        ours = ("limits", "hostnames", "access")
        if there is not None and any(getattr(there[0], name) != getattr(declared, name) for name in ours):
            raise conflict(
                f"{declared.name} is published with other limits, hostnames or access, and was left as it is",
                code="ALREADY_PUBLISHED",
                then=f"modeldeck update {declared.name} …",
            )
        return await bring_about(call, await resolve(call, declared))

    return Part(declared.name, do, lambda: handlers.unpublish(_for_one(taking_back(call), declared.name)))


async def _unpublish(call: Call, name: str) -> Outcome:
    return await handlers.unpublish(_for_one(call, name))


def _for_one(call: Call, name: str) -> Call:
    return dataclasses.replace(call, values={**call.values, "name": name, "plan": call["plan"]})


async def plan_of(call: Call, declared: Sequence[Declared], verb: str) -> Outcome:
    """What all of them together would change, or their manifests; the first that is refused is the answer.

    Raises:
        Refusal: one is, or all of them together are more than a tenant may have.
    """
    resolved = [await resolve(call, one) for one in declared]
    new = Counter(one.publication.tenant for one in resolved if one.before is None)
    for tenant, adds in new.items():
        await check_number(call, tenant, adds=adds)
    title = f"{verb} {len(resolved)} publications"
    found = [(await bring_about(call, one)).data for one in resolved]
    if call.values.get("manifests"):
        return Outcome(Ending.DONE, title, data=joined([one for one in found if isinstance(one, Document)]))
    return combined([one for one in found if isinstance(one, Plan)], title)
