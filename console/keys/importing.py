"""Keys that another writer's value names in clear, taken over into the digest form.

The seed's form is ``{key: {model: {…}}}`` under any name (``api_key:client_keys``). What is told of such a key is its
digest; its text goes nowhere. Taking one over is two operations: first its row, its generation and its entry by digest,
which is undone where anything fails; then, once every gateway worker decides by that entry, the removal of the clear
copy, which is finished whatever happens, for the text that would be put back is kept nowhere. Between the two it stands
in both forms and the digest form counts; the next run finds it so and removes the clear copy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from console.access.codec import ClearEntry
from console.access.types import KEY_PREFIX, Fault, shown_key
from console.call import Call
from console.keys import book
from console.keys.bulk import combined
from console.keys.clear import clear_values, read_clear
from console.keys.journaling import about, entry_step, journaled
from console.keys.mint import new_key_id
from console.keys.scopes import quota_of_tenant, row_of
from console.keys.types import Import, Key, KeyKind, text_of
from console.operations.types import Recovery, Step
from console.outcome import Ending, Outcome, Refusal, conflict

_SHOWN_DIGITS = 12
_CHUNK = 500
_LEFT = "what was in clear stays in Redis' append-only file, where it has one, until that is rewritten"
_REWRITE = "redis-cli BGREWRITEAOF"


@dataclass(frozen=True, slots=True)
class InClear:
    """A key that stands in clear. ``ours``: the key that it was taken over as; ``by_digest``: it has an entry by
    digest too."""

    source: str
    found: ClearEntry
    ours: Key | None = None
    by_digest: bool = False

    @property
    def digest(self) -> str:
        return self.found.entry.digest

    @property
    def state(self) -> str:
        if self.ours is not None:
            return "taken over, its clear copy is left"
        return "in clear, and by digest of another writer" if self.by_digest else "in clear"

    def as_json(self) -> dict[str, Any]:
        entry = self.found.entry
        return {
            "source": shown_key(self.source),
            "entry": self.digest[:_SHOWN_DIGITS],
            "kind": _kind(self.found).value,
            "models": sorted(entry.models),
            "model_count": len(entry.models),
            "user": entry.user_id,
            "project": entry.project_id,
            "expires_at": text_of(_moment(entry.not_after)),
            "key": self.ours.id if self.ours is not None else None,
            "state": self.state,
        }


async def take_over(call: Call) -> Outcome:
    """Show what stands in clear, or take it over."""
    found, faults = await _in_clear(call)
    chosen = _chosen(found, call["entry"])
    if call["plan"]:
        rows = [one.as_json() for one in chosen] + [_fault_row(fault) for fault in faults]
        values = len({one.source for one in chosen})
        told = f"{len(chosen)} keys stand in clear in {values} Redis values" if chosen else "no key stands in clear"
        unusable = f"; {len(faults)} could not be read" if faults else ""
        return Outcome(Ending.DONE, f"{told}{unusable}; nothing was changed", data=rows)
    if not chosen:
        return Outcome(Ending.UNCHANGED, "no key stands in clear", data=[])
    tenant = call["tenant"]
    if not tenant and any(one.ours is None for one in chosen):
        raise Refusal(
            "whose keys these are was not said; nothing was changed",
            code="INVALID_PARAMETER",
            then="add --tenant NAME, and --entry DIGEST where they are several tenants'",
        )
    most = (await quota_of_tenant(call, tenant)).keys if tenant else None
    parts = [(f"entry {one.digest[:_SHOWN_DIGITS]}", _converting(call, one, tenant, most)) for one in chosen]
    outcome = await combined(call, parts, "taken over")
    ours = await book.keys_of_digests(await call.services.store(), [one.digest for one in chosen])
    rows = [
        one.as_json() | {"state": item.state, "key": ours[one.digest].id if one.digest in ours else None}
        for one, item in zip(chosen, outcome.items, strict=True)
    ]
    if any(item.state == Ending.DONE.value for item in outcome.items):
        outcome = dataclasses.replace(outcome, summary=f"{outcome.summary}; {_LEFT}", then=outcome.then or _REWRITE)
    return dataclasses.replace(outcome, data=rows)


def _converting(call: Call, one: InClear, tenant: str, most: int | None) -> Any:
    return lambda: _converted(call, one, tenant, most)


async def _converted(call: Call, one: InClear, tenant: str, most: int | None) -> Outcome:
    # Looked at again: two values may name one key, and the first of them was taken over a moment ago.
    (one,) = await _placed(call, [one])
    if one.ours is not None:
        call.permit.covers(one.ours.tenant)
        return await _taken_over_before(call, one.ours, one)
    if one.by_digest:
        raise conflict(
            f"entry {one.digest[:_SHOWN_DIGITS]} stands by digest as well, written by somebody else; "
            "both were left as they are",
            code="KEY_EXISTS",
        )
    now = datetime.now(UTC)
    entry = one.found.entry
    key = Key(
        id=new_key_id(),
        name=f"{one.source.removeprefix(KEY_PREFIX)[:40]}-{one.digest[:6]}",
        tenant=tenant,
        owner=call["owner"] or entry.user_id or tenant,
        kind=_kind(one.found),
        models=tuple(sorted(entry.models)),
        created_at=now,
        expires_at=_moment(entry.not_after),
        suspended=entry.suspended,
        networks=tuple(str(network) for network in entry.networks),
        imported=Import(one.source, entry.models),
    )
    if key.expires_at is not None and key.expires_at <= now:
        raise conflict("it has expired, and was left as it is", code="KEY_NOT_LIVE")
    await book.judge_new(await call.services.store(), key, {key.tenant: most})
    outcome = await journaled(call, key, _steps(call, key, one, most, now), verb="taken over")
    if outcome.ending is not Ending.DONE:
        left = "; its clear copy stays until that is proven" if outcome.ending is Ending.PENDING else ""
        return dataclasses.replace(outcome, summary=outcome.summary + left, then="modeldeck keys import --plan")
    return await _without_clear_copy(call, key, one)


async def _taken_over_before(call: Call, key: Key, one: InClear) -> Outcome:
    """Only the clear copy is left. Where Redis has lost the entry by digest meanwhile, that comes first: the client
    works by its clear copy alone then."""
    now = datetime.now(UTC)
    (generation,) = (each for each in key.generations if each.digest == one.digest)
    if not one.by_digest and key.counts(now) and generation.live(now):
        entry = entry_step(call, key, generation.number, one.digest, generation.not_after)
        outcome = await journaled(call, key, (entry,), verb="entered by digest again")
        if outcome.ending is not Ending.DONE:
            return dataclasses.replace(outcome, then="modeldeck keys import --plan")
    return await _without_clear_copy(call, key, one)


def _steps(call: Call, key: Key, one: InClear, most: int | None, now: datetime) -> tuple[Step, ...]:
    assert key.imported is not None
    row = row_of(key) | {"most": {key.tenant: most}}
    generation = {
        "key": key.id,
        "generation": 1,
        "digest": one.digest,
        "last_four": one.found.last_four,
        "issued_at": text_of(now),
    }
    return (
        Step("keys.row", f"key {key.id}", row),
        Step("keys.generation", f"generation 1 of {key.id}", generation),
        entry_step(call, key, 1, one.digest, None),
    )


async def _without_clear_copy(call: Call, key: Key, one: InClear) -> Outcome:
    arguments = about(call, key) | {"source": one.source, "digest": one.digest, "seen": one.found.seen}
    step = Step("keys.clear", f"clear copy in {shown_key(one.source)}", arguments)
    outcome = await journaled(call, key, (step,), verb="taken over, its clear copy removed", recovery=Recovery.FINISH)
    if outcome.ending not in (Ending.DONE, Ending.PENDING):
        return outcome
    entries, _ = await read_clear(await call.services.redis(), one.source, call.services.profile.access.salt)
    if any(left.entry.digest == one.digest for left in entries):
        summary = f"key {key} taken over; somebody changed its clear copy meanwhile, and it was left there"
        return dataclasses.replace(outcome, ending=Ending.PENDING, summary=summary, then="modeldeck keys import --plan")
    return outcome


# --- what is there ----------------------------------------------------------------------------------------------


async def _in_clear(call: Call) -> tuple[list[InClear], list[Fault]]:
    """Every key that a value of the seed's form names, and what of such values cannot be read."""
    redis: Redis = await call.services.redis()
    salt = call.services.profile.access.salt
    names, faults = await clear_values(redis)
    found: list[InClear] = []
    for name in names:
        entries, problems = await read_clear(redis, name, salt)
        found += [InClear(name, entry) for entry in entries]
        faults += problems
    placed: list[InClear] = []
    for start in range(0, len(found), _CHUNK):
        placed += await _placed(call, found[start : start + _CHUNK])
    return placed, faults


