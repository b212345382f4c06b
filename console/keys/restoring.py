"""The gateway's entries, made again from the database where Redis has lost them (a flush, a restore, a new Redis)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis

from console.access.types import KEY_PREFIX, short_digest
from console.call import Call
from console.keys import book
from console.keys.journaling import about, journaled
from console.keys.steps import text_of
from console.keys.types import Generation, Key
from console.operations.types import Step
from console.outcome import Ending, Item, Outcome

_CHUNK = 500


async def restore(call: Call) -> Outcome:
    """Write the entry of every text that should work and has none; entries that are there stay as they are."""
    tenants = [call["tenant"]] if call["tenant"] else None
    if tenants is None and call.principal.tenants is not None:
        tenants = sorted(call.principal.tenants)
    now = datetime.now(UTC)
    found = [key for key in await book.list_keys(await call.services.store(), tenants=tenants) if key.counts(now)]
    missing = await _missing(await call.services.redis(), found, now)
    rows = [_row(key, generation) for key, generations in missing for generation in generations]
    if not rows:
        return Outcome(Ending.UNCHANGED, f"Redis has the entries of all {len(found)} keys", data=[])
    if call["plan"]:
        told = f"{len(rows)} entries of {len(missing)} keys are missing and would be written; nothing was changed"
        return Outcome(Ending.DONE, told, data=rows)
    outcomes = [(key, await journaled(call, key, _steps(call, key, lost), verb="restored")) for key, lost in missing]
    items = tuple(Item(f"key {key.id} ({key.name})", one.ending.value, one.summary) for key, one in outcomes)
    endings = {one.ending for _, one in outcomes}
    ending = endings.pop() if len(endings) == 1 else Ending.PARTIAL
    done = sum(one.ending in (Ending.DONE, Ending.PENDING) for _, one in outcomes)
    return Outcome(ending, f"entries of {done} of {len(missing)} keys written again", items=items, data=rows)


async def _missing(redis: Redis, keys: Sequence[Key], now: datetime) -> list[tuple[Key, list[Generation]]]:
    """The live texts of each key that Redis has no entry for."""
    wanted = [(key, generation) for key in keys for generation in key.live(now)]
    lost: dict[str, tuple[Key, list[Generation]]] = {}
    for start in range(0, len(wanted), _CHUNK):
        some = wanted[start : start + _CHUNK]
        pipeline = redis.pipeline(transaction=False)
        for _, generation in some:
            pipeline.exists(KEY_PREFIX + generation.digest)
        for (key, generation), there in zip(some, await pipeline.execute(), strict=True):
            if not there:
                lost.setdefault(key.id, (key, []))[1].append(generation)
    return list(lost.values())


def _steps(call: Call, key: Key, generations: Sequence[Generation]) -> tuple[Step, ...]:
    steps = []
    for one in generations:
        entry = {"generation": one.number, "digest": one.digest, "not_after": text_of(one.not_after)}
        steps.append(Step("keys.entry", f"gateway entry of generation {one.number}", about(call, key) | entry))
    return tuple(steps)


def _row(key: Key, generation: Generation) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "generation": generation.number,
        "digest": short_digest(generation.digest),
        "not_after": text_of(generation.not_after),
    }
