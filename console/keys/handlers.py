"""What an operator can do with keys. Key text leaves here once, in `Outcome.revealed`."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.propagation import Propagation, everywhere
from console.access.types import digest_of
from console.access.used import Use, uses_of
from console.access.writer import EPOCH_KEY
from console.call import Call
from console.k8s.types import LABEL_TENANT, NAMESPACE, Ref
from console.keys import book
from console.keys.mint import new_key_id, new_key_text
from console.keys.steps import text_of
from console.keys.types import Generation, Key, KeyKind, KeyState
from console.operations.types import NewOperation, Recovery, Step
from console.outcome import Ending, ModeldeckError, Outcome, Refusal, Revealed, Unavailable, conflict

PROPAGATION_SECONDS = 8.0
"""Longer than the entry of a worker that died lives (console/access/mirror.py): it is not waited for in vain."""
MAX_GRACE = timedelta(days=30)


async def create(call: Call) -> Outcome:
    """Issue a key. Its text is in the outcome, this once."""
    store = await call.services.store()
    kind = KeyKind(call["kind"])
    models = tuple(dict.fromkeys(call["model"]))
    if kind is KeyKind.ADMIN and not models:
        raise Refusal(
            "an admin key gets its own models only, and none was named; nothing was changed",
            code="INVALID_PARAMETER",
            then="add --model NAME",
        )
    await book.grants_for(store, call["tenant"], models)
    await _refuse_unknown_tenant(call, call["tenant"])
    now = datetime.now(UTC)
    key = Key(
        id=new_key_id(),
        name=call["name"],
        tenant=call["tenant"],
        owner=call["owner"] or call["tenant"],
        kind=kind,
        models=models,
        created_at=now,
        expires_at=now + timedelta(seconds=call["expires"]) if call["expires"] else None,
        networks=_networks(call["network"]),
    )
    if any(other.name == key.name for other in await book.list_keys(store, tenants=[key.tenant])):
        raise conflict(
            f"tenant {key.tenant} has a key called {key.name} already; nothing was changed", code="KEY_EXISTS"
        )
    text = new_key_text(kind)
    row = {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "owner": key.owner,
        "kind": kind.value,
        "models": list(models),
        "networks": list(key.networks),
        "created_at": text_of(now),
        "expires_at": text_of(key.expires_at),
    }
    steps = (Step("keys.row", f"key {key.id}", row), *_issue(call, key, 1, text, now))
    return await _journaled(call, key, steps, text=text, verb="issued")


async def _refuse_unknown_tenant(call: Call, tenant: str) -> None:
    """A slip of the finger must not hand out a key. Where no cluster can be asked, the operator is told.

    Raises:
        Refusal: the cluster knows no such tenant.
    """
    try:
        cluster = await call.services.cluster()
        namespace = await cluster.get(Ref(NAMESPACE, tenant, None))
    except ModeldeckError:
        call.emit(f"the cluster could not be asked whether there is a tenant {tenant}")
        return
    if namespace is None or LABEL_TENANT not in namespace["metadata"].get("labels", {}):
        sentence = f"there is no tenant {tenant}; nothing was changed"
        raise Refusal(sentence, code="INVALID_TENANT", then="modeldeck tenants list")


async def rotate(call: Call) -> Outcome:
    """Issue the next generation; the one before works on until its grace ends."""
    store = await call.services.store()
    key = await _own_key(call)
    now = datetime.now(UTC)
    live = key.live(now)
    if key.state(now) in (KeyState.REVOKED, KeyState.EXPIRED):
        raise conflict(f"key {key.id} is {key.state(now).value}; nothing was changed", code="KEY_NOT_LIVE")
    if len(live) > 1:
        raise conflict(
            f"generation {live[0].number} of {key.id} is in its grace until {text_of(live[0].not_after)}; "
            "at most two work at a time, and nothing was changed",
            code="ROTATION_UNDER_WAY",
            then=f"modeldeck keys finish {key.id}",
        )
    grace = timedelta(seconds=call["grace"])
    if grace > MAX_GRACE:
        raise Refusal(f"a grace of more than {MAX_GRACE.days} days is no rotation", code="INVALID_PARAMETER")
    await book.grants_for(store, key.tenant, key.models)
    text = new_key_text(key.kind)
    number = max(generation.number for generation in key.generations) + 1
    steps = [*_issue(call, key, number, text, now)]
    for old in live:
        steps += _end(call, key, old, now + grace, now)
    return await _journaled(call, key, tuple(steps), text=text, verb="rotated")


async def edit(call: Call) -> Outcome:
    """Change what a key may do; both of its texts go on working meanwhile."""
    key = await _own_key(call)
    fields: dict[str, Any] = {}
    if call["model"] or call["no_models"]:
        fields["models"] = [] if call["no_models"] else list(dict.fromkeys(call["model"]))
    if call["network"] or call["no_networks"]:
        fields["networks"] = [] if call["no_networks"] else list(_networks(call["network"]))
    if call["owner"]:
        fields["owner"] = call["owner"]
    if call["expires"] or call["no_expiry"]:
        end = None if call["no_expiry"] else datetime.now(UTC) + timedelta(seconds=call["expires"])
        fields["expires_at"] = text_of(end)
    if not fields:
        raise Refusal("nothing to change was named", code="INVALID_PARAMETER", then="add --model, --network, …")
    if key.kind is KeyKind.ADMIN and fields.get("models") == []:
        raise Refusal("an admin key gets its own models only: without any it is of no use", code="INVALID_PARAMETER")
    await book.grants_for(await call.services.store(), key.tenant, fields.get("models", ()))
    return await _set(call, key, fields, "changed")


async def suspend(call: Call) -> Outcome:
    """Refuse every text of a key until it is resumed."""
    return await _set(call, await _own_key(call), {"suspended": True}, "suspended")


async def resume(call: Call) -> Outcome:
    """Let a suspended key through again."""
    return await _set(call, await _own_key(call), {"suspended": False}, "resumed")


async def _set(call: Call, key: Key, fields: dict[str, Any], verb: str) -> Outcome:
    """Change the row, then the gateway's entry of every text that works."""
    now = datetime.now(UTC)
    if key.revoked_at is not None:
        raise conflict(f"key {key.id} is revoked; nothing was changed", code="KEY_NOT_LIVE")
    before = {
        "models": list(key.models),
        "networks": list(key.networks),
        "owner": key.owner,
        "expires_at": text_of(key.expires_at),
        "suspended": key.suspended,
    }
    if all(before[name] == value for name, value in fields.items()):
        return Outcome(Ending.UNCHANGED, f"key {key.id} is so already", data=key.as_json(now))
    steps = [Step("keys.set", f"key {key.id}", {"key": key.id, "fields": fields})]
    for generation in key.live(now):
        entry = {
            "generation": generation.number,
            "digest": generation.digest,
            "not_after": text_of(generation.not_after),
        }
        steps.append(Step("keys.entry", f"gateway entry of generation {generation.number}", _about(call, key) | entry))
    return await _journaled(call, key, tuple(steps), verb=verb)


