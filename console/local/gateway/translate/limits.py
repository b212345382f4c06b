"""Local rate limits that outlive every change of routes (Envoy Gateway v1alpha1, "LocalRateLimit").

What Envoy counts without knowing any number is in short_limits.py, and the rest is counted by a rate-limit service
(global_limits.py): the filter here is for a gateway that has none. Envoy forgets all its counters when the filter's own
configuration or its listener changes, so that configuration must not know routes, policies or keys. It holds *tiers*
only: so many requests per so much time, counted apart by a bucket's name and by header values, both of them wildcards.
A route names the tier and the bucket of its limit in its ``rate_limits``; publishing a model, or a policy whose tier is
there already, leaves every counter alone. A number of requests that is new does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from console.limits.descriptors import value_name
from console.local.gateway.translate.reading import Node, Unfit, Unsupported

_TYPE = "type.googleapis.com/envoy."
FILTER_NAME = "local_ratelimit"
RETRY_AFTER_NAME = "retry_after"
_UNIT_SECONDS = {
    "Second": 1,
    "Minute": 60,
    "Hour": 3600,
    "Day": 86_400,
    "Week": 604_800,
    "Month": 2_592_000,
    "Year": 31_536_000,
}
_MOST_BUCKETS = 100_000


@dataclass(frozen=True, slots=True, order=True)
class Tier:
    """So many requests per so many seconds, in buckets that also differ in ``values`` header values."""

    requests: int
    seconds: int
    values: int = 0
    conditions: int = 0

    @property
    def name(self) -> str:
        return f"{self.requests}/{self.seconds}s/{self.values}/{self.conditions}"

    def descriptor(self) -> dict[str, Any]:
        """envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor; an entry without a value is a wildcard."""
        entries = [{"key": "tier", "value": self.name}, {"key": "bucket"}]
        entries += [{"key": value_name(index)} for index in range(self.values)]
        entries += [{"key": f"condition{index}", "value": "holds"} for index in range(self.conditions)]
        bucket = {
            "max_tokens": self.requests,
            "tokens_per_fill": self.requests,
            "fill_interval": f"{self.seconds}s",
        }
        return {"entries": entries, "token_bucket": bucket}


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule of a policy.

    distinct    headers of which every value has a bucket of its own; a request without one is not limited by the rule
    conditions  envoy.config.route.v3.HeaderMatchers (with ``expect``) that all must hold for the rule to count
    otherwise   it counts what no other rule of the policy counts; its conditions say so
    """

    index: int
    requests: int
    seconds: int
    distinct: tuple[str, ...] = ()
    conditions: tuple[dict[str, Any], ...] = field(default=())
    otherwise: bool = False

    @property
    def tier(self) -> Tier:
        return Tier(self.requests, self.seconds, len(self.distinct), len(self.conditions))

    def rate_limit(self, bucket: str) -> dict[str, Any]:
        """envoy.config.route.v3.RateLimit, whose actions spell the tier's descriptor."""

        def constant(key: str, value: str) -> dict[str, Any]:
            return {"generic_key": {"descriptor_key": key, "descriptor_value": value}}

        actions = [constant("tier", self.tier.name), constant("bucket", f"{bucket}/{self.index}")]
        return {"actions": [*actions, *selecting_actions(self.distinct, self.conditions)]}


