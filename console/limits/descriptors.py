"""What a gateway and the rate-limit service say to each other about one limit (Envoy's RateLimitDescriptor).

The service has no configuration: a descriptor carries its limit as its first entry. Envoy can put a limit beside the
entries as well (``RateLimitDescriptor.limit``), but takes it from dynamic metadata alone, which no filter of 1.40
writes for one route; such a limit is honoured too, where another Envoy sends one.

    limit    100/hour, or 100/hour/charge: what was spent already and is counted whatever is left
    bucket   whose counter it is: the route, or the policy where its targets share one
    counts   what is counted: requests, or the metadata key of the tokens
    by       the headers of which every value has a counter of its own; absent where all share one
    which    tells apart rules of one policy that the entries above do not
    …        those values

All but the limit make the counter's name, so that a limit may change while its counter goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

UNIT_SECONDS: Final[Mapping[str, int]] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
    "year": 31_536_000,
}
"""Windows begin at whole multiples of these since 1970, in UTC: a day at midnight."""
SHORT_UNITS: Final = ("second", "minute")
SHORT_HEADERS: Final = ("x-modeldeck-model", "x-modeldeck-tenant", "x-modeldeck-key-id")
"""What the local gateway counts in Envoy itself: by one of these headers or for everybody, in one of these units."""
KEY_PREFIX: Final = "modeldeck:limits:"
DOMAIN: Final = "modeldeck"
"""Of what the local gateway asks."""
REQUESTS: Final = "requests"
_CHARGE = "charge"
_COUNTED = {
    REQUESTS: REQUESTS,
    "llm_total_token": "tokens",
    "llm_input_token": "input tokens",
    "llm_output_token": "output tokens",
}
_WHOSE = {"key-id": "this key", "tenant": "this tenant", "model": "this model"}

Entries = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """``requests`` (or tokens) a ``unit``; ``charge``: counted even where nothing is left."""

    requests: int
    unit: str
    charge: bool = False

    @property
    def seconds(self) -> int:
        return UNIT_SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{self.requests}/{self.unit}" + (f"/{_CHARGE}" if self.charge else "")


def read_limit(text: str) -> Limit | None:
    """The limit that an entry spells; None where it spells none."""
    requests, _, rest = text.partition("/")
    unit, _, mode = rest.partition("/")
    if not requests.isascii() or not requests.isdecimal() or unit not in UNIT_SECONDS or mode not in ("", _CHARGE):
        return None
    return Limit(int(requests), unit, bool(mode))


def limit_of(entries: Entries) -> Limit | None:
    """Only the first entry can be a limit: the later ones may hold what a client has sent."""
    return read_limit(entries[0][1]) if entries and entries[0][0] == "limit" else None


def constant_entries(
    limit: Limit, bucket: str, *, counts: str = REQUESTS, by: Iterable[str] = (), which: str = ""
) -> Entries:
    """The entries of a descriptor that are the same for every client."""
    headers = ",".join(by)
    entries = [("limit", str(limit)), ("bucket", bucket), ("counts", f"{counts}/{limit.unit}")]
    entries += [("by", headers)] if headers else []
    entries += [("which", which)] if which else []
    return tuple(entries)


def bucket_of(route: str, rule: int) -> str:
    """Whose counters those of a rule are, by the route's ``namespace/name`` and the rule's place in it."""
    return f"{route}/{rule}"


def value_name(index: int) -> str:
    """The entry with the value of one of the headers in ``by``."""
    return f"value{index}"


def value_entries(values: Iterable[str]) -> Entries:
    """The entries of a descriptor that come of a client's headers, in the order of ``by``."""
    return tuple((value_name(index), value) for index, value in enumerate(values))


def counter_key(domain: str, entries: Entries, unit: str) -> str:
    """The counter's name in Redis. What clients have sent is in it as a digest."""
    named = [f"{len(name)}:{name}{len(value)}:{value}" for name, value in entries if name != "limit"]
    digest = hashlib.sha256(f"{domain}|{'|'.join(named)}".encode()).hexdigest()
    return f"{KEY_PREFIX}{digest[:32]}:{unit}"


def described(entries: Entries, limit: Limit) -> tuple[str, str]:
    """A limit in words: what it counts (``tokens per hour``), and for whom (``this key``).

    Both are printable ASCII without quotes, whatever the entries hold: they are part of a header.
    """
    told = dict(entries)
    counted = told.get("counts", REQUESTS).partition("/")[0]
    what = f"{_COUNTED.get(counted, 'units')} per {limit.unit}"
    whose = []
    for header in filter(None, told.get("by", "").split(",")):
        known = next((text for suffix, text in _WHOSE.items() if header.endswith(f"-{suffix}")), None)
        whose.append(known or f"this {''.join(sign for sign in header if sign.isalnum() or sign in '-_')}")
    return what, " and ".join(whose) or "everybody"