def _networks(given: Sequence[str]) -> tuple[str, ...]:
    """CIDRs as they are kept; an address alone is a network of one.

    Raises:
        Refusal: one is neither.
    """
    found = []
    for text in given:
        try:
            found.append(str(ipaddress.ip_network(text)))
        except ValueError:
            detail = f"{text[:60]!r} is not a network such as 10.0.0.0/8"
            raise Refusal(f"{detail}; nothing was changed", code="INVALID_PARAMETER") from None
    return tuple(dict.fromkeys(found))


async def finish(call: Call) -> Outcome:
    """End the grace of a rotation now: only the newest generation works on."""
    key = await _own_key(call)
    now = datetime.now(UTC)
    old = key.live(now)[:-1]
    if not old:
        return Outcome(Ending.UNCHANGED, f"key {key.id} has no generation in its grace", data=key.as_json(now))
    steps = [step for generation in old for step in _end(call, key, generation, now, now)]
    return await _journaled(call, key, tuple(steps), verb="finished", recovery=Recovery.FINISH)


async def withdraw(call: Call) -> Outcome:
    """Take a rotation back: the newest text is refused, and the one before works on as it did."""
    key = await _own_key(call)
    now = datetime.now(UTC)
    live = key.live(now)
    if len(live) < 2:
        raise conflict(f"key {key.id} has no rotation to take back; nothing was changed", code="KEY_NOT_ROTATING")
    old, new = live[-2], live[-1]
    about = {"key": key.id, "digest": old.digest}
    steps = (
        Step("keys.end", f"generation {old.number} lives on", about | {"not_after": None, "revoked_at": None}),
        Step(
            "keys.entry",
            f"gateway entry of generation {old.number}",
            _about(call, key) | {"generation": old.number, "digest": old.digest, "not_after": None},
        ),
        _drop(call, key, new),
        _ended_row(key, new, now, now),
    )
    return await _journaled(call, key, steps, verb="taken back", recovery=Recovery.FINISH)


