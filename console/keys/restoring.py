"""The copies of a key made again where one is lost: the gateway's entry in Redis, the digests in the tenant's Secret,
the key in the database. And the suspension of a tenant, before its keys come back.

From the database, Redis and the Secrets are brought up to it. From the Secrets, a database that was lost is rebuilt,
and Redis with it. What is there stays as it is; what cannot be restored is told with the reason.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from console.access.codec import Malformed, parse_published
from console.access.restricting import again
from console.access.types import KEY_PREFIX, PUBLISHED_KEY, Grant, short_digest
from console.call import Call
from console.guard import Role
from console.k8s.at_rest import secrets_at_rest
from console.keys import book
from console.keys.bulk import combined
from console.keys.digests import NOT_WRITTEN, Kept, kept_of, secrets_of, texts_in
from console.keys.journaling import about, journaled
from console.keys.lost_publications import with_publications
from console.keys.scopes import quota_of_tenant, row_of
from console.keys.suspended import lost_suspensions, suspension_rows, with_suspensions
from console.keys.types import Generation, Key, text_of
from console.keys.unwritten import behind as behind_of
from console.keys.unwritten import set_behind
from console.operations.types import Step
from console.outcome import Ending, ModeldeckError, Outcome, Refusal, counted

_CHUNK = 500
_SUPERFLUOUS = "to be removed"
_RIGHT = ("restored", "removed")


@dataclass(frozen=True, slots=True)
class Lost:
    """What is missing of one key. ``why_not``: it cannot be restored."""

    key: Key
    entries: tuple[Generation, ...] = ()
    secret: str = ""
    """What its Secret needs: ``missing``, ``out of date`` or ``to be removed``."""
    kept: Kept | None = None
    """The key as a Secret has it, where the database has it not."""
    why_not: str = ""

    def rows(self) -> list[dict[str, Any]]:
        state = f"cannot be restored: {self.why_not}" if self.why_not else "missing"
        rows = [self._row("database", None, state)] if self.kept is not None else []
        rows += [self._row("redis", one, state) for one in self.entries]
        return rows + ([self._row("secret", None, self.secret)] if self.secret else [])

    def _row(self, where: str, generation: Generation | None, state: str) -> dict[str, Any]:
        return {
            "id": self.key.id,
            "name": self.key.name,
            "tenant": self.key.tenant,
            "generation": generation.number if generation is not None else None,
            "digest": short_digest(generation.digest) if generation is not None else None,
            "not_after": text_of(generation.not_after) if generation is not None else None,
            "where": where,
            "state": state,
        }


async def restore(call: Call) -> Outcome:
    """Write what is lost again; entries that are there stay as they are."""
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = []
    if call["from"] == "secrets":
        lost, rows = await _lost_from_secrets(call, now)
        whole = "the database has every key of the Secrets"
    else:
        lost, whole = await _lost_from_database(call, now)
    rows += [row for one in lost for row in one.rows()]
    suspended = await lost_suspensions(call, _tenants(call))
    hopeless = sum(row["state"].startswith("cannot") for row in rows)
    if call["plan"]:
        await _tell_at_rest(call)
        for one in lost:
            if one.kept is not None and not one.why_not:
                call.emit(f"? {one.key} {_may(one.key)}")
        keys = counted(sum(not one.why_not for one in lost), "key")
        told = f"{counted(len(rows) - hopeless, 'part')} of {keys} would be written"
        told = f"{told}, {hopeless} cannot be restored" if hopeless else told if rows else whole
        told = f"the suspension of {', '.join(suspended)} would be written; {told}" if suspended else told
        return Outcome(Ending.DONE, f"{told}; nothing was changed", data=suspension_rows(suspended) + rows)
    # A tenant's suspension first: a key that is back before it is let through.
    first = await again(call, suspended) if suspended else None
    outcome = await _restored(call, lost, rows, hopeless, whole)
    if call["from"] == "database":
        await _caught_up(call, outcome.data)
    if first is not None:
        outcome = with_suspensions(first, outcome, suspended)
    return await with_publications(call, outcome, _tenants(call))


async def _restored(call: Call, lost: Sequence[Lost], rows: list[dict[str, Any]], hopeless: int, whole: str) -> Outcome:
    """Write what is lost of keys; each row with what came of it."""
    if not rows:
        return Outcome(Ending.UNCHANGED, whole, data=[])
    possible = [one for one in lost if not one.why_not]
    parts = [(f"{one.key}", _restoring(call, one)) for one in possible]
    outcome = (
        await combined(call, parts, "restored") if parts else Outcome(Ending.UNCHANGED, "nothing could be restored")
    )
    came_to = {one.key.id: item.state for one, item in zip(possible, outcome.items, strict=True)}
    behind = await behind_of(await call.services.store())
    rows = [row | {"state": _ended(row, came_to.get(row["id"]), behind)} for row in rows]
    if outcome.ending.good and any(row["state"] == NOT_WRITTEN for row in rows):
        summary = f"{outcome.summary}; not every Secret could be written"
        outcome = dataclasses.replace(outcome, ending=Ending.PARTIAL, summary=summary, proof=())
    if hopeless:
        ending = Ending.PARTIAL if outcome.ending.good or outcome.ending is Ending.PENDING else outcome.ending
        summary = f"{outcome.summary}; {hopeless} parts cannot be restored"
        then = outcome.then or "modeldeck keys restore --plan"
        return dataclasses.replace(outcome, ending=ending, summary=summary, data=rows, proof=(), then=then)
    return dataclasses.replace(outcome, data=rows)


def _ended(row: Mapping[str, Any], came_to: str | None, behind: Collection[str]) -> str:
    """What a row says afterwards: of what cannot be restored, still why."""
    state: str = row["state"]
    if came_to is None or state.startswith("cannot"):
        return state
    if came_to != Ending.DONE.value:
        return came_to
    if row["where"] == "secret" and row["id"] in behind:
        return NOT_WRITTEN
    return "removed" if state == _SUPERFLUOUS else "restored"


async def _caught_up(call: Call, rows: Sequence[Mapping[str, Any]]) -> None:
    """A key whose Secret is as it should be is not remembered as one whose Secret is behind."""
    store = await call.services.store()
    behind = await behind_of(store, tenants=_tenants(call))
    if not behind or (await _in_secrets(call))[0] is None:
        return
    still = {row["id"] for row in rows if row["where"] == "secret" and row["state"] not in _RIGHT}
    for identifier in behind - still:
        await set_behind(store, identifier, is_behind=False)


def _may(key: Key) -> str:
    """What a key of a Secret could do when it is back, for who has to judge it."""
    texts = ", ".join(f"{short_digest(one.digest)} …{one.last_four}" for one in key.generations)
    parts = [f"of {key.owner}, a key of the kind {key.kind.value} for tenant {key.tenant}", f"texts {texts}"]
    parts += [f"own models {', '.join(key.models)}"] if key.models else []
    parts += [f"may call tenants {', '.join(sorted(key.callable_tenants))}"] if key.tenants else []
    parts += [f"from {', '.join(key.networks)}"] if key.networks else []
    parts += [f"until {text_of(key.expires_at)}"] if key.expires_at else ["without an end"]
    return "; ".join(parts)


async def _tell_at_rest(call: Call) -> None:
    try:
        call.emit(f"! {(await secrets_at_rest(await call.services.cluster())).sentence}")
    except ModeldeckError as problem:
        call.emit(f"! the Secrets cannot be read: {problem}")


def _restoring(call: Call, lost: Lost) -> Callable[[], Awaitable[Outcome]]:
    key = lost.key
    steps: list[Step] = []
    grants = None
    if lost.kept is not None:
        grants = {name: grant.as_json() for name, grant in lost.kept.grants.items()}
        steps.append(Step("keys.row", f"key {key.id}", row_of(key) | {"most": {}}))
        for one in key.generations:
            row = {
                "key": key.id,
                "generation": one.number,
                "digest": one.digest,
                "last_four": one.last_four,
                "issued_at": text_of(one.issued_at),
                "not_after": text_of(one.not_after),
            }
            steps.append(Step("keys.generation", f"generation {one.number} of {key.id}", row))
    for one in lost.entries:
        entry = {"generation": one.number, "digest": one.digest, "not_after": text_of(one.not_after)}
        if grants is not None:
            entry["grants"] = grants
        steps.append(Step("keys.entry", f"gateway entry of generation {one.number}", about(call, key) | entry))
    return lambda: journaled(call, key, tuple(steps), verb="restored")


# --- from the database ------------------------------------------------------------------------------------------


async def _lost_from_database(call: Call, now: datetime) -> tuple[list[Lost], str]:
    """What Redis and the Secrets lack of the keys in the database; and the sentence for where that is nothing."""
    store = await call.services.store()
    every = await book.list_keys(store, tenants=_tenants(call), revoked=True)
    known = {(key.tenant, key.id) for key in every}
    valid = [key for key in every if key.counts(now)]
    missing = await _missing(await call.services.redis(), valid, now)
    in_secrets, problem = await _in_secrets(call)
    if unknown := len((in_secrets or {}).keys() - known):
        call.emit(f"! {unknown} keys stand in Secrets and not in the database: modeldeck keys restore --from secrets")
    found = []
    for key in every:
        entries = missing.get(key.id, ())
        why_not = await _why_not(call, key) if entries else ""
        secret = ""
        if in_secrets is not None:
            there = in_secrets.get((key.tenant, key.id))
            kept = await kept_of(store, key, now, there)
            if kept is None:
                secret = _SUPERFLUOUS if there is not None else ""
            elif there != kept.as_text():
                secret = "missing" if there is None else "out of date"
        if entries or secret:
            found.append(Lost(key, tuple(entries), secret, why_not=why_not))
    copies = "Redis has" if in_secrets is None else "Redis and the Secrets have"
    unread = f"; the Secrets cannot be read: {problem}" if problem else ""
    return found, f"{copies} the entries of all {len(valid)} keys{unread}"


async def _why_not(call: Call, key: Key) -> str:
    try:
        await book.own_grants(await call.services.store(), key)
    except Refusal as refusal:
        return str(refusal)
    return ""


async def _in_secrets(call: Call) -> tuple[dict[tuple[str, str], str] | None, str]:
    """What the Secrets say, by tenant and key; None and the reason where they cannot be read."""
    try:
        cluster = await call.services.cluster()
        secrets = [one for tenant in _places(call) for one in await secrets_of(cluster, tenant)]
    except ModeldeckError as problem:
        return None, str(problem)
    return {
        (one["metadata"]["namespace"], identifier): text or ""
        for one in secrets
        for identifier, text in texts_in(one).items()
    }, ""


async def _missing(redis: Redis, keys: Sequence[Key], now: datetime) -> dict[str, list[Generation]]:
    """The live texts of each key that Redis has no entry for, by the key's id."""
    wanted = [(key, generation) for key in keys for generation in key.live(now)]
    lost: dict[str, list[Generation]] = {}
    for start in range(0, len(wanted), _CHUNK):
        some = wanted[start : start + _CHUNK]
        pipeline = redis.pipeline(transaction=False)
        for _, generation in some:
            pipeline.exists(KEY_PREFIX + generation.digest)
        for (key, generation), there in zip(some, await pipeline.execute(), strict=True):
            if not there:
                lost.setdefault(key.id, []).append(generation)
    return lost


