"""Which counter says no: every limit that counts for a key or a model, who counts it, and what is used of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from console.call import Call
from console.config import Profile
from console.keys.effective import effective_models
from console.keys.journaling import own_key
from console.keys.types import Key
from console.limits.counters import Asked, Counters, Standing
from console.limits.descriptors import (
    DOMAIN,
    REQUESTS,
    SHORT_HEADERS,
    SHORT_UNITS,
    Entries,
    Limit,
    bucket_of,
    constant_entries,
    counter_key,
    described,
    value_entries,
)
from console.outcome import Ending, Outcome, Refusal
from console.publishing import book
from console.publishing.limits import traffic
from console.publishing.manifests import manifests
from console.publishing.types import Publication
from console.usage import budgets

_MOST_ROWS = 500


class Counter(StrEnum):
    """Who counts."""

    LIMITER = "limiter"
    ENVOY = "envoy"
    REPLICAS = "each gateway"
    SERVICE = "envoy gateway"
    AUTHORIZER = "authorizer"

    @property
    def why_unknown(self) -> str:
        """Why nobody can read its count; empty where anybody can."""
        told = "it tells what is left with each answer only (x-ratelimit-remaining)"
        return {
            Counter.ENVOY: f"what is used of the limits that Envoy itself counts is not known: {told}",
            Counter.REPLICAS: f"each replica of the gateway counts for itself, and what is used is not known: {told}",
            Counter.SERVICE: f"Envoy Gateway's rate-limit service counts, and what is used is not known here: {told}",
        }.get(self, "")


@dataclass(frozen=True, slots=True)
class Counted:
    """A limit of a publication, as it counts for a key.

    part     the part of the publication's route that it counts for; empty where it has but one
    whose    ``key demo``, ``tenant acme``, ``everybody``; ``each key`` where no key was named
    entries  of its descriptor; None where it is not known whose counter is meant
    """

    publication: Publication
    part: str
    limit: Limit
    what: str
    whose: str
    counter: Counter
    entries: Entries | None

    @property
    def sentence(self) -> str:
        """``30 tokens per day``."""
        return f"{self.limit.requests:,} {self.what}"

    @property
    def asked(self) -> Asked | None:
        """The counter, to be read; None where that cannot be."""
        if self.entries is None or self.counter is not Counter.LIMITER:
            return None
        key = counter_key(DOMAIN, self.entries, self.limit.unit)
        return Asked(key, self.limit.requests, self.limit.seconds, hits=0)


async def show(call: Call) -> Outcome:
    """Every limit that counts for a key, for a model or for both, and which of them would refuse a request now."""
    if not call["key"] and not call["model"]:
        raise Refusal("whose limits?", code="BAD_REQUEST", status=400, then="name --key, --model or both")
    key = await own_key(call) if call["key"] else None
    published = await _publications(call, key)
    counted = [one for publication in published for one in limits_of(publication, call.services.profile, key)]
    more = len(counted) - _MOST_ROWS
    rows = await _rows(call, counted[:_MOST_ROWS])
    rows += await _budgets(call, key) if key is not None else []
    notes = [one.why_unknown for one in Counter if one.why_unknown and any(row["counted_by"] == one for row in rows)]
    if any(one.entries is None and one.counter is Counter.LIMITER for one in counted):
        notes.append("what each key has used is told with --key")
    if more > 0:
        notes.append(f"{more} more limits are not shown: name a model")
    callable_ = await effective_models(call, key) if key is not None and call["model"] else None
    if callable_ is not None and call["model"] not in {one["model"] for one in callable_}:
        notes.append(f"the key cannot call {call['model']}: modeldeck access explain says why")
    return Outcome(Ending.DONE, _summary(rows), data={"rows": rows, "notes": notes})


async def _publications(call: Call, key: Key | None) -> list[Publication]:
    store = await call.services.store()
    if call["model"]:
        publication, _, _ = await book.read(store, call["model"])
        if key is None:
            call.permit.covers(publication.tenant)
        return [publication]
    assert key is not None
    names = {one["model"] for one in await effective_models(call, key) or ()}
    return [publication for publication, _, _ in await book.listing(store) if publication.name in names]


def limits_of(publication: Publication, profile: Profile, key: Key | None) -> Iterator[Counted]:
    """The limits that a publication's own policy holds, in its order.

    Args:
        key: the one that calls; None for any
    """
    prefix = profile.access.header_prefix
    policy = traffic(publication, profile.gateway, prefix).get("rateLimit")
    if policy is None:
        return
    route = manifests(publication, profile.gateway, header_prefix=prefix)[-1]
    place, parts = f"{route['metadata']['namespace']}/{route['metadata']['name']}", route["spec"]["rules"]
    of_key = {"key-id": (key.id, f"key {key.name}"), "tenant": (key.tenant, f"tenant {key.tenant}")} if key else {}
    known = {"model": (publication.name, "everybody"), **of_key}
    for rule in (one for rules in policy.values() for one in rules["rules"]):
        limit = Limit(rule["limit"]["requests"], rule["limit"]["unit"].lower())
        metadata = rule.get("cost", {}).get("response", {}).get("metadata", {})
        headers = [one["name"].lower() for selector in rule["clientSelectors"] for one in selector["headers"]]
        subjects = [one.removeprefix(f"{prefix.lower()}-") for one in headers]
        values = [known[one] for one in subjects if one in known]
        counter = _counter(profile, limit.unit, headers[0])
        whose = " and ".join(one[1] for one in values) or f"each {subjects[0].removesuffix('-id')}"
        for index, part in enumerate(parts):
            entries = constant_entries(limit, bucket_of(place, index), counts=metadata.get("key", REQUESTS), by=headers)
            what, _ = described(entries, limit)
            told = value_entries([one[0] for one in values]) if len(values) == len(subjects) else None
            name = part["name"] if len(parts) > 1 else ""
            yield Counted(publication, name, limit, what, whose, counter, None if told is None else (*entries, *told))


def _counter(profile: Profile, unit: str, header: str) -> Counter:
    """Who counts such a limit of a publication. The embedded stack's limiter counts in the profile's own Redis."""
    if profile.stack is not None:
        short = unit in SHORT_UNITS and header in SHORT_HEADERS
        return Counter.LIMITER if profile.gateway.global_limiter and not short else Counter.ENVOY
    return Counter.SERVICE if profile.gateway.global_limiter else Counter.REPLICAS


async def _rows(call: Call, counted: Sequence[Counted]) -> list[dict[str, Any]]:
    readable = [(one, asked) for one in counted if (asked := one.asked) is not None]
    standings: dict[int, Standing] = {}
    if readable:
        found = await Counters(await call.services.redis()).take([asked for _, asked in readable])
        standings = {id(one): standing for (one, _), standing in zip(readable, found, strict=True)}
    return [_row(one, standings.get(id(one))) for one in counted]


def _row(one: Counted, standing: Standing | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": one.publication.name,
        "part": one.part,
        "shown": f"{one.publication.name} {one.part}".strip(),
        "whose": one.whose,
        "limit": one.limit.requests,
        "counts": one.what,
        "sentence": one.sentence,
        "counted_by": one.counter.value,
    }
    if standing is None:
        return (
            row
            | dict.fromkeys(("used", "left", "percent", "window_ends_at", "resets_in", "refuses"))
            | {"says": "not known"}
        )
    left = max(0, one.limit.requests - standing.used)
    return row | {
        "used": standing.used,
        "left": left,
        "percent": standing.used * 100 // max(1, one.limit.requests),
        "window_ends_at": _moment(standing.resets_in),
        "resets_in": round(standing.resets_in),
        "refuses": standing.over,
        "says": "429" if standing.over else "",
    }


async def _budgets(call: Call, key: Key) -> list[dict[str, Any]]:
    """The budgets of the key and of its tenant, which the authorizer asks before any limit counts."""
    mine = (f"key:{key.id}", f"tenant:{key.tenant}")
    kept = [one for one in await budgets.listing(await call.services.store()) if one.budget.field in mine]
    return [
        {
            "model": None,
            "part": "",
            "shown": "(all models)",
            "whose": f"key {key.name}" if one["scope"] == "key" else f"tenant {key.tenant}",
            "limit": None,
            "counts": "budget",
            "sentence": one["budget"],
            "counted_by": Counter.AUTHORIZER.value,
            "used": None,
            "left": None,
            "percent": one["percent"],
            "window_ends_at": one["renews_at"],
            "resets_in": None,
            "refuses": one["state"] == "spent",
            "says": {"spent": "402", "one at a time": "402 beside another"}.get(one["state"], ""),
        }
        for one in await budgets.states(call.services, kept)
    ]


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    refusing = [row for row in rows if row["refuses"]]
    if refusing:
        # Of several limits the gateway names the one that lasts longest; what the authorizer refuses comes first.
        first = max(refusing, key=lambda row: (row["says"] == "402", row["resets_in"] or 0))
        until = f" until {first['window_ends_at']}" if first["window_ends_at"] else ""
        return f"a request now gets {first['says']}: {first['sentence']} for {first['whose']}, used up{until}"
    if not rows:
        return "no limit counts here"
    unknown = sum(row["refuses"] is None for row in rows)
    count = f"{len(rows)} limit{'s' if len(rows) != 1 else ''}"
    if unknown == len(rows):
        return f"{count}; what is used of them is not known"
    return f"{count}; none of them refuses now" + (f", as far as is known: {unknown} cannot be read" if unknown else "")


def _moment(seconds: float) -> str:
    """When a window ends: a whole second, for that is when windows end."""
    return (datetime.now(UTC) + timedelta(seconds=seconds + 0.5)).replace(microsecond=0).isoformat()