async def _placed(call: Call, found: Sequence[InClear]) -> list[InClear]:
    """With the keys that they were taken over as, and whether they stand by digest too: as it is now."""
    if not found:
        return []
    redis = await call.services.redis()
    ours = await book.keys_of_digests(await call.services.store(), [one.digest for one in found])
    pipeline = redis.pipeline(transaction=False)
    for one in found:
        pipeline.exists(KEY_PREFIX + one.digest)
    there = await pipeline.execute()
    return [
        dataclasses.replace(one, ours=ours.get(one.digest), by_digest=bool(by_digest))
        for one, by_digest in zip(found, there, strict=True)
    ]


def _chosen(found: Sequence[InClear], wanted: Sequence[str]) -> list[InClear]:
    """The entries whose digests begin so; all of them where none was named.

    Raises:
        Refusal: one that was named is not there.
    """
    if not wanted:
        return list(found)
    chosen: dict[tuple[str, str], InClear] = {}
    for beginning in wanted:
        fitting = [one for one in found if len(beginning) >= 4 and one.digest.startswith(beginning)]
        if not fitting:
            raise Refusal(
                f"no key in clear has a digest that begins with {beginning[:64]!r}; nothing was changed",
                code="KEY_NOT_FOUND",
                status=404,
                then="modeldeck keys import --plan",
            )
        chosen |= {(one.source, one.digest): one for one in fitting}
    return list(chosen.values())


def _fault_row(fault: Fault) -> Mapping[str, Any]:
    row = dict.fromkeys(("entry", "kind", "model_count", "user", "project", "expires_at", "key"))
    return row | {"source": fault.where, "models": [], "state": f"cannot be read: {fault.problem}"}


def _kind(found: ClearEntry) -> KeyKind:
    return KeyKind.CLIENT if found.beginning else KeyKind.ADMIN


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
