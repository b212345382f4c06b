"""The action on usage."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from console.call import Call
from console.catalog.types import Document
from console.keys import book as keys
from console.outcome import Ending, Outcome, Refusal, conflict, not_found
from console.publishing import book as publications
from console.store.engine import Store
from console.usage import book
from console.usage.reading import Question, Sums, reasons, sums, was_seen

_PER = {"minute": 60, "hour": 3600, "day": 86_400}
# Up to how many seconds back a question is answered with minutes, and with hours.
_FINE, _MIDDLE = 3 * 3600, 7 * 86_400
_MOST_TIMES = 3_000
_STALE_SECONDS = 30
_NOBODY = {"model": "(no published model)", "tenant": "(no tenant)", "key": "(no known key)"}
_CENT, _SMALL = Decimal("0.01"), Decimal("0.000001")


async def report(call: Call) -> Outcome:
    """Who used what, since when."""
    now = int(time.time())
    store = await call.services.store()
    by, question = call["by"], _question(call, now, await _key_id(call, store))
    await _check_names(call, store)
    if by == "reason":
        rows = [_denied(reason, count) for reason, count in await reasons(store, question)]
        summary = f"{sum(row['requests'] for row in rows)} requests refused by the gateway"
        total = None
    else:
        found = await sums(store, question, by)
        names = await _names(call) if by == "key" else {}
        total = sum(found, Sums("total"))
        if by == "time":
            found = _every_time(question, found)
        rows = [_row(one, by, names) for one in found]
        summary = _summary(total)
    notes = await _notes(call, now)
    data: dict[str, Any] = {
        "by": by,
        "per": next(name for name, seconds in _PER.items() if seconds == question.grain),
        "since": _text_of(question.since),
        "until": _text_of(question.until),
        "rows": rows,
        "total": None if total is None else _row(total, "", {}),
        "notes": notes,
    }
    if call["format"] == "csv":
        return Outcome(Ending.DONE, summary, data=Document(_csv(rows), rows, whole=data))
    return Outcome(Ending.DONE, summary, data=data)


async def _key_id(call: Call, store: Store) -> str | None:
    """The id of the key that is named by it or by its name, one that was revoked where no other has the name.

    Raises:
        Refusal: there is none, or several.
    """
    name = call["key"]
    if name is None:
        return None
    found = await keys.list_keys(store, tenants=_tenants(call), revoked=True)
    named = [one for one in found if name in (one.id, one.name)]
    one = next((one for one in named if one.id == name), None)
    living = [one for one in named if one.revoked_at is None] or named
    if one is not None or len(living) == 1:
        return (one or living[0]).id
    if living:
        raise conflict(
            f"{len(living)} keys are called {name}; nothing was read", code="KEY_AMBIGUOUS",
            then=f"name one by its id: {', '.join(sorted(one.id for one in living))}",
        )  # fmt: skip
    if call.principal.tenants is None and await was_seen(store, "key", name):
        return str(name)  # one that was never of Modeldeck's, or of its probes
    raise not_found(f"there is no key {name}; nothing was read", code="KEY_NOT_FOUND", then="modeldeck keys list --all")


def _tenants(call: Call) -> list[str] | None:
    """Those that the asking one may see; None for all."""
    return None if call.principal.tenants is None else sorted(call.principal.tenants)


async def _check_names(call: Call, store: Store) -> None:
    """A report on what nobody knows would look like one on what was not used.

    Raises:
        Refusal: there is no such tenant or model, and never was.
    """
    tenant, model = call["tenant"], call["model"]
    if not (tenant or model):
        return
    published = [one for one, _, _ in await publications.listing(store)]
    if tenant and tenant not in {one.tenant for one in published} and not await was_seen(store, "tenant", tenant):
        owners = {one.tenant for one in await keys.list_keys(store, tenants=_tenants(call), revoked=True)}
        if tenant not in owners:
            raise not_found(
                f"no key, publication or request is of a tenant {tenant}; nothing was read", code="INVALID_TENANT",
                then="modeldeck tenants list",
            )  # fmt: skip
    if model and model not in {one.name for one in published} and not await was_seen(store, "model", model):
        raise not_found(
            f"nothing is published as {model}, and nothing was; nothing was read", code="NOT_PUBLISHED",
            then="modeldeck published",
        )  # fmt: skip


def _question(call: Call, now: int, key: str | None) -> Question:
    seconds = call["since"]
    if call["per"]:
        grain = _PER[call["per"]]
        kept = int(book.KEEP[grain].total_seconds())
        if seconds > kept:
            raise Refusal(
                f"usage per {call['per']} is kept for {kept // 3600} h; nothing was read",
                code="NOT_KEPT",
                then="ask for less, or --per day",
            )
    else:
        grain = 60 if seconds <= _FINE else 3600 if seconds <= _MIDDLE else 86_400
    if call["by"] == "time" and seconds // grain > _MOST_TIMES:
        raise Refusal(
            f"that would be {seconds // grain} lines; nothing was read", code="TOO_MANY", then="ask for --per hour"
        )
    tenants = [call["tenant"]] if call["tenant"] else _tenants(call)
    since = (now - seconds) // grain * grain
    return Question(grain, since, now + 1, tenants, call["model"], key)


def _every_time(question: Question, found: Sequence[Sums]) -> list[Sums]:
    """With the times at which there was nothing."""
    there = {one.name: one for one in found}
    times = range(question.since, question.until, question.grain)
    return [there.get(start) or Sums(start) for start in times]


async def _names(call: Call) -> dict[str, str]:
    found = await keys.list_keys(await call.services.store(), tenants=None, revoked=True)
    return {one.id: one.name for one in found}


def _row(one: Sums, by: str, names: Mapping[str, str]) -> dict[str, Any]:
    name = _text_of(one.name) if by == "time" else one.name
    label = name or _NOBODY.get(by, "")
    return {
        "name": name or None,
        "label": f"{names[name]} {name}" if name in names else label,
        "requests": one.requests,
        "answered": one.answered,
        "refused": one.refused,
        "failed": one.failed,
        "aborted": one.aborted,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "metered": one.metered,
        "unmetered": one.unmetered,
        "unpriced": one.unpriced,
        "cost_usd": f"{one.usd:f}" if one.metered > one.unpriced or one.cost else None,
        "cost": _cost(one),
        "p50_ms": one.latency(0.5),
        "p95_ms": one.latency(0.95),
    }


def _cost(one: Sums) -> str:
    """For people: ``$0.001342``, with ``≥`` where some of it is not known; empty where none is."""
    if one.metered <= one.unpriced and not one.cost:
        return "unknown" if one.unmetered or one.unpriced else ""
    at_least = "≥ " if one.unmetered or one.unpriced else ""
    if 0 < one.usd < _SMALL:
        return f"{at_least}< ${_SMALL}"
    return f"{at_least}${one.usd.quantize(_CENT if one.usd >= 1 else _SMALL):,}"


def _denied(reason: str, count: int) -> dict[str, Any]:
    return {"name": reason, "label": reason, "requests": count, "refused": count}


def _summary(total: Sums) -> str:
    told = f"{total.requests:,} requests, {total.input_tokens:,} tokens in, {total.output_tokens:,} out"
    cost = _cost(total)
    return f"{told}, {cost}" if cost and cost != "unknown" else told


async def _notes(call: Call, now: int) -> list[str]:
    """What an operator should know before believing the numbers."""
    sources = await book.sources(await call.services.store())
    if not sources:
        return ["no log was read yet: `modeldeck run` reads the local gateway's, `modeldeck collector` a cluster's"]
    notes = []
    newest = max(place.read_at.timestamp() for place in sources.values() if place.read_at is not None)
    if now - newest > _STALE_SECONDS:
        notes.append(f"nothing was counted since {_text_of(int(newest))}")
    unreadable, gaps = sum(one.unreadable for one in sources.values()), sum(one.gaps for one in sources.values())
    if unreadable:
        notes.append(f"{unreadable} lines of the log were no requests and are not counted")
    if gaps:
        notes.append(f"{gaps} times a log was put aside before it was read to its end: some requests are not counted")
    return notes


def _text_of(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    names = [name for name in (rows[0] if rows else {"name": "", "label": ""}) if name != "cost"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return text.getvalue().rstrip("\n")


def _cell(value: Any) -> str:
    """A cell that a spreadsheet would take for a formula gets a quote."""
    text = "" if value is None else " ".join(str(value).split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
