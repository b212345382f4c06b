"""What an operator can do with keys. Key text leaves here once, in `Outcome.revealed`."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access import suspensions
from console.access.types import CLIENT_PREFIX, KEY_PREFIX
from console.access.used import Use, hours_of, uses_of
from console.call import Call
from console.keys import book
from console.keys.clear import count_in_clear
from console.keys.effective import effective_models
from console.keys.journaling import about, drop, ended_row, issue, journaled, own_key
from console.keys.keeping import kept, refuse_without_keyring
from console.keys.mint import new_key_id, new_key_text
from console.keys.scopes import (
    allowed_tenants,
    fields_of,
    has_labels,
    judge_name,
    labels_of,
    networks_of,
    quota_of_tenant,
    row_of,
)
from console.keys.timeline import timeline
from console.keys.types import LOST, TENANT_SUSPENDED, Key, KeyForm, KeyKind, KeyState, text_of, told
from console.operations.types import Recovery, Step
from console.outcome import Ending, Outcome, Refusal, Unavailable, conflict, counted

_COUNTING_SECONDS = 1.0
"""Longer than that nobody waits for a list, to learn what else there is."""
_ISSUED_LATELY = timedelta(seconds=15)


async def create(call: Call) -> Outcome:
    """Issue a key. Its text is in the outcome, this once."""
    store = await call.services.store()
    judge_name(call["name"])
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
    tenants, most = await allowed_tenants(call, call["allow_tenant"])
    most[call["tenant"]] = (await quota_of_tenant(call, call["tenant"])).keys
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
        networks=networks_of(call["network"]),
        form=KeyForm(call["form"]),
        labels=labels_of(call["label"]),
        tenants=tenants,
    )
    await book.own_grants(store, key)
    await book.judge_new(store, key, most)  # judged again by the transaction that writes it
    text = new_key_text(kind, key.form)
    steps = (Step("keys.row", f"key {key.id}", row_of(key) | {"most": most}), *issue(call, key, 1, text, now))
    outcome = await journaled(call, key, steps, text=text, verb="issued", warnings=_warnings(key))
    return await kept(call, outcome, text) if call["keyring"] else outcome


def _warnings(key: Key) -> list[str]:
    """What a budgateway makes of a key otherwise (originals.md §1.3)."""
    found = []
    if key.form is KeyForm.MDK and key.kind is KeyKind.CLIENT:
        found.append(
            f"a budgateway gives published models to texts that begin with {CLIENT_PREFIX} alone: there, a key of the "
            "form mdk has its own models only"
        )
    if key.tenants and key.kind is KeyKind.CLIENT:
        found.append("a budgateway knows no tenants of a key: there, it may call every published model")
    return found


async def edit(call: Call) -> Outcome:
    """Change what a key may do; both of its texts go on working meanwhile."""
    for given, none in (
        ("model", "no_models"),
        ("network", "no_networks"),
        ("label", "no_labels"),
        ("allow_tenant", "no_allow_tenants"),
        ("expires", "no_expiry"),
    ):
        if call[given] and call[none]:
            options = f"--{given} and --{none}".replace("_", "-")
            raise Refusal(f"{options} exclude each other; nothing was changed", code="INVALID_PARAMETER")
    key = await own_key(call)
    fields: dict[str, Any] = {}
    if call["model"] or call["no_models"]:
        fields["models"] = [] if call["no_models"] else list(dict.fromkeys(call["model"]))
    if call["network"] or call["no_networks"]:
        fields["networks"] = [] if call["no_networks"] else list(networks_of(call["network"]))
    if call["label"] or call["no_labels"]:
        fields["labels"] = {} if call["no_labels"] else labels_of(call["label"])
    most: dict[str, int | None] = {}
    if call["allow_tenant"] or call["no_allow_tenants"]:
        tenants, most = await allowed_tenants(call, () if call["no_allow_tenants"] else call["allow_tenant"])
        fields["tenants"] = list(tenants)
    if call["owner"]:
        fields["owner"] = call["owner"]
    if call["expires"] or call["no_expiry"]:
        end = None if call["no_expiry"] else datetime.now(UTC) + timedelta(seconds=call["expires"])
        fields["expires_at"] = text_of(end)
    if not fields:
        raise Refusal("nothing to change was named", code="INVALID_PARAMETER", then="add --model, --network, …")
    if key.kind is KeyKind.ADMIN and fields.get("models") == []:
        raise Refusal("an admin key gets its own models only: without any it is of no use", code="INVALID_PARAMETER")
    # Judged as it would be then: a tenant that it may call no more takes the models with it.
    changed = dataclasses.replace(
        key,
        models=tuple(fields.get("models", key.models)),
        tenants=tuple(fields.get("tenants", key.tenants)),
    )
    if "models" in fields or "tenants" in fields:
        store = await call.services.store()
        await book.own_grants(store, changed)
        await book.judge_models(store, set(changed.models) - set(key.models))
    most = {name: number for name, number in most.items() if name not in key.quota_tenants}
    await book.judge_quotas(await call.services.store(), key, most)
    return await _set(call, key, fields, "changed", most=most, warnings=_warnings(changed) if most else ())


async def suspend(call: Call) -> Outcome:
    """Refuse every text of a key until it is resumed."""
    return await _set(call, await own_key(call), {"suspended": True}, "suspended")


async def resume(call: Call) -> Outcome:
    """Let a suspended key through again."""
    return await _set(call, await own_key(call), {"suspended": False}, "resumed")


async def _set(
    call: Call,
    key: Key,
    fields: dict[str, Any],
    verb: str,
    *,
    most: Mapping[str, int | None] | None = None,
    warnings: Sequence[str] = (),
) -> Outcome:
    """Change the row, then the gateway's entry of every text that works.

    Args:
        most: how many keys each tenant may have that it comes to
    """
    now = datetime.now(UTC)
    if key.revoked_at is not None:
        raise conflict(f"key {key.id} is revoked; nothing was changed", code="KEY_NOT_LIVE")
    before = fields_of(key)
    if all(before[name] == value for name, value in fields.items()):
        return Outcome(Ending.UNCHANGED, f"key {key.id} is so already", data=key.as_json(now))
    steps = [Step("keys.set", f"key {key.id}", {"key": key.id, "fields": fields, "most": dict(most or {})})]
    for generation in key.live(now):
        entry = {
            "generation": generation.number,
            "digest": generation.digest,
            "not_after": text_of(generation.not_after),
        }
        steps.append(Step("keys.entry", f"gateway entry of generation {generation.number}", about(call, key) | entry))
    return await journaled(call, key, tuple(steps), verb=verb, warnings=warnings)


async def revoke(call: Call) -> Outcome:
    """Make every generation useless, now."""
    key = await own_key(call, revoked=True)
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
    found = [key for key in found if has_labels(key, call["label"])]
    uses, standing = await _uses(call, found), await standing_of(call, found, now)
    rows = [_row(key, now, uses) | standing.get(key.id, {}) for key in found]
    if uses is None:
        return Outcome(
            Ending.PARTIAL,
            f"{counted(len(found), 'key')}, by the database alone: Redis cannot be asked, so when they were last used "
            "is not known, nor whether the gateway has them",
            data=rows,
            code="REDIS_UNAVAILABLE",
            then="modeldeck status",
        )
    return Outcome(Ending.DONE, f"{counted(len(found), 'key')}{await _in_clear(call)}", data=rows)


async def _in_clear(call: Call) -> str:
    """How many keys stand in clear beside them, for who may take them over. The console has a window for it."""
    if call.principal.tenants is not None or call.principal.via == "console":
        return ""
    try:
        async with asyncio.timeout(_COUNTING_SECONDS):
            count = await count_in_clear(await call.services.redis(), call.services.profile.access.salt)
    except (RedisError, OSError, Unavailable, TimeoutError):
        return ""
    return f"; {count} more stand in clear in Redis and can be taken over: modeldeck keys import" if count else ""


async def show(call: Call) -> Outcome:
    """One key with its generations."""
    key = await own_key(call, revoked=True)
    uses = await _uses(call, [key])
    now = datetime.now(UTC)
    data = key.as_json(now) | _last_use(key, uses) | (await standing_of(call, [key], now)).get(key.id, {})
    data["generations"] = [
        shown | _spelled(uses.get(generation.digest) if uses is not None else None)
        for shown, generation in zip(data["generations"], key.generations, strict=True)
    ]
    data["effective"] = await effective_models(call, key)
    data["hours"] = await _hours(call, key)
    done = await (await call.services.journal()).about(f"key {key.id}")
    data["timeline"] = timeline(key, done, uses, datetime.now(UTC))
    if uses is None:
        summary = f"key {key.id}, by the database alone: Redis cannot be asked whether the gateway has it"
        return Outcome(Ending.PARTIAL, summary, data=data, code="REDIS_UNAVAILABLE", then="modeldeck status")
    return Outcome(Ending.DONE, f"key {key.id}", data=data)


# --- parts ------------------------------------------------------------------------------------------------------


async def _uses(call: Call, keys: Sequence[Key]) -> dict[str, Use] | None:
    """What the gateway has counted; None where Redis cannot be asked, which costs no list its rows."""
    try:
        redis: Redis = await call.services.redis()
        return await uses_of(redis, [generation.digest for key in keys for generation in key.generations])
    except (RedisError, OSError, Unavailable):
        return None


async def _lost(call: Call, keys: Sequence[Key], now: datetime) -> frozenset[str]:
    """The ids of keys that should work, and for a text of which Redis has no entry: the gateway refuses it. Nothing is
    said of one that was issued a moment ago, nor where Redis cannot be asked."""
    wanted = [
        (key.id, generation.digest)
        for key in keys
        for generation in key.live(now)
        if now - generation.issued_at > _ISSUED_LATELY
    ]
    try:
        redis = await call.services.redis()
        pipeline = redis.pipeline(transaction=False)
        for _, digest in wanted:
            pipeline.exists(KEY_PREFIX + digest)
        there = await pipeline.execute() if wanted else []
    except (RedisError, OSError, Unavailable):
        return frozenset()
    return frozenset(identifier for (identifier, _), found in zip(wanted, there, strict=True) if not found)


async def standing_of(call: Call, keys: Sequence[Key], now: datetime) -> dict[str, dict[str, str]]:
    """The state of those that the gateway refuses although their rows say that they work, by the key's id."""
    refused = (await suspensions.standing(call.services)).refused
    works = [key for key in keys if key.state(now) in (KeyState.ACTIVE, KeyState.ROTATING)]
    found = {key.id: {"state": TENANT_SUSPENDED} for key in works if key.tenant in refused}
    # Of a key that is both, its entry is what the gateway misses first.
    return found | {identifier: {"state": LOST} for identifier in await _lost(call, works, now)}


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
    row["used"] = "unknown" if uses is None else row["last_used"] or "never"
    row["model_count"] = len(key.models)
    # As the console has it: a client's key without models of its own may call whatever is published.
    row["models_text"] = "all" if key.kind is KeyKind.CLIENT and not key.models else str(len(key.models))
    row["label_text"] = ", ".join(f"{name}={value}" for name, value in sorted(key.labels.items()))
    live = key.live(now)
    row["grace_left"] = None
    if len(live) > 1 and live[0].not_after is not None:
        row["grace_left"] = round((live[0].not_after - now).total_seconds())
    return row
