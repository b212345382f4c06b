"""What the operations on keys share: their steps, and the way through the journal to the proof at the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.propagation import Propagation, everywhere
from console.access.types import digest_of
from console.access.writer import EPOCH_KEY
from console.call import Call
from console.guard import Principal
from console.k8s.at_rest import secrets_at_rest
from console.keys import book
from console.keys.digests import NOT_WRITTEN
from console.keys.own_keyring import kept_text
from console.keys.proving import Finding, by_entry, by_request
from console.keys.scopes import row_of
from console.keys.types import Generation, Key, text_of
from console.operations.types import NewOperation, OperationRecord, Recovery, Step
from console.outcome import Ending, ModeldeckError, Outcome, Refusal, Revealed, Unavailable

if TYPE_CHECKING:
    from console.services import Services

_PROVEN = tuple(f"keys.{verb}" for verb in ("create", "rotate", "renew", "finish", "withdraw", "extend", "import"))
"""The actions after which it is looked at what the gateway makes of the key's texts."""
PROPAGATION_SECONDS = 8.0
"""Longer than the entry of a worker that died lives (console/access/mirror.py): it is not waited for in vain."""


async def own_key(call: Call, *, revoked: bool = False) -> Key:
    """The key that was named. ``revoked``: where no other has the name, the one that was revoked last has it."""
    store = await call.services.store()
    key = await book.read_key(store, call["key"], tenants=call.principal.tenants, revoked=revoked)
    call.permit.covers(key.tenant)
    return key


async def tenant_of(services: Services, principal: Principal, target: str) -> str | None:
    """The tenant of the key that was named; None where there is none, or several: then the handler says so."""
    try:
        return (await book.read_key(await services.store(), target, tenants=principal.tenants)).tenant
    except Refusal:
        return None


async def called(services: Services, principal: Principal, target: str) -> str | None:
    """``chat (k7f3aa) of tenant acme``; None for no key, several, or one that the operator may not see."""
    try:
        key = await book.read_key(await services.store(), target, tenants=principal.tenants)
    except Refusal:
        return None
    seen = principal.tenants is None or key.tenant in principal.tenants
    return f"{key} of tenant {key.tenant}" if seen else None


def issue(
    call: Call, key: Key, number: int, text: str, now: datetime, request: Mapping[str, Any] | None = None
) -> tuple[Step, Step]:
    """The steps that issue a generation.

    Args:
        request: what it was asked for with, to know the request when it is repeated (`repeating.Request`)
    """
    digest = digest_of(text, call.services.profile.access.salt)
    row = {
        "key": key.id,
        "generation": number,
        "digest": digest,
        "last_four": text[-4:],
        "issued_at": text_of(now),
    }
    if request is not None:
        row["request"] = dict(request)
    return (
        Step("keys.generation", f"generation {number} of {key.id}", row),
        entry_step(call, key, number, digest, None),
    )


def entry_step(call: Call, key: Key, number: int, digest: str, not_after: datetime | None) -> Step:
    entry = about(call, key) | {"generation": number, "digest": digest, "not_after": text_of(not_after)}
    return Step("keys.entry", f"gateway entry of generation {number}", entry)


def end(call: Call, key: Key, generation: Generation, when: datetime, now: datetime) -> list[Step]:
    """A generation works until ``when``; where that is now, it is dropped."""
    if when <= now:
        return [drop(call, key, generation), ended_row(key, generation, now, now)]
    entry = about(call, key) | {
        "generation": generation.number,
        "digest": generation.digest,
        "not_after": text_of(when),
    }
    return [
        ended_row(key, generation, when, None),
        Step("keys.entry", f"grace of generation {generation.number}", entry),
    ]


def drop(call: Call, key: Key, generation: Generation) -> Step:
    arguments = about(call, key) | {"digest": generation.digest}
    return Step("keys.drop", f"generation {generation.number} dropped", arguments)


def ended_row(key: Key, generation: Generation, when: datetime, revoked_at: datetime | None) -> Step:
    arguments = {
        "key": key.id,
        "digest": generation.digest,
        "not_after": text_of(when),
        "revoked_at": text_of(revoked_at),
    }
    return Step("keys.end", f"end of generation {generation.number}", arguments)


def about(call: Call, key: Key) -> dict[str, Any]:
    return {"key": key.id, "action": call.permit.action, "actor": call.permit.actor}