async def revoke(call: Call) -> Outcome:
    """Make every generation useless, now."""
    key = await _own_key(call)
    now = datetime.now(UTC)
    if key.revoked_at is not None:
        return Outcome(
            Ending.UNCHANGED, f"key {key.id} was revoked at {text_of(key.revoked_at)}", data=key.as_json(now)
        )
    # The gateway first: it is what counts. Every generation is dropped, expired ones too.
    steps = [
        *(_drop(call, key, generation) for generation in key.generations),
        *(_ended_row(key, generation, now, now) for generation in key.live(now)),
        Step("keys.revoke", f"key {key.id} revoked", {"key": key.id, "revoked_at": text_of(now)}),
    ]
    return await _journaled(call, key, tuple(steps), verb="revoked", recovery=Recovery.FINISH)


async def listing(call: Call) -> Outcome:
    """Keys that the operator may see."""
    store = await call.services.store()
    tenants = [call["tenant"]] if call["tenant"] else None
    if tenants is None and call.principal.tenants is not None:
        tenants = sorted(call.principal.tenants)
    now = datetime.now(UTC)
    found = await book.list_keys(store, tenants=tenants, revoked=call["all"])
    uses = await _uses(call, found)
    return Outcome(Ending.DONE, f"{len(found)} keys", data=[_row(key, now, uses) for key in found])


async def show(call: Call) -> Outcome:
    """One key with its generations."""
    key = await _own_key(call)
    uses = await _uses(call, [key])
    data = key.as_json(datetime.now(UTC)) | _last_use(key, uses)
    data["generations"] = [
        shown | _spelled(uses.get(generation.digest) if uses is not None else None)
        for shown, generation in zip(data["generations"], key.generations, strict=True)
    ]
    return Outcome(Ending.DONE, f"key {key.id}", data=data)


# --- parts ------------------------------------------------------------------------------------------------------


async def _own_key(call: Call) -> Key:
    key = await book.read_key(await call.services.store(), call["key"])
    call.permit.covers(key.tenant)
    return key


async def _uses(call: Call, keys: Sequence[Key]) -> dict[str, Use] | None:
    """What the gateway has counted; None where Redis cannot be asked, which costs no list its rows."""
    try:
        redis: Redis = await call.services.redis()
        return await uses_of(redis, [generation.digest for key in keys for generation in key.generations])
    except (RedisError, OSError, Unavailable):
        return None