# --- from the Secrets -------------------------------------------------------------------------------------------


async def _lost_from_secrets(call: Call, now: datetime) -> tuple[list[Lost], list[dict[str, Any]]]:
    """What the Secrets have and the database has not; and a row for each field that cannot be read.

    Raises:
        Refusal: not an admin, for whoever may write Secrets in the namespace may have written these; or the cluster
            does not let them be read.
    """
    if call.principal.role < Role.ADMIN:
        raise Refusal(
            "keys come back from Secrets by an admin only: others than Modeldeck may have written there; "
            "nothing was changed",
            code="FORBIDDEN",
            status=403,
        )
    cluster, store = await call.services.cluster(), await call.services.store()
    secrets = [one for tenant in _places(call) for one in await secrets_of(cluster, tenant)]
    rows: list[dict[str, Any]] = []
    read: list[Kept] = []
    ours = {key.id: key for key in await book.list_keys(store, revoked=True)}
    for secret in secrets:
        tenant = secret["metadata"]["namespace"]
        for identifier, text in sorted(texts_in(secret).items()):
            try:
                if identifier in ours:
                    if ours[identifier].tenant != tenant:
                        raise ValueError("a key of another tenant has that id")
                    continue
                if text is None:
                    raise ValueError("it is no text")
                read.append(Kept.of(text, tenant=tenant, identifier=identifier))
            except ValueError as problem:
                rows.append(_unreadable(tenant, identifier, str(problem)))
    known = _Known(
        {one.digest: key for key in ours.values() for one in key.generations},
        {(key.tenant, key.name) for key in ours.values() if key.revoked_at is None},
        # Which of two is right, nobody can tell: whoever may write in one namespace could take a key from another.
        Counter(kept.key.id for kept in read),
        Counter(one.digest for kept in read for one in kept.generations),
        await _leading(call),
        {tenant: await _no_tenant(call, tenant) for tenant in {kept.key.tenant for kept in read}},
    )
    found: list[Lost] = []
    for kept in read:
        key = dataclasses.replace(kept.key, generations=tuple(one for one in kept.generations if one.live(now)))
        why_not = _hindered(call, key, known, now) or _astray(kept, known.publications)
        found.append(Lost(key, kept=kept, why_not=why_not))
        if not why_not:
            known.names.add((key.tenant, key.name))
    missing = await _missing(await call.services.redis(), [one.key for one in found if not one.why_not], now)
    return [dataclasses.replace(one, entries=tuple(missing.get(one.key.id, ()))) for one in found], rows


