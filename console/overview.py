"""What an operator should know first: what needs somebody, and how much there is of everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from console.call import Call, Handler
from console.outcome import Ending, ModeldeckError, Outcome

FRESH_FOR = timedelta(hours=5)
"""A list is late after this: the longest interval of the schedule's tiers (4 h), and something for its jitter."""
_GOOD_SYNCS = ("ok", "unchanged")
_MOST_NAMED = 3
_RESTORE = "Redis has no entry for it, so the gateway refuses it: modeldeck keys restore"


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that somebody should look at.

    state  a word for how it is: refused, drift, pending, rotating, expiring, lost, spending, spent, interrupted, down
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
    from console.keys.handlers import LOST, listing

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
    figures = {
        "active": sum(row["state"] in ("active", "rotating") for row in rows),
        "rotating": sum(row["state"] == "rotating" for row in rows),
        "expiring": expiring,
        "total": len(rows),
    }
    return _Part(figures, tuple(needs))


async def _budgets(call: Call) -> _Part:
    from console.usage.budget_handlers import listing
    from console.usage.budgets import TOLD_AT

    rows = await _rows(call, listing, tenant=None)
    needs = []
    for row in sorted(rows, key=lambda row: -row["percent"]):
        if row["percent"] >= min(TOLD_AT):
            state = "spent" if row["percent"] >= max(TOLD_AT) else "spending"
            detail = f"{row['percent']} % of {row['budget']} is used"
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