def _last_use(key: Key, uses: Mapping[str, Use] | None) -> dict[str, Any]:
    """The newest use of any generation, and the sum of all; ``uses`` None: not known."""
    if uses is None:
        return {"last_used": None, "last_used_from": None, "uses": None}
    found = [uses[generation.digest] for generation in key.generations if generation.digest in uses]
    newest = max(found, key=lambda use: use.at, default=None)
    return _spelled(newest) | {"uses": sum(use.count for use in found)}


def _spelled(use: Use | None) -> dict[str, Any]:
    if use is None:
        return {"last_used": None, "last_used_from": None, "uses": 0}
    return {"last_used": text_of(use.at), "last_used_from": use.client, "uses": use.count}


def _row(key: Key, now: datetime, uses: Mapping[str, Use] | None) -> dict[str, Any]:
    row = key.as_json(now) | _last_use(key, uses)
    row["model_count"] = len(key.models)
    live = key.live(now)
    row["grace_left"] = None
    if len(live) > 1 and live[0].not_after is not None:
        row["grace_left"] = round((live[0].not_after - now).total_seconds())
    return row


def _issue(call: Call, key: Key, number: int, text: str, now: datetime) -> tuple[Step, Step]:
    digest = digest_of(text, call.services.profile.access.salt)
    row = {
        "key": key.id,
        "generation": number,
        "digest": digest,
        "last_four": text[-4:],
        "issued_at": text_of(now),
    }
    entry = _about(call, key) | {"generation": number, "digest": digest, "not_after": None}
    return (
        Step("keys.generation", f"generation {number} of {key.id}", row),
        Step("keys.entry", f"gateway entry of generation {number}", entry),
    )


def _end(call: Call, key: Key, generation: Generation, when: datetime, now: datetime) -> list[Step]:
    """A generation works until ``when``; where that is now, it is dropped."""
    if when <= now:
        return [_drop(call, key, generation), _ended_row(key, generation, now, now)]
    entry = _about(call, key) | {
        "generation": generation.number,
        "digest": generation.digest,
        "not_after": text_of(when),
    }
    return [
        _ended_row(key, generation, when, None),
        Step("keys.entry", f"grace of generation {generation.number}", entry),
    ]


def _drop(call: Call, key: Key, generation: Generation) -> Step:
    arguments = _about(call, key) | {"digest": generation.digest}
    return Step("keys.drop", f"generation {generation.number} dropped", arguments)


def _ended_row(key: Key, generation: Generation, when: datetime, revoked_at: datetime | None) -> Step:
    arguments = {
        "key": key.id,
        "digest": generation.digest,
        "not_after": text_of(when),
        "revoked_at": text_of(revoked_at),
    }
    return Step("keys.end", f"end of generation {generation.number}", arguments)


def _about(call: Call, key: Key) -> dict[str, Any]:
    return {"key": key.id, "action": call.permit.action, "actor": call.permit.actor}


async def _journaled(
    call: Call,
    key: Key,
    steps: tuple[Step, ...],
    *,
    verb: str,
    text: str | None = None,
    recovery: Recovery = Recovery.UNDO,
) -> Outcome:
    """Run the steps, then wait until every gateway worker decides by them."""
    runner = await call.services.runner()
    new = NewOperation(call.permit.action, f"key {key.id}", key.tenant, call.permit.actor, steps, recovery)
    record, outcome = await runner.run(new, call.emit)
    if outcome.ending is not Ending.DONE:
        return outcome
    propagation = await _propagated(call)
    complete = isinstance(propagation, Propagation) and propagation.complete
    fresh = await book.read_key(await call.services.store(), key.id)
    data = fresh.as_json(datetime.now(UTC)) | {"operation": record.id}
    return dataclasses.replace(
        outcome,
        ending=Ending.DONE if complete else Ending.PENDING,
        summary=f"key {key.id} ({key.name}) {verb}: {propagation}",
        proof=(*outcome.proof, str(propagation)) if complete else (),
        data=data,
        revealed=Revealed(text) if text is not None else None,
        then="" if complete else "modeldeck status",
    )


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