@dataclass(frozen=True, slots=True)
class _Known:
    """What a key of a Secret is judged by."""

    digests: Mapping[str, Key]
    names: set[tuple[str, str]]
    ids_in_secrets: Mapping[str, int]
    digests_in_secrets: Mapping[str, int]
    publications: Mapping[str, Grant]
    """Where a name leads that is published, by name."""
    no_tenant: Mapping[str, str]
    """Why a namespace's keys are nobody's, by namespace; empty where it is a tenant."""


async def _leading(call: Call) -> dict[str, Grant]:
    """As the database has it, and the gateway's entry: of the two one may be lost."""
    raw = await (await call.services.redis()).get(PUBLISHED_KEY)
    try:
        published = parse_published(raw) if raw is not None else {}
    except Malformed:
        published = {}
    return published | await book.published_grants(await call.services.store())


async def _no_tenant(call: Call, tenant: str) -> str:
    try:
        await quota_of_tenant(call, tenant)
    except Refusal as refusal:
        return str(refusal)
    return ""


def _hindered(call: Call, key: Key, known: _Known, now: datetime) -> str:
    """Why a key of a Secret cannot come back; empty where it can."""
    if why := known.no_tenant[key.tenant]:
        return why
    if not key.counts(now):
        return "it has expired"
    if not key.generations:
        return "none of its texts works any more"
    if other := next((known.digests[one.digest] for one in key.generations if one.digest in known.digests), None):
        return f"{_named(call, other)} has its text"
    if known.ids_in_secrets[key.id] > 1:
        return "two Secrets have a key of that id: remove the field that is wrong"
    if any(known.digests_in_secrets[one.digest] > 1 for one in key.generations):
        return "two keys in Secrets have its text: remove the field that is wrong"
    if (key.tenant, key.name) in known.names:
        return f"tenant {key.tenant} has another key called {key.name}"
    allowed = call.principal.tenants
    if allowed is not None and not allowed.issuperset(key.quota_tenants):
        return f"{call.principal.name} has no access to every tenant that it may call"
    return ""


