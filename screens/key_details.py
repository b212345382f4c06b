"""What there is to know about a key: beside the list of keys. What a rotation is watched for comes first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from console.keys.types import TENANT_SUSPENDED
from console.terminal.text import safe
from screens.details import Fact, Line, Title, local_time
from widgets.meter_text import age, compact
from widgets.spark import spark
from widgets.theme import State, sign

_AT_ONCE = 2
"""Generations that stand above the rest: as many as can work at a time, or the newest and the one that it replaced."""
_NEWEST = 4
"""Events that stand above the rest; on a small screen those are what is seen."""
_NAMED = 40
"""Published models that are named; of more it is said how many."""


_NOT_WORKING = {
    "lost": (State.DRIFT, "not in Redis"),
    "suspended": (State.OFF, "suspended"),
    TENANT_SUSPENDED: (State.OFF, TENANT_SUSPENDED),
    "expired": (State.REFUSED, "expired"),
}
"""What of the key as a whole keeps its newest text from working."""


def facts_of(key: Mapping[str, Any]) -> Iterable[Fact]:
    """The key as ``keys.show`` answers it."""
    yield Title(f"{key['name']}  {key['id']}")
    generations = list(reversed(key["generations"]))
    for one in generations[:_AT_ONCE]:
        yield Line(*_generation(one, key["state"]))
    if key["state"] == "lost":
        yield Fact("next", "the gateway refuses it: R writes its entry again", "warn")
    if key["state"] == TENANT_SUSPENDED:
        yield Fact("next", f"the gateway refuses it: tenants resume {key['tenant']} lets it through again", "warn")
    events = list(reversed(key.get("timeline", ())))
    for event in events[:_NEWEST]:
        yield Line(*_event(event))
    yield _usage(key)
    yield from _models(key)
    if key["allowed_tenants"]:
        yield Fact("tenants", f"{', '.join(key['allowed_tenants'])}; published models of no other but {key['tenant']}")
    if key["labels"]:
        yield Fact("labels", ", ".join(f"{name}={value}" for name, value in sorted(key["labels"].items())))
    if key["networks"]:
        yield Fact("networks", ", ".join(key["networks"]))
    paint = "warn" if key["expires_soon"] else ""
    yield Fact("expires", local_time(key["expires_at"]) if key["expires_at"] else "never", paint)
    yield Fact("owner", key["owner"])
    if key["imported_from"]:
        yield Fact("taken over", f"from {key['imported_from']}, where it stood in clear")
    if generations[_AT_ONCE:] or events[_NEWEST:]:
        yield Line("")
    for one in generations[_AT_ONCE:]:
        yield Line(*_generation(one, key["state"]))
    for event in events[_NEWEST:]:
        yield Line(*_event(event))


def used(row: Mapping[str, Any]) -> str:
    """How long ago it was used; … where that is not known."""
    if row["last_used"] is None:
        return sign("more") if row["uses"] is None else "never"
    return age((datetime.now(UTC) - datetime.fromisoformat(row["last_used"])).total_seconds())


def _usage(key: Mapping[str, Any]) -> Fact:
    hours: Sequence[int] | None = key["hours"]
    if hours is None:
        return Fact("used", "not known: Redis cannot be asked", "warn")
    ago = used(key)
    last = ago if ago in ("never", "now", sign("more")) else f"{ago} ago"
    return Fact(
        "used", f"{spark(hours, len(hours))} 24 h: {compact(sum(hours))}; in all {compact(key['uses'])}, {last}"
    )


def _models(key: Mapping[str, Any]) -> Iterable[Fact]:
    effective = key["effective"]
    if effective is None:
        yield Fact("models", "what the gateway has is not known: its entries cannot be read", "warn")
        return
    own = [row for row in effective if row["source"] == "own"]
    published = [row["model"] for row in effective if row["source"] == "published"]
    for number, row in enumerate(own):
        leads = f"{row['model']} {sign('arrow')} {row['endpoint'] or 'unknown'}"
        if row["clash"] is not None:
            clash = f"{State.DRIFT.glyph} {leads}; the published one leads to {row['clash']}, and this one wins"
            yield Fact("own" if not number else "", clash, "warn")
        else:
            yield Fact("own" if not number else "", leads)
    if key["kind"] == "client":
        more = f" and {len(published) - _NAMED} more" if len(published) > _NAMED else ""
        yield Fact("published", ", ".join(published[:_NAMED]) + more if published else "nothing is published")
    elif not own:
        yield Fact("models", "none of its own")


def _event(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """One line of what happened: ``02:41:07  rotate  in effect at 2 of 2 gateway workers …  ada``."""
    at = datetime.fromisoformat(event["at"]).astimezone()
    day = "%H:%M:%S" if at.date() == datetime.now(UTC).astimezone().date() else "%Y-%m-%d %H:%M"
    return [
        (f"{at:{day}}  ", "muted"),
        (f"{event['what']:<9} ", "strong"),
        (safe(event["detail"]), ""),
        (f"  {safe(event['by'])}" if event["by"] else "", "muted"),
    ]


def _generation(generation: Mapping[str, Any], key_state: str) -> list[tuple[str, str]]:
    """One text that it has had: ``gen 2  9f3c…e1  issued 02:41:07  ● works``."""
    now = datetime.now(UTC)
    issued = datetime.fromisoformat(generation["issued_at"]).astimezone()
    day = "%H:%M:%S" if issued.date() == now.astimezone().date() else "%Y-%m-%d %H:%M"
    if generation["revoked_at"]:
        state, words = State.REFUSED, "ended"
    elif generation["not_after"]:
        end = datetime.fromisoformat(generation["not_after"])
        state, words = (State.PENDING, f"until {end.astimezone():%H:%M:%S}") if end > now else (State.OFF, "expired")
    else:
        state, words = _NOT_WORKING.get(key_state, (State.READY, "works"))
    uses = generation["uses"]
    return [
        (f"gen {generation['generation']:<3}", "strong"),
        (f"{generation['digest']} {sign('more')}{generation['last_four']}  ", "muted"),
        (f"{issued:{day}}  ", ""),
        (f"{state.glyph} {words:<16}", state.paint),
        (f"  {uses} {'use' if uses == 1 else 'uses'}, {used(generation)}" if uses else "", "muted"),
    ]
