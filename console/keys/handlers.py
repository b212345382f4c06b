"""What an operator can do with keys. Key text leaves here once, in `Outcome.revealed`."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.used import Use, hours_of, uses_of
from console.call import Call
from console.k8s.types import LABEL_TENANT, NAMESPACE, Ref
from console.keys import book
from console.keys.effective import effective_models
from console.keys.journaling import about, drop, ended_row, issue, journaled, own_key
from console.keys.keeping import kept, refuse_without_keyring
from console.keys.mint import new_key_id, new_key_text
from console.keys.quotas import Quota, quota_of
from console.keys.steps import text_of
from console.keys.timeline import timeline
from console.keys.types import Key, KeyKind, told
from console.operations.types import Recovery, Step
from console.outcome import Ending, ModeldeckError, Outcome, Refusal, Unavailable, conflict


async def create(call: Call) -> Outcome:
    """Issue a key. Its text is in the outcome, this once."""
    store = await call.services.store()
    if call["keyring"]:
        await refuse_without_keyring(call)
    kind = KeyKind(call["kind"])
    models = tuple(dict.fromkeys(call["model"]))
    if kind is KeyKind.ADMIN and not models:
        raise Refusal(
            "an admin key gets its own models only, and none was named; nothing was changed",
            code="INVALID_PARAMETER",
            then="add --model NAME",
        )
    await book.grants_for(store, call["tenant"], models)
    quota = await quota_of_tenant(call, call["tenant"])
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
        "most": quota.keys,
    }
    steps = (Step("keys.row", f"key {key.id}", row), *issue(call, key, 1, text, now))
    outcome = await journaled(call, key, steps, text=text, verb="issued")
    return await kept(call, outcome, text) if call["keyring"] else outcome


async def quota_of_tenant(call: Call, tenant: str) -> Quota:
    """A slip of the finger must not hand out a key. Where no cluster can be asked, the operator is told.

    Raises:
        Refusal: the cluster knows no such tenant, or its quota cannot be read.
    """
    try:
        cluster = await call.services.cluster()
        namespace = await cluster.get(Ref(NAMESPACE, tenant, None))
    except ModeldeckError:
        call.emit(f"the cluster could not be asked whether there is a tenant {tenant}, and how many keys it may have")
        return Quota()
    if namespace is None or LABEL_TENANT not in namespace["metadata"].get("labels", {}):
        sentence = f"there is no tenant {tenant}; nothing was changed"
        raise Refusal(sentence, code="INVALID_TENANT", then="modeldeck tenants list")
    return quota_of(namespace)


async def edit(call: Call) -> Outcome:
    """Change what a key may do; both of its texts go on working meanwhile."""
    key = await own_key(call)
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
    await book.own_grants(await call.services.store(), key, fields.get("models", ()))
    return await _set(call, key, fields, "changed")


async def suspend(call: Call) -> Outcome:
    """Refuse every text of a key until it is resumed."""
    return await _set(call, await own_key(call), {"suspended": True}, "suspended")


async def resume(call: Call) -> Outcome:
    """Let a suspended key through again."""
    return await _set(call, await own_key(call), {"suspended": False}, "resumed")


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
        steps.append(Step("keys.entry", f"gateway entry of generation {generation.number}", about(call, key) | entry))
    return await journaled(call, key, tuple(steps), verb=verb)


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


async def revoke(call: Call) -> Outcome:
    """Make every generation useless, now."""
    key = await own_key(call)
    now = datetime.now(UTC)
    if key.revoked_at is not None:
        return Outcome(Ending.UNCHANGED, f"key {key} was revoked at {told(key.revoked_at, now)}", data=key.as_json(now))
    # The gateway first: it is what counts. Every generation is dropped, expired ones too.
    steps = [
        *(drop(call, key, generation) for generation in key.generations),
        *(ended_row(key, generation, now, now) for generation in key.live(now)),
        Step("keys.revoke", f"key {key} revoked", {"key": key.id, "revoked_at": text_of(now)}),
    ]
    return await journaled(call, key, tuple(steps), verb="revoked", recovery=Recovery.FINISH)


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
    key = await own_key(call)
    uses = await _uses(call, [key])
    data = key.as_json(datetime.now(UTC)) | _last_use(key, uses)
    data["generations"] = [
        shown | _spelled(uses.get(generation.digest) if uses is not None else None)
        for shown, generation in zip(data["generations"], key.generations, strict=True)
    ]
    data["effective"] = await effective_models(call, key)
    data["hours"] = await _hours(call, key)
    done = await (await call.services.journal()).about(f"key {key.id}")
    data["timeline"] = timeline(key, done, uses, datetime.now(UTC))
    return Outcome(Ending.DONE, f"key {key.id}", data=data)


# --- parts ------------------------------------------------------------------------------------------------------


async def _uses(call: Call, keys: Sequence[Key]) -> dict[str, Use] | None:
    """What the gateway has counted; None where Redis cannot be asked, which costs no list its rows."""
    try:
        redis: Redis = await call.services.redis()
        return await uses_of(redis, [generation.digest for key in keys for generation in key.generations])
    except (RedisError, OSError, Unavailable):
        return None


async def _hours(call: Call, key: Key) -> list[int] | None:
    """Requests in each of the last 24 hours, the present one last; None where Redis cannot be asked."""
    try:
        return await hours_of(await call.services.redis(), [one.digest for one in key.generations], time.time())
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