def _named(call: Call, key: Key) -> str:
    allowed = call.principal.tenants
    return f"key {key}" if allowed is None or key.tenant in allowed else "a key of another tenant"


def _astray(kept: Kept, publications: Mapping[str, Grant]) -> str:
    """Whether one of its models would lead into a tenant that the key does not name, whatever the Secret says of it."""
    mine = {None, *kept.key.quota_tenants}
    taken_over = dict(kept.key.imported.grants) if kept.key.imported is not None else {}
    by_endpoint = {grant.endpoint_id: grant for grant in publications.values() if grant.endpoint_id is not None}
    for name, grant in (taken_over | dict(kept.grants)).items():
        strange = {
            one.project_id
            for one in (publications.get(name), by_endpoint.get(grant.endpoint_id or ""))
            if one is not None and one.project_id not in mine
        }
        if name not in taken_over and grant.project_id not in mine:
            strange.add(grant.project_id)
        if strange:
            return f"its model {name} leads to tenant {', '.join(sorted(map(str, strange)))}, which it does not name"
    return ""


def _unreadable(tenant: str, identifier: str, why: str) -> dict[str, Any]:
    row = dict.fromkeys(("name", "generation", "digest", "not_after"))
    return row | {"id": identifier, "tenant": tenant, "where": "secret", "state": f"cannot be restored: {why}"}


def _tenants(call: Call) -> list[str] | None:
    if call["tenant"]:
        return [call["tenant"]]
    return sorted(call.principal.tenants) if call.principal.tenants is not None else None


def _places(call: Call) -> Sequence[str | None]:
    """The namespaces whose Secrets are read; None is all of them."""
    tenants = _tenants(call)
    return (None,) if tenants is None else tenants
