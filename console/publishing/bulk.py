"""Several publications in one go: an outcome for each, going on after one fails, or taking all of it back.

Each is a journaled operation of its own, so that whatever interrupts the whole leaves every one of them done or undone.
Run again, it finds what is done unchanged and goes on with the rest.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from console.call import Call
from console.outcome import Ending, Item, ModeldeckError, Outcome, Refusal, conflict
from console.publishing import book, handlers, limits
from console.publishing.declaration import (
    Declared,
    Resolved,
    bring_about,
    by_default,
    combined,
    read_declaration,
    resolve,
)
from console.publishing.types import LIMIT_OPTIONS, Access, Limits, Plan, Publication

_ONE_BY_ONE: dict[str, Any] = {"also": (), "fallback": (), "drop": (), "no_rpm": False, "manifests": False}
_NOT_BEGUN = "not begun"
_UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Part:
    """One of several things to do. ``undo`` takes it back after it was done; None where there is no way back."""

    name: str
    do: Callable[[], Awaitable[Outcome]]
    undo: Callable[[], Awaitable[Outcome]] | None = None


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
            access=Access(call["access"] or Access.EXT_AUTHZ),
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
    return await run(call, [_publishing(call, one) for one in declared], "published")


async def update_many(call: Call) -> Outcome:
    """Change several publications in the same way."""
    names = tuple(dict.fromkeys(call["name"]))
    if call["plan"]:
        plans = [(await handlers.update(_updating(call, name))).data for name in names]
        return combined([plan for plan in plans if isinstance(plan, Plan)], f"update {len(names)} publications")
    return await run(call, [_update(call, name) for name in names], "updated")


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
        return await handlers.bring_about(call, before[0], now)

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
    return await run(call, [Part(name, partial(_unpublish, call, name)) for name in names], "unpublished")


async def apply(call: Call) -> Outcome:
    """Bring about what a file declares."""
    declared = read_declaration(call["file"])
    if call["plan"]:
        return await plan_of(call, declared, "apply")
    return await run(call, [_applying(call, one) for one in declared], "as declared")


def _applying(call: Call, declared: Declared) -> Part:
    resolved: list[Resolved] = []

    async def do() -> Outcome:
        resolved.append(await resolve(call, declared))
        return await bring_about(call, resolved[0])

    async def undo() -> Outcome:
        before, now = resolved[0].before, resolved[0].publication
        if before is None:
            return await handlers.unpublish(_for_one(call, declared.name))
        return await handlers.bring_about(call, before, now)

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

    return Part(declared.name, do, lambda: handlers.unpublish(_for_one(call, declared.name)))


async def _unpublish(call: Call, name: str) -> Outcome:
    store = await call.services.store()
    if await book.find(store, name) is None and await book.was_published(store, name):
        return Outcome(Ending.UNCHANGED, "is not published any more")
    return await handlers.unpublish(_for_one(call, name))


def _for_one(call: Call, name: str) -> Call:
    return dataclasses.replace(call, values={**call.values, "name": name, "plan": call["plan"]})


async def plan_of(call: Call, declared: Sequence[Declared], verb: str) -> Outcome:
    """What all of them together would change; the first that is refused is the answer."""
    plans = []
    for one in declared:
        outcome = await bring_about(call, await resolve(call, one))
        if not isinstance(outcome.data, Plan):
            return outcome
        plans.append(outcome.data)
    return combined(plans, f"{verb} {len(plans)} publications")


# --- the driver -------------------------------------------------------------------------------------------------


async def run(call: Call, parts: Sequence[Part], done: str) -> Outcome:
    """Do one after another.

    ``stop`` ends it at the first that fails; ``undo_on_failure`` then takes back what this run has done, the last
    first. A cancellation undoes the one that is under way, and leaves the rest as it is.
    """
    outcomes: list[Outcome] = []
    for number, part in enumerate(parts, 1):
        try:
            outcome = await part.do()
        except ModeldeckError as problem:
            outcome = problem.outcome()
        except asyncio.CancelledError:
            outcome = Outcome(Ending.CANCELLED, "cancelled")
        outcomes.append(outcome)
        call.emit(f"[{number}/{len(parts)}] {part.name}: {outcome.ending.value}: {outcome.summary}")
        if outcome.ending is Ending.CANCELLED or _is_cancelled():
            break  # also where it came too late for this one: an unpublish is finished
        if not outcome.ending.good and (call["stop"] or call.values.get("undo_on_failure")):
            break
    items = [
        Item(part.name, outcome.ending.value, _detail(outcome)) for part, outcome in zip(parts, outcomes, strict=False)
    ]
    items += [Item(part.name, _NOT_BEGUN) for part in parts[len(outcomes) :]]
    last = outcomes[-1]
    if call.values.get("undo_on_failure") and not last.ending.good:
        return await _taken_back(call, parts, outcomes, items)
    return _ended(outcomes, items, done)


async def _taken_back(call: Call, parts: Sequence[Part], outcomes: Sequence[Outcome], items: list[Item]) -> Outcome:
    """One undo for all that was done in this run; what was so before stays."""
    left = []
    for at in reversed(range(len(outcomes))):
        part = parts[at]
        if outcomes[at].ending is not Ending.DONE:
            continue
        if part.undo is None:
            left.append(part.name)
            continue
        try:
            undone = await asyncio.shield(part.undo())
        except ModeldeckError as problem:
            undone = problem.outcome()
        good = undone.ending.good
        state, detail = (_UNDONE, "") if good else (Ending.DONE.value, f"not undone: {undone.summary}")
        items[at] = Item(part.name, state, detail)
        call.emit(f"{part.name}: {_UNDONE if good else 'not undone'}: {undone.summary}")
        if not good:
            left.append(part.name)
    failed = next(item for item, outcome in zip(items, outcomes, strict=False) if not outcome.ending.good)
    cancelled = outcomes[-1].ending is Ending.CANCELLED
    if left or outcomes[-1].ending is Ending.INTERRUPTED:
        summary = f"{failed.name} failed, and not all of the rest could be undone: {', '.join(left) or failed.name}"
        return Outcome(Ending.PARTIAL, summary, items=tuple(items), code="NOT_UNDONE", data=_counts(items))
    why = "cancelled" if cancelled else f"{failed.name} failed: {failed.detail}"
    ending = Ending.CANCELLED if cancelled else Ending.FAILED
    summary = f"{why}; everything that this run had done is undone"
    return Outcome(ending, summary, items=tuple(items), code=outcomes[-1].code, data=_counts(items))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and bool(task.cancelling())


def _ended(outcomes: Sequence[Outcome], items: Sequence[Item], done: str) -> Outcome:
    endings = [outcome.ending for outcome in outcomes]
    good = sum(ending.good for ending in endings)
    counts = _counts(items)
    told = ", ".join(f"{number} {state}" for state, number in counts.items())
    all_good = good == len(items)
    if all_good:
        ending = Ending.UNCHANGED if set(endings) == {Ending.UNCHANGED} else Ending.DONE
    elif good or Ending.INTERRUPTED in endings or Ending.PENDING in endings:
        ending = Ending.PARTIAL
    elif endings[-1] is Ending.CANCELLED:
        ending = Ending.CANCELLED
    else:
        ending = Ending.REFUSED if set(endings) == {Ending.REFUSED} else Ending.FAILED
    first = next((outcome for outcome in outcomes if not outcome.ending.good), None)
    return Outcome(
        ending,
        f"{good} of {len(items)} {done} ({told})",
        proof=tuple(f"{item.name}: {item.detail}" for item in items) if ending is Ending.DONE else (),
        items=tuple(items),
        data=counts,
        code=first.code if first is not None else "",
        http_status=first.status if first is not None and ending in (Ending.REFUSED, Ending.FAILED) else 0,
        then="" if all_good else "mend what failed and run this again: what is done stays as it is",
    )


def _detail(outcome: Outcome) -> str:
    return f"{outcome.summary}{f' ({outcome.code})' if outcome.code else ''}"


def _counts(items: Sequence[Item]) -> dict[str, Any]:
    """How many ended how, in the order of their first."""
    counts: dict[str, Any] = {}
    for item in items:
        counts[item.state] = counts.get(item.state, 0) + 1
    return counts