def selecting_actions(distinct: Iterable[str], conditions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """envoy.config.route.v3.RateLimit.Actions that name the values, and yield nothing where a condition fails."""
    actions: list[dict[str, Any]] = [
        {"request_headers": {"header_name": name, "descriptor_key": value_name(index)}}
        for index, name in enumerate(distinct)
    ]
    actions += [
        {
            "header_value_match": {
                "descriptor_key": f"condition{index}",
                "descriptor_value": "holds",
                "expect_match": one["expect"],
                "headers": [one["matcher"]],
            }
        }
        for index, one in enumerate(conditions)
    ]
    return actions


def read_limits(node: Node) -> tuple[Limit, ...]:
    """``spec.rateLimit.local`` of a BackendTrafficPolicy.

    Raises:
        Unfit: it cannot be honoured.
    """
    if not node.has("local"):
        return ()
    local = node.node("local")
    local.only("rules")
    rules = local.nodes("rules")
    if not rules:
        raise Unfit(f"{local.at('rules')} is empty")
    limits = [_read_rule(index, rule) for index, rule in enumerate(rules)]
    defaults = [one for one in limits if not one.distinct and not one.conditions]
    if len(defaults) > 1:
        raise Unfit(f"{local.at('rules')}: local rateLimit can not have more than one rule without clientSelectors")
    if defaults:
        # Envoy Gateway: the rule without selectors counts the requests that no other rule counts.
        others = [one for one in limits if one is not defaults[0]]
        negations = tuple(_negation(one, local) for one in others)
        default = replace(defaults[0], conditions=negations, otherwise=True)
        limits = [default if one is defaults[0] else one for one in limits]
    return tuple(limits)


def _read_rule(index: int, rule: Node) -> Limit:
    rule.only("clientSelectors", "limit", "xRateLimitHeaders", "shared", "shadowMode")
    for name in ("shared", "shadowMode"):
        if rule.flag(name, False):
            raise Unsupported(f"{rule.at(name)} is not supported by the local gateway")
    rule.choice("xRateLimitHeaders", ("DraftVersion03",), "DraftVersion03")
    limit = rule.node("limit")
    limit.only("requests", "unit")
    distinct, conditions = read_selectors(rule)
    return Limit(
        index,
        limit.number("requests", least=1),
        _UNIT_SECONDS[limit.choice("unit", tuple(_UNIT_SECONDS))],
        distinct,
        conditions,
    )


def read_selectors(rule: Node) -> tuple[tuple[str, ...], tuple[dict[str, Any], ...]]:
    """The ``clientSelectors`` of a rule: headers of which each value counts apart, and conditions on headers."""
    distinct: list[str] = []
    conditions: list[dict[str, Any]] = []
    for selector in rule.nodes("clientSelectors"):
        selector.only("headers")
        headers = selector.nodes("headers")
        if not headers:
            raise Unfit(f"{selector.at('headers')} is empty")
        for header in headers:
            header.only("name", "type", "value", "invert")
            name = header.header_name()
            if header.choice("type", ("Exact", "RegularExpression", "Distinct"), "Exact") == "Distinct":
                if header.flag("invert", False):
                    raise Unfit(f"{header.at('invert')} means nothing with type Distinct")
                distinct.append(name)
            else:
                conditions.append(_condition(name, header))
    return tuple(distinct), tuple(conditions)


def _condition(name: str, header: Node) -> dict[str, Any]:
    exact = header.text("type", "Exact") == "Exact"
    match = {"exact": header.text("value")} if exact else {"safe_regex": {"regex": header.regex("value")}}
    return {"expect": not header.flag("invert", False), "matcher": {"name": name, "string_match": match}}


def _negation(limit: Limit, local: Node) -> dict[str, Any]:
    """The condition under which a rule does not count; only rules with one condition have one."""
    if len(limit.conditions) == 1 and not limit.distinct:
        return limit.conditions[0] | {"expect": not limit.conditions[0]["expect"]}
    if len(limit.distinct) == 1 and not limit.conditions:
        return {"expect": False, "matcher": {"name": limit.distinct[0], "present_match": True}}
    raise Unsupported(
        f"{local.at('rules')}: a rule without clientSelectors beside one with several conditions "
        "is not supported by the local gateway"
    )


def limits_filter(tiers: Iterable[Tier]) -> dict[str, Any]:
    """envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, as a TypedExtensionConfig of its own."""
    everything = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = {
        "@type": _TYPE + "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": FILTER_NAME,
        "filter_enabled": everything,
        "filter_enforced": everything,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "max_dynamic_descriptors": _MOST_BUCKETS,
        "descriptors": [tier.descriptor() for tier in sorted(set(tiers))],
    }
    return {"@type": _TYPE + "config.core.v3.TypedExtensionConfig", "name": FILTER_NAME, "typed_config": config}


def retry_after_filter() -> dict[str, Any]:
    """Retry-After on a 429 from what the limit says: when the next request will be let through.

    A header_mutation filter that is skipped (envoy.extensions.common.matching.v3.ExtensionWithMatcher) unless the
    status is 429. It stands outside the limits filter, for responses pass the filters from the last to the first.
    """
    addition = {
        "header": {"key": "retry-after", "value": "%RESP(x-ratelimit-reset)%"},
        "append_action": "ADD_IF_ABSENT",
    }
    adding = {
        "@type": _TYPE + "extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"response_mutations": [{"append": addition}]},
    }
    status = {
        "input": {
            "name": "status",
            "typed_config": {"@type": _TYPE + "type.matcher.v3.HttpResponseStatusCodeMatchInput"},
        },
        "value_match": {"exact": "429"},
    }
    skip = {"@type": _TYPE + "extensions.filters.common.matcher.action.v3.SkipFilter"}
    unless_429 = {
        "predicate": {"not_matcher": {"single_predicate": status}},
        "on_match": {"action": {"name": "skip", "typed_config": skip}},
    }
    return {
        "name": RETRY_AFTER_NAME,
        "typed_config": {
            "@type": _TYPE + "extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {"name": "header_mutation", "typed_config": adding},
            "xds_matcher": {"matcher_list": {"matchers": [unless_429]}},
        },
    }
