"""Limits per second and per minute, counted in Envoy by a configuration that never changes.

Envoy's local_ratelimit filter forgets its counters when its configuration changes, so no number of requests may be in
it. It has *slots*: per second or minute, for each key, tenant or model, or for everybody. All buckets hold the same
large number of tokens, and a route says in its metadata how many of them a request costs there: a limit of 20 takes a
twentieth. So a limit may become any other while what was used of it stays used, and nothing that is published, edited
or unpublished touches anybody's bucket.

What is left is told to clients in requests again: by a script, on the routes that have such a limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from console.limits.descriptors import REQUESTS, SHORT_HEADERS, SHORT_UNITS, UNIT_SECONDS, constant_entries, described
from console.limits.descriptors import Limit as CountedLimit
from console.local.gateway.translate.extraction import lua_filter, part
from console.local.gateway.translate.global_limits import Cost, GlobalLimit
from console.local.gateway.translate.limits import Limit

SHORT_LIMITS_FILTER = "short_limits"
TELLING_FILTER = "short_limits_told"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http."
_NAMESPACE = "modeldeck.short_limits"
_CAPACITY = 1_000_000_000
"""The most that a request may cost in Envoy. Numbers to 31,000 are exact, a million is held to a thousandth."""
_SLACK = 1_000
"""Less than a request costs, and more than what Envoy's floating numbers may lack when the last one asks."""
_WHICH = "x-modeldeck-limit"
_MOST_BUCKETS = 100_000


@dataclass(frozen=True, slots=True)
class Slot:
    """``header`` is empty where everybody shares a bucket. By its capacity the script knows it."""

    unit: str
    header: str
    capacity: int

    @property
    def name(self) -> str:
        return f"{self.unit}-{self.header or 'everybody'}"

    def descriptor(self) -> dict[str, Any]:
        """envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor; an entry without a value is a wildcard."""
        entries = [{"key": self.name}, *([{"key": "value"}] if self.header else [])]
        bucket = {
            "max_tokens": self.capacity,
            "tokens_per_fill": self.capacity,
            "fill_interval": f"{UNIT_SECONDS[self.unit]}s",
        }
        return {"entries": entries, "token_bucket": bucket}

    def rate_limit(self) -> dict[str, Any]:
        """envoy.config.route.v3.RateLimit: it counts on routes whose metadata has the slot."""
        bucket = {"key": _NAMESPACE, "path": [{"key": self.name}, {"key": "bucket"}]}
        actions: list[dict[str, Any]] = [
            {"metadata": {"descriptor_key": self.name, "metadata_key": bucket, "source": "ROUTE_ENTRY"}}
        ]
        if self.header:
            actions.append({"request_headers": {"header_name": self.header, "descriptor_key": "value"}})
        return {"actions": actions, "hits_addend": {"format": f"%METADATA(ROUTE:{_NAMESPACE}:{self.name}:cost)%"}}


# Envoy tells clients of the bucket that fills the slowest: a key's own minute.
_SLOTS = {
    (unit, header): Slot(unit, header, _CAPACITY - number)
    for number, (unit, header) in enumerate((unit, header) for unit in SHORT_UNITS for header in ("", *SHORT_HEADERS))
}


@dataclass(frozen=True, slots=True)
class ShortLimit:
    """So many requests in a slot."""

    slot: Slot
    requests: int

    @property
    def cost(self) -> int:
        return max(1, (self.slot.capacity - _SLACK) // self.requests)

    def told(self) -> str:
        """What the script is told: ``cost|seconds for each request|x-ratelimit-limit|x-modeldeck-limit``.

        The headers are as the rate-limit service has them.
        """
        limit = CountedLimit(self.requests, self.slot.unit)
        by = (self.slot.header,) if self.slot.header else ()
        what, whose = described(constant_entries(limit, "", counts=REQUESTS, by=by), limit)
        shown = f'{self.requests}, {self.requests};w={limit.seconds};name="{what} for {whose}"'
        return f"{self.cost}|{limit.seconds / self.requests:.9f}|{shown}|{self.requests} {what} for {whose}"


def in_envoy(
    local: Iterable[Limit], by_service: Iterable[GlobalLimit], *, alone: bool
) -> tuple[tuple[ShortLimit, ...], tuple[Limit, ...], tuple[GlobalLimit, ...]]:
    """Which limits of a policy have a slot, and which local and global ones are left.

    Args:
        alone: whether this Envoy is the only one of its gateway, so that it may count what all of them share
    """
    slots: dict[Slot, ShortLimit] = {}
    rest: tuple[list[Limit], list[GlobalLimit]] = ([], [])
    for one in local:
        unit = next((unit for unit in SHORT_UNITS if UNIT_SECONDS[unit] == one.seconds), "")
        if one.conditions or not _take(slots, unit, one.distinct, one.requests):
            rest[0].append(one)
    for other in by_service:
        plain = (other.shared, other.which, other.request, other.response) == ("", "", Cost(), None)
        limit = other.limit
        if not (alone and plain and limit.requests and _take(slots, limit.unit, other.distinct, limit.requests)):
            rest[1].append(other)
    return tuple(slots.values()), tuple(rest[0]), tuple(rest[1])


def _take(slots: dict[Slot, ShortLimit], unit: str, headers: tuple[str, ...], requests: int) -> bool:
    slot = _SLOTS.get((unit, headers[0] if headers else "")) if len(headers) <= 1 else None
    if slot is None or slot in slots:
        return False
    slots[slot] = ShortLimit(slot, requests)
    return True


def short_limits_filter() -> dict[str, Any]:
    """envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, the same whatever is published."""
    everything = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = {
        "@type": _TYPE + "local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": SHORT_LIMITS_FILTER,
        "filter_enabled": everything,
        "filter_enforced": everything,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        # Of a 429 of its own only; the script puts words there.
        "response_headers_to_add": [{"header": {"key": _WHICH, "value": "reached"}}],
        "max_dynamic_descriptors": _MOST_BUCKETS,
        "descriptors": [slot.descriptor() for slot in _SLOTS.values()],
        "rate_limits": [slot.rate_limit() for slot in _SLOTS.values()],
    }
    return {"name": SHORT_LIMITS_FILTER, "typed_config": config}


def telling_filter() -> dict[str, Any]:
    """envoy.extensions.filters.http.lua.v3.Lua; without a script by default, it costs nothing."""
    return lua_filter(TELLING_FILTER, {"source_codes": {TELLING_FILTER: {"inline_string": part("short_limits")}}})


def telling_settings(limits: Iterable[ShortLimit]) -> dict[str, Any]:
    """envoy.extensions.filters.http.lua.v3.LuaPerRoute."""
    context = {str(one.slot.capacity): one.told() for one in limits}
    return {"@type": _TYPE + "lua.v3.LuaPerRoute", "name": TELLING_FILTER, "filter_context": context}


def short_limits_metadata(limits: Iterable[ShortLimit], bucket: str) -> dict[str, Any]:
    """The metadata of a route, by namespace."""
    return {_NAMESPACE: {one.slot.name: {"bucket": bucket, "cost": one.cost} for one in limits}}
