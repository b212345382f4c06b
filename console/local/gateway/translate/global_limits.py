"""Global rate limits (Envoy Gateway v1alpha1, "GlobalRateLimit"): counted by a service, for any number of gateways.

The limit is part of what Envoy asks the service (console/limits/descriptors.py), and the counter's name is made of the
route and of what is counted; so a policy may be edited, and routes come and go, while every counter goes on. For that,
a policy's local limits are counted there as well, but for those that have a slot in Envoy (short_limits.py): Envoy's
other counters begin anew with each number of requests that it has not had before.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from console.limits.descriptors import DOMAIN, REQUESTS, UNIT_SECONDS, Limit, constant_entries
from console.local.gateway.translate.limits import Limit as LocalLimit
from console.local.gateway.translate.limits import read_selectors, selecting_actions
from console.local.gateway.translate.metering import METADATA
from console.local.gateway.translate.reading import Node, Unfit, Unsupported
from console.local.gateway.translate.settings import LIMITER_CLUSTER, GlobalLimiter

NO_GLOBAL_LIMITER = "no global rate limiter is configured for the local gateway"
_TYPE = "type.googleapis.com/envoy."
FILTER_NAME = "ratelimit"
_OTHER_STAGE = 1  # a route's own rate_limits, at stage 0, are for the local limits
_TIMEOUT = "1s"
_MOST_RULES = 256
_UNITS = tuple(unit.capitalize() for unit in UNIT_SECONDS)
_UNITS_BY_SECONDS = {seconds: unit for unit, seconds in UNIT_SECONDS.items()}
_METADATA_NAME = re.compile(r"[A-Za-z0-9._/-]{1,128}")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request takes: so many, or what is noted under a metadata key by then."""

    number: int = 1
    namespace: str = ""
    key: str = ""

    def hits(self) -> dict[str, Any]:
        """envoy.config.route.v3.RateLimit.HitsAddend."""
        if self.key:
            return {"format": f"%DYNAMIC_METADATA({self.namespace}:{self.key})%"}
        return {"number": self.number}


@dataclass(frozen=True, slots=True)
class GlobalLimit:
    """One rule of a policy.

    shared    the policy whose targets share one counter; empty where each route counts for itself
    which     tells it from rules of its policy that count the same for the same
    response  what is charged when the answer has ended; None for nothing
    """

    limit: Limit
    shared: str
    which: str
    distinct: tuple[str, ...]
    conditions: tuple[dict[str, Any], ...]
    request: Cost
    response: Cost | None

    @property
    def meters(self) -> bool:
        """Whether it charges for tokens that the meter of this gateway has to count."""
        return self.response is not None and self.response.namespace == METADATA

    def rate_limits(self, bucket: str) -> list[dict[str, Any]]:
        """envoy.config.route.v3.RateLimits: what is asked before a request, and what is told after its answer."""
        asked = self._rate_limit(self.limit, bucket, self.request)
        if self.response is None:
            return [asked]
        charge = Limit(self.limit.requests, self.limit.unit, charge=True)
        return [asked, self._rate_limit(charge, bucket, self.response) | {"apply_on_stream_done": True}]

    def _rate_limit(self, limit: Limit, bucket: str, cost: Cost) -> dict[str, Any]:
        counts = self.response.key or "units" if self.response else REQUESTS
        entries = constant_entries(limit, self.shared or bucket, counts=counts, by=self.distinct, which=self.which)
        actions = [{"generic_key": {"descriptor_key": name, "descriptor_value": value}} for name, value in entries]
        actions += selecting_actions(self.distinct, self.conditions)
        return {"actions": actions, "hits_addend": cost.hits()}


def read_global_limits(node: Node, policy: str, *, limiter: bool) -> tuple[GlobalLimit, ...]:
    """``spec.rateLimit.global`` of a BackendTrafficPolicy.

    Args:
        policy: its namespace and name
        limiter: whether there is a service to count them

    Raises:
        Unfit: it cannot be honoured.
    """
    if not node.has("global"):
        if node.raw("type") == "Global":
            raise Unfit(f"{node.at('global')} is missing")
        return ()
    if not limiter:
        raise Unsupported(f"{node.at('global')}: {NO_GLOBAL_LIMITER}; use rateLimit.local")
    rules = node.node("global")
    rules.only("rules")
    nodes = rules.nodes("rules")
    if not nodes:
        raise Unfit(f"{rules.at('rules')} is empty")
    if len(nodes) > _MOST_RULES:
        raise Unfit(f"{rules.at('rules')} has {len(nodes)} rules, and {_MOST_RULES} are possible")
    return _apart(_read_rule(rule, policy) for rule in nodes)


