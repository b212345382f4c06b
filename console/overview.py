"""What an operator should know first: what needs somebody, and how much there is of everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from console.call import Call, Handler
from console.outcome import Ending, ModeldeckError, Outcome, Refusal
from console.terminal.text import share

FRESH_FOR = timedelta(hours=5)
"""A list is late after this: the longest interval of the schedule's tiers (4 h), and something for its jitter."""
_GOOD_SYNCS = ("ok", "unchanged")
_MOST_NAMED = 3
_RESTORE = "Redis has no entry for it, so the gateway refuses it: modeldeck keys restore"


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that somebody should look at.

    state  a word for how it is: refused, drift, pending, rotating, expiring, lost, suspended, unwritten, spending,
           spent, interrupted, down
    view   where it is dealt with: overview, sync, published, keys, usage, audit
    key    what it is called there
    """

    state: str
    what: str
    detail: str
    view: str
    key: str

    def as_json(self) -> dict[str, str]:
        return {"state": self.state, "what": self.what, "detail": self.detail, "view": self.view, "key": self.key}


@dataclass(frozen=True, slots=True)
class _Part:
    """What one service had to say: figures, and needs. ``problem`` where it could not be asked."""

    figures: Mapping[str, Any] | None
    needs: tuple[Need, ...] = ()
    problem: str = ""


async def show(call: Call) -> Outcome:
    """Figures and needs of every service; one that cannot be asked is a need, and costs no other its figures."""
    parts: dict[str, Callable[[Call], Awaitable[_Part]]] = {
        "catalog": _catalog,
        "published": _published,
        "keys": _keys,
        "budgets": _budgets,
        "operations": _operations,
    }
    found = dict(
        zip(parts, await asyncio.gather(*(_asked(name, ask, call) for name, ask in parts.items())), strict=True)
    )
    needs = [need for part in found.values() for need in part.needs]
    data = {name: part.figures for name, part in found.items()} | {"needs": [need.as_json() for need in needs]}
    if any(part.problem for part in found.values()):
        unknown = ", ".join(name for name, part in found.items() if part.problem)
        return Outcome(Ending.PARTIAL, f"not known: {unknown}", data=data)
    return Outcome(Ending.DONE, f"{len(needs)} need somebody" if needs else "nothing needs anybody", data=data)


async def _asked(name: str, ask: Callable[[Call], Awaitable[_Part]], call: Call) -> _Part:
    try:
        return await ask(call)
    except ModeldeckError as problem:
        return _Part(None, (Need("down", name, str(problem), "overview", name),), str(problem))


async def _rows(call: Call, listing: Handler, **values: Any) -> list[dict[str, Any]]:
    """The rows that a listing gives this operator."""
    outcome = await listing(replace(call, values=values))
    return list(outcome.data)


async def _catalog(call: Call) -> _Part:
    from console.catalog import read
    from console.sync.history import last_words

    store = await call.services.store()
    stats = await read.stats(store)
    words = await last_words(store)
    now = datetime.now(UTC)
    needs = []
    fresh = late = 0
    for slug, word in sorted(words.items()):
        outcome = word.report.outcome.value
        if outcome not in _GOOD_SYNCS:
            detail = f"{word.report.sentence} ({word.finished_at.astimezone():%H:%M})"
            needs.append(Need(outcome, f"sync {slug}", detail, "sync", slug))
        elif now - word.finished_at > FRESH_FOR:
            late += 1
        else:
            fresh += 1
    figures = {
        "models": stats.models,
        "providers": len(words),
        "fresh": fresh,
        "late": late,
        "in_trouble": len(needs),
        "newest": max((word.finished_at for word in words.values()), default=None),
    }
    return _Part(_plain(figures), tuple(needs))


async def _published(call: Call) -> _Part:
    from console.publishing.showing import published
    from console.publishing.types import STATUS_STATES

    rows = await _rows(call, published, name=None, tenant=None)
    states = [(row, STATUS_STATES[row["status"]]) for row in rows]
    needs = [
        Need(state, row["name"], row["reason"], "published", row["name"]) for row, state in states if state != "ready"
    ]
    ready = sum(row["ready"] for row in rows)
    figures = {"total": len(rows), "ready": ready, "not_ready": len(rows) - ready}
    return _Part(figures, tuple(needs))


async def _keys(call: Call) -> _Part:
    from console.keys.handlers import listing
    from console.keys.types import LOST

    rows = await _rows(call, listing, tenant=None, all=False, label=())
    now = datetime.now(UTC)
    needs = []
    expiring = 0
    for row in rows:
        if row["grace_left"] is not None:
            detail = f"two texts work; the old one until {row['grace_left'] // 60} min from now"
            needs.append(Need("rotating", f"key {row['name']}", detail, "keys", row["id"]))
        if row["expires_soon"]:
            left = datetime.fromisoformat(row["expires_at"]) - now
            expiring += 1
            needs.append(Need("expiring", f"key {row['name']}", f"in {_days(left)}", "keys", row["id"]))
    lost = [row for row in rows if row["state"] == LOST]
    if len(lost) > _MOST_NAMED:
        needs.append(Need(LOST, f"{len(lost)} keys", _RESTORE, "keys", lost[0]["id"]))
    else:
        needs += [Need(LOST, f"key {row['name']}", _RESTORE, "keys", row["id"]) for row in lost]
    needs += [*await _suspended(call, rows), *await _unwritten(call)]
    problem = "Redis cannot be asked what the gateway has" if any(row["used"] == "unknown" for row in rows) else ""
    if problem:
        needs.append(Need("down", "keys", f"{problem}: which of them it refuses is not known", "overview", "keys"))
    figures = {
        "active": sum(row["state"] == "active" for row in rows),
        "rotating": sum(row["state"] == "rotating" for row in rows),
        "expiring": expiring,
        "total": len(rows),
    }
    return _Part(figures, tuple(needs), problem)


async def _suspended(call: Call, keys: Sequence[Mapping[str, Any]]) -> list[Need]:
    """The tenants whose keys are refused, and those whose keys should be and are not."""
    from console.access import suspensions

    standing = await suspensions.standing(call.services)
    allowed = call.principal.tenants
    needs = []
    for tenant in sorted(standing.refused | standing.kept.keys()):
        if allowed is not None and tenant not in allowed:
            continue
        own = [key["id"] for key in keys if key["tenant"] == tenant]
        many = f"{len(own)} key{'s' if len(own) != 1 else ''}"
        if tenant in standing.lost:
            state = "lost"
            detail = f"its suspension: Redis has none, so the gateway lets {many} through: modeldeck keys restore"
        else:
            state = "suspended"
            detail = f"{many} refused with 403: modeldeck tenants resume {tenant}"
            if tenant not in standing.kept:
                detail = f"{detail}, or suspend it again: in Redis alone, a flush would lift it"
        needs.append(Need(state, f"tenant {tenant}", detail, "keys", own[0] if own else tenant))
    return needs


async def _unwritten(call: Call) -> list[Need]:
    """That Secrets are behind, where there is a cluster that has them."""
    from console.keys.unwritten import behind as behind_of

    behind = await behind_of(await call.services.store(), tenants=call.principal.tenants)
    if not behind:
        return []
    try:
        await call.services.cluster()  # reads its configuration; nothing is sent
    except Refusal:
        return []
    many = "1 key" if len(behind) == 1 else f"{len(behind)} keys"
    detail = f"the digests of {many} are not written to Secrets: modeldeck keys restore"
    return [Need("unwritten", many, detail, "keys", min(behind))]


async def _budgets(call: Call) -> _Part:
    from console.usage.budget_handlers import listing

    rows = await _rows(call, listing, tenant=None)
    needs = []
    for row in sorted(rows, key=lambda row: -row["percent"]):
        if row["state"] != "open":
            state = "spent" if row["state"] == "spent" else "spending"
            rest = ", and the rest lets requests through one at a time" if row["state"] == "one at a time" else ""
            detail = f"{share(row['percent'])} {row['budget']} is used{rest}"
            needs.append(Need(state, f"budget {row['called']}", detail, "usage", f"{row['scope']}:{row['name']}"))
    figures = {"total": len(rows), "spent": sum(need.state == "spent" for need in needs)}
    return _Part(figures, tuple(needs))


async def _operations(call: Call) -> _Part:
    from console.operations.handlers import interrupted

    rows = await _rows(call, interrupted)
    then = "recovery ends it within a minute wherever `modeldeck run` runs"
    needs = tuple(Need("interrupted", f"{row['kind']} {row['target']}", then, "audit", row["id"]) for row in rows)
    return _Part({"interrupted": len(rows)}, needs)


def _days(left: timedelta) -> str:
    return f"{left.days} d" if left.days else f"{int(left.total_seconds() // 3600)} h"


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
        for name, value in figures.items()
    }