async def journaled(
    call: Call,
    key: Key,
    steps: tuple[Step, ...],
    *,
    verb: str,
    text: str | None = None,
    recovery: Recovery = Recovery.UNDO,
    warnings: Sequence[str] = (),
) -> Outcome:
    """Run the steps and keep the digests, then wait until every gateway worker decides by them.

    Where a plan was asked for, nothing is done: the steps are told.

    Args:
        warnings: what an operator should know of it
    """
    steps = (*steps, Step("keys.secret", f"digests of {key.id} in the Secret of {key.tenant}", about(call, key)))
    if call.values.get("plan"):
        return await _planned(call, key, steps, verb, warnings)
    for warning in warnings:
        call.emit(f"! {warning}")
    runner = await call.services.runner()
    new = NewOperation(call.permit.action, f"key {key.id}", key.tenant, call.permit.actor, steps, recovery)
    record, outcome = await runner.run(new, call.emit)
    if outcome.ending is not Ending.DONE:
        return outcome
    try:
        propagation = await _propagated(call)
        findings = await _findings(call, await book.read_key(await call.services.store(), key.id), text)
    except (ModeldeckError, asyncio.CancelledError) as problem:
        # The operation is over: an operator who leaves now has changed the key, and is told so and given its text.
        why = "you did not wait for it" if isinstance(problem, asyncio.CancelledError) else str(problem)
        propagation, findings = f"written, and not proven at the gateway: {why}", []
    fresh = await book.read_key(await call.services.store(), key.id)
    complete = isinstance(propagation, Propagation) and propagation.complete
    wrong = [finding.text for finding in findings if finding.contradicts]
    complete = complete and not wrong
    told = [str(propagation), *(finding.text for finding in findings)]
    warnings = [*warnings, *_not_kept(record)]
    with contextlib.suppress(ModeldeckError):  # the change is made: a full disk must not cost the key's text now
        await (await call.services.journal()).note(record.id, "; ".join(told))
    data = fresh.as_json(datetime.now(UTC)) | {"operation": record.id}
    if warnings:
        data["warnings"] = list(warnings)
    return dataclasses.replace(
        outcome,
        ending=Ending.DONE if complete else Ending.PENDING,
        summary=f"key {key} {verb}: {'; '.join([str(propagation), *wrong])}",
        proof=(*outcome.proof, *told) if complete else (),
        data=data,
        revealed=Revealed(text) if text is not None else None,
        then="" if complete else "modeldeck status",
    )


async def _planned(call: Call, key: Key, steps: Sequence[Step], verb: str, warnings: Sequence[str]) -> Outcome:
    """The steps that would be taken, and what to know of them. Nothing is issued: a plan has no text to lose."""
    try:
        at_rest = (await secrets_at_rest(await call.services.cluster())).sentence
    except ModeldeckError as problem:
        at_rest = f"the digests would be in no Secret: {problem}"
    warnings = [*warnings, at_rest]
    before = row_of(key)
    changes = {name: value for step in steps for name, value in step.arguments.get("fields", {}).items()}
    for step in steps:
        call.emit(f"+ {step.name}")
    for name, value in changes.items():
        call.emit(f"~ {name}: {json.dumps(before[name])} → {json.dumps(value)}")
    for warning in warnings:
        call.emit(f"! {warning}")
    data = {"key": before, "changes": changes, "steps": [step.name for step in steps], "warnings": warnings}
    return Outcome(Ending.DONE, f"key {key.name} would be {verb} in {len(steps)} steps; nothing was changed", data=data)


def _not_kept(record: OperationRecord) -> list[str]:
    """Why the tenant's Secret does not have the digests, where it has not."""
    return [
        f"{step.name}: {step.detail}; modeldeck keys restore writes them later"
        for step in record.steps
        if step.kind == "keys.secret" and step.detail.startswith(NOT_WRITTEN)
    ]


async def _findings(call: Call, key: Key, text: str | None) -> list[Finding]:
    """The new text by a request, and what a rotation concerns too where the keyring has it; else by its entry. Like the
    propagation, it undoes nothing."""
    if not call.permit.action.startswith(_PROVEN):
        return []
    profile, found = call.services.profile, []
    if text is not None:
        found.append(await by_request(await call.services.http(), profile, key, key.generations[-1], text))
    untried = key.generations[-2:] if text is None else key.generations[-2:-1]
    try:
        for generation in untried:
            kept = await kept_text(profile, key, generation) if call.values.get("keyring") else None
            if kept is not None:
                found.append(await by_request(await call.services.http(), profile, key, generation, kept))
            else:
                found.append(await by_entry(await call.services.redis(), profile, key, generation))
    except (RedisError, OSError, Unavailable) as problem:
        found.append(Finding(f"what the entries say is not known: {type(problem).__name__}"))
    return found


async def _propagated(call: Call) -> Propagation | str:
    """How far the gateway's workers are, or why that is not known.

    The change itself is made by now: whatever fails here must neither call it undone nor lose the key's text.
    """
    try:
        redis: Redis = await call.services.redis()
        epoch = int(await redis.get(EPOCH_KEY) or 0)
        return await everywhere(redis, epoch, timeout=PROPAGATION_SECONDS)
    except (RedisError, OSError, Unavailable) as problem:
        return f"written, and not proven at the gateway: Redis stopped answering ({type(problem).__name__})"