def counted_by_service(limits: Iterable[LocalLimit]) -> tuple[GlobalLimit, ...]:
    """Local limits as the service counts them: beside the global ones of the same policy, never together with them."""
    return _apart(
        GlobalLimit(
            Limit(one.requests, _UNITS_BY_SECONDS[one.seconds]),
            "",
            # What is left over stays the same counter, whatever the other rules of the policy become.
            f"local{':otherwise' if one.otherwise else _digest(one.conditions)}",
            one.distinct,
            one.conditions,
            Cost(),
            None,
        )
        for one in limits
    )


def _apart(rules: Iterable[GlobalLimit]) -> tuple[GlobalLimit, ...]:
    """Two rules that count the same for the same have a counter each, as they have in Envoy Gateway."""
    limits: list[GlobalLimit] = []
    seen: dict[Any, int] = {}
    for one in rules:
        same = (one.limit.unit, one.shared, one.which, one.distinct, one.response and one.response.key)
        seen[same] = seen.get(same, 0) + 1
        limits.append(one if seen[same] == 1 else replace(one, which=f"{one.which}#{seen[same]}"))
    return tuple(limits)


def _digest(conditions: tuple[dict[str, Any], ...]) -> str:
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:8] if conditions else ""


def _read_rule(rule: Node, policy: str) -> GlobalLimit:
    rule.only("clientSelectors", "limit", "cost", "shared", "shadowMode", "xRateLimitHeaders")
    if rule.flag("shadowMode", False):
        raise Unsupported(f"{rule.at('shadowMode')} is not supported by the local gateway")
    rule.choice("xRateLimitHeaders", ("DraftVersion03",), "DraftVersion03")
    node = rule.node("limit")
    node.only("requests", "unit")
    limit = Limit(node.number("requests"), node.choice("unit", _UNITS).lower())
    distinct, conditions = read_selectors(rule)
    if any(not _METADATA_NAME.fullmatch(name) for name in distinct):
        raise Unsupported(f"{rule.at('clientSelectors')}: a header of that name is not supported by the local gateway")
    cost = rule.node("cost")
    cost.only("request", "response")
    return GlobalLimit(
        limit,
        f"policy {policy}" if rule.flag("shared", False) else "",
        _digest(conditions),
        distinct,
        conditions,
        _read_cost(cost.node("request")) if cost.has("request") else Cost(),
        _read_cost(cost.node("response")) if cost.has("response") else None,
    )


def _read_cost(node: Node) -> Cost:
    node.only("from", "number", "metadata")
    if node.choice("from", ("Number", "Metadata")) == "Number":
        if node.has("metadata"):
            raise Unfit(f"{node.at('metadata')} means nothing with from Number")
        return Cost(node.number("number", 1, most=1_000_000_000))
    metadata = node.node("metadata")
    metadata.only("namespace", "key")
    for name in ("namespace", "key"):
        if not _METADATA_NAME.fullmatch(metadata.text(name)):
            raise Unsupported(f"{metadata.at(name)} {metadata.text(name)!r} is not supported by the local gateway")
    return Cost(0, metadata.text("namespace"), metadata.text("key"))


def global_limits_filter(limiter: GlobalLimiter) -> dict[str, Any]:
    """envoy.extensions.filters.http.ratelimit.v3.RateLimit. Routes without global limits ask nobody."""
    return {
        "name": FILTER_NAME,
        "typed_config": {
            "@type": _TYPE + "extensions.filters.http.ratelimit.v3.RateLimit",
            "domain": DOMAIN,
            "stage": _OTHER_STAGE,
            "timeout": _TIMEOUT,
            "failure_mode_deny": limiter.fail_closed,
            "status_on_error": {"code": 503},
            "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
            "disable_x_envoy_ratelimited_header": True,
            "rate_limit_service": {
                "transport_api_version": "V3",
                "grpc_service": {"envoy_grpc": {"cluster_name": LIMITER_CLUSTER}},
            },
        },
    }


def global_limits_settings(limits: Iterable[GlobalLimit], bucket: str) -> dict[str, Any]:
    """envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute. Here alone Envoy honours ``hits_addend``."""
    return {
        "@type": _TYPE + "extensions.filters.http.ratelimit.v3.RateLimitPerRoute",
        "rate_limits": [one for limit in limits for one in limit.rate_limits(bucket)],
    }


def limiter_cluster(limiter: GlobalLimiter) -> dict[str, Any]:
    """envoy.config.cluster.v3.Cluster of the services."""
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
        for host, port in limiter.addresses
    ]
    options = {
        "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "@type": _TYPE + "config.cluster.v3.Cluster",
        "name": LIMITER_CLUSTER,
        "type": "STATIC",
        "connect_timeout": _TIMEOUT,
        "load_assignment": {"cluster_name": LIMITER_CLUSTER, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }
