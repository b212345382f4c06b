"""Putting drift right: make the cluster and Redis what the publication says, or the publication what they are."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from console.call import Call
from console.config import Profile
from console.k8s.types import ref_of
from console.operations.types import NewOperation, Step
from console.outcome import Ending, Item, Outcome, Refusal, conflict, counted
from console.publishing import book
from console.publishing.diff import field_changes
from console.publishing.drift import Compared, Difference, by_target, compare
from console.publishing.handlers import refuse_busy
from console.publishing.manifests import credential_of, manifests
from console.publishing.plan import grant_for
from console.publishing.steps import as_arguments
from console.publishing.tenants import check_standing
from console.publishing.types import (
    Effect,
    FieldChange,
    Limits,
    Plan,
    PlannedChange,
    Publication,
    operation_target,
)

_SECONDS = re.compile(r'"(\d{1,9})(s|m|h)"')
_UNITS = {"s": 1, "m": 60, "h": 3600}


async def repair(call: Call) -> Outcome:
    """Apply what differs again, taking over what others changed, and prove it by a request."""
    publication = await _ready(call)
    compared = await compare(call, publication)
    plan = _plan(compared, f"repair {publication.name}")
    if call["plan"]:
        return _planned(plan)
    if not compared.differences:
        return Outcome(Ending.UNCHANGED, f"{publication.name} is as it should be", data=plan)
    foreign = [one for one in compared.differences if one.foreign]
    if foreign:
        raise conflict(
            f"{foreign[0].target} is somebody else's now ({foreign[0].path or 'malformed'} {foreign[0].found}); "
            "nothing was changed",
            code="OBJECT_EXISTS",
            then="give it back by hand, or remove it, and run this again",
        )
    await check_standing(call, publication.tenant)
    call.emit(plan)
    about = _about(call)
    whole = about | {"publication": as_arguments(publication)}
    differing = by_target(compared.differences)
    steps = [
        step
        for target, manifest in compared.wanted.items()
        if target in differing
        for step in _restore(publication, target, manifest, differing[target], about)
    ]
    shared = str(ref_of(compared.shared))
    if shared in differing:
        steps.insert(0, Step("kube.ensure", shared, about | {"manifest": compared.shared}))
    if compared.entry in differing:
        grant = grant_for(publication).as_json()
        entry = about | {"name": publication.name, "grant": grant, "before": grant}
        steps.append(Step("redis.publish", "published_model_info", entry))
    steps += [Step("publish.ready", "ready", whole), Step("publish.probe", "live probe", whole)]
    count = len(compared.differences)
    told = "1 difference is" if count == 1 else f"{count} differences are"
    return await _run(call, publication, steps, f"{publication.name} is repaired: {told} gone")


async def adopt(call: Call) -> Outcome:
    """Take limits and timeouts that somebody set on the cluster over into the publication."""
    publication = await _ready(call)
    compared = await compare(call, publication)
    limits, left = adopted(compared, call.services.profile)
    after = dataclasses.replace(publication, limits=limits)
    items = tuple(Item(one.target, "left", _told(one)) for one in left)
    before, now = publication.limits.as_spec(), limits.as_spec()
    changes = [
        FieldChange(f"limits.{name}", _text(before[name]), _text(now[name]))
        for name in now
        if before[name] != now[name]
    ]
    told = ", ".join(f"{change.path.removeprefix('limits.')} {change.after}" for change in changes)
    if not changes:
        if not compared.differences:
            return Outcome(Ending.UNCHANGED, f"{publication.name} is as it should be")
        raise Refusal(
            f"nothing that differs in {publication.name} is a limit or a timeout; nothing was changed",
            code="NOT_ADOPTABLE",
            then=f"modeldeck publications repair {publication.name}",
            items=items,
        )
    spec = PlannedChange(f"publication {publication.name}", Effect.CHANGE, tuple(changes))
    plan = Plan(f"adopt {told}", publication, (spec,), tuple(f"{item.name} is left: {item.detail}" for item in items))
    if call["plan"]:
        return _planned(plan)
    await check_standing(call, publication.tenant)
    call.emit(plan)
    about = _about(call)
    whole = about | {"publication": as_arguments(after)}
    steps = [Step("publish.spec", "publication's spec", whole)]
    # Other objects may say the same limit in another place: the route's timeout beside the policy's.
    open_targets = {one.target for one in left}
    new = _rendered(after, call.services.profile)
    for target, manifest in new.items():
        if manifest != compared.wanted.get(target) and target not in open_targets:
            steps += _restore(after, target, manifest, [], about)
    steps += [Step("publish.ready", "ready", whole), Step("publish.probe", "live probe", whole)]
    outcome = await _run(call, publication, steps, f"{publication.name} has adopted {told}")
    if outcome.ending is not Ending.DONE or not items:
        return outcome
    return dataclasses.replace(
        outcome,
        ending=Ending.PARTIAL,
        summary=f"{outcome.summary}; {counted(len(items), 'difference')} cannot be adopted",
        proof=(),
        items=items,
        then=f"modeldeck publications repair {publication.name}",
    )


def adopted(compared: Compared, profile: Profile) -> tuple[Limits, tuple[Difference, ...]]:
    """The limits that explain most of what was found, and the differences that none explains.

    No table says which field of which object a limit becomes: a limit is tried with each number that was found, and
    kept where the objects made with it have what was found.
    """
    publication = compared.publication
    open_ = [one for one in compared.differences if one.path and not one.foreign]
    limits, explained = publication.limits, _explained(publication, open_, profile)
    for name, hint in typing.get_type_hints(Limits).items():
        if hint not in (int, int | None):
            continue
        for value in _candidates(open_, optional=hint is not int):
            changed: Any = {name: value}
            trial = dataclasses.replace(limits, **changed)
            now = _explained(dataclasses.replace(publication, limits=trial), open_, profile)
            if now > explained:
                limits, explained = trial, now
    return limits, tuple(one for one in compared.differences if one not in explained)


def _explained(publication: Publication, open_: Sequence[Difference], profile: Profile) -> set[Difference]:
    leaves = {
        target: {change.path: change.after for change in field_changes(None, manifest)}
        for target, manifest in _rendered(publication, profile).items()
    }
    return {
        one for one in open_ if one.target in leaves and _meant(leaves[one.target].get(one.path)) == _meant(one.found)
    }


def _meant(text: str | None) -> str | int | None:
    """``"2m"`` and ``"120s"`` are one duration."""
    match = _SECONDS.fullmatch(text or "")
    return int(match[1]) * _UNITS[match[2]] if match else text


def _candidates(open_: Sequence[Difference], *, optional: bool) -> list[int | None]:
    found: list[int | None] = []
    for one in open_:
        if one.found is None:
            found += [None] if optional else []
        elif one.found.isdecimal() and len(one.found) < 10:
            found.append(int(one.found))
        elif isinstance(seconds := _meant(one.found), int):
            found.append(seconds)
    return list(dict.fromkeys(found))


def _rendered(publication: Publication, profile: Profile) -> dict[str, dict[str, Any]]:
    made = manifests(publication, profile.gateway, header_prefix=profile.access.header_prefix)
    return {str(ref_of(one)): one for one in made}


# --- parts ------------------------------------------------------------------------------------------------------


async def _ready(call: Call) -> Publication:
    publication, state, _ = await book.read(await call.services.store(), call["name"])
    call.permit.covers(publication.tenant)
    await refuse_busy(call, publication, state)
    return publication


def _restore(
    publication: Publication,
    target: str,
    manifest: dict[str, Any],
    differences: Sequence[Difference],
    about: Mapping[str, Any],
) -> list[Step]:
    arguments = {**about, "manifest": manifest, "credential": credential_of(publication, manifest), "force": True}
    steps = []
    if any(not one.added for one in differences) or not differences:
        steps.append(Step("kube.apply", target, arguments))
    added = [list(one.added) for one in differences if one.added]
    if added:
        steps.append(Step("kube.prune", target, {**about, "manifest": manifest, "fields": added}))
    return steps


def _about(call: Call) -> dict[str, Any]:
    return {"action": call.permit.action, "actor": call.permit.actor}


def _plan(compared: Compared, title: str) -> Plan:
    differing = by_target(compared.differences)
    changes = []
    for target in dict.fromkeys([*compared.wanted, compared.entry, *differing]):
        found = differing.get(target, [])
        missing = any(not one.path for one in found)
        effect = Effect.CREATE if missing else Effect.CHANGE if found else Effect.NOTHING
        fields = tuple(FieldChange(one.path, one.found, one.wanted) for one in found if one.path)
        changes.append(PlannedChange(target, effect, fields))
    told = (
        f"{one.target} {one.path}: changed by {one.by.name} at {one.by.at}"
        for one in compared.differences
        if one.by.name
    )
    return Plan(title, compared.publication, tuple(changes), tuple(dict.fromkeys(told)))


def _planned(plan: Plan) -> Outcome:
    return Outcome(Ending.UNCHANGED if plan.changes_nothing else Ending.DONE, plan.summary, data=plan)


def _told(one: Difference) -> str:
    by = f", by {one.by.name}" if one.by.name else ""
    return f"{one.path or 'it'} is {one.found or 'absent'}, not {one.wanted or 'absent'}{by}"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


async def _run(call: Call, publication: Publication, steps: Sequence[Step], summary: str) -> Outcome:
    operation = NewOperation(
        call.permit.action,
        operation_target(publication.name),
        publication.tenant,
        call.permit.actor,
        tuple(steps),
        still=book.still(publication),
    )
    record, outcome = await (await call.services.runner()).run(operation, call.emit)
    if outcome.ending is not Ending.DONE:
        return outcome
    return dataclasses.replace(outcome, summary=summary, data={"name": publication.name, "operation": record.id})
