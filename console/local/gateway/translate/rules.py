"""One rule of an HTTPRoute on one listener, as Envoy routes: what it matches, where it leads, and who guards it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from console.limits.descriptors import bucket_of
from console.local.gateway.snapshot import GATEWAY_API, Key, Object, Snapshot, key_of, namespace_of, seniority
from console.local.gateway.translate.ai import AiBackend, AiRule, is_generated
from console.local.gateway.translate.attachment import Policies
from console.local.gateway.translate.backends import Unresolved, read_backend_reference, resolve, source_of
from console.local.gateway.translate.client import ClientSettings
from console.local.gateway.translate.clusters import Clusters
from console.local.gateway.translate.extraction import OVERRIDE_FILTER, override_settings
from console.local.gateway.translate.fallback import Ranked
from console.local.gateway.translate.filters import (
    ROUTE_NOT_FOUND,
    Filtered,
    direct_response,
    header_changes,
    read_filters,
)
from console.local.gateway.translate.gateways import Listener
from console.local.gateway.translate.global_limits import FILTER_NAME as GLOBAL_LIMITS_FILTER
from console.local.gateway.translate.global_limits import GlobalLimit, global_limits_settings
from console.local.gateway.translate.limits import Tier
from console.local.gateway.translate.matches import Match, read_matches
from console.local.gateway.translate.metering import METER_FILTER, meter_settings, metering_metadata, unpackable
from console.local.gateway.translate.reading import Node, Unfit, Unsupported, envoy_duration, readable
from console.local.gateway.translate.replies import openai_error_text
from console.local.gateway.translate.security import Authorization, Gate, leave_alone
from console.local.gateway.translate.short_limits import (
    TELLING_FILTER,
    ShortLimit,
    short_limits_metadata,
    telling_settings,
)
from console.local.gateway.translate.tls import TlsPolicies, UpstreamTls
from console.local.gateway.translate.traffic import Traffic

_INVALID_CLUSTER = "invalid-backend"


class RuleProblem(NamedTuple):
    """What is wrong with a rule: the type and reason of a route's condition. ``dropped``: it matches nothing now."""

    kind: str
    reason: str
    message: str
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An envoy.config.route.v3.Route, and when it is tried."""

    precedence: tuple[Any, ...]
    envoy: dict[str, Any]


@dataclass(slots=True)
class Plan:
    """Everything that rules are compiled against, and what they ask for meanwhile.

    gates      every authorization filter that listeners have
    finished   gates as they are in listeners, by what policies ask for
    tiers      rate limits that routes make use of
    tls_users  the Gateways through which a BackendTLSPolicy is in use
    key_table  whether listeners can check keys by themselves
    """

    snapshot: Snapshot
    clusters: Clusters
    security: Policies[Authorization | None]
    traffic: Policies[Traffic]
    clients: Policies[ClientSettings]
    tls: TlsPolicies
    gates: tuple[Gate, ...] = ()
    finished: Mapping[Gate, Gate] = field(default_factory=dict)
    tiers: set[Tier] = field(default_factory=set)
    tls_users: dict[Key, set[Key]] = field(default_factory=dict)
    key_table: bool = False


def compile_rule(
    plan: Plan, route: Object, rule: Node, index: int, listener: Listener, ai: AiRule | None
) -> tuple[list[Entry], list[RuleProblem]]:
    """The Envoy routes of a rule, one for each of its matches.

    A rule that cannot be served as it asks is answered with 500: nothing that it was to guard is open. Only a rule
    whose matches cannot be read is left out.
    """
    try:
        with readable():
            matches = read_matches(rule)
    except Unfit as problem:
        message = f"failed to process route rule {index}: {problem}"
        return [], [RuleProblem("Accepted", "UnsupportedValue", message, dropped=True)]
    problems: list[RuleProblem] = []
    compiler = _Compiler(plan, route, rule, index, listener, ai, problems)
    made: list[dict[str, Any]] = []
    for match in matches:
        try:
            with readable():
                made.append(compiler.route(match))
        except Unfit as problem:
            message = f"failed to process route rule {index}: {problem}"
            problems.append(RuleProblem("Accepted", "UnsupportedValue", message))
            made.append(compiler.refusal())
    fallback = is_generated(route) and rule.raw("name") == ROUTE_NOT_FOUND
    entries = []
    for number, (match, envoy) in enumerate(zip(matches, made, strict=True)):
        name = f"{key_of(route).place}/rule/{index}/match/{number}"
        # The 404 that belongs to an AIGatewayRoute never stands before a route that somebody wrote.
        precedence = (fallback, *match.precedence, *seniority(route), index, number)
        entries.append(Entry(precedence, {"name": name, "match": match.envoy, **envoy}))
    return entries, list(dict.fromkeys(problems))


def refuse_rule(route: Object, rule: Node, index: int, plan: Plan) -> list[Entry]:
    """500 for whatever a rule matches: for a route that is broken as a whole."""
    try:
        with readable():
            matches = read_matches(rule)
    except Unfit:
        return []
    return [
        Entry(
            (False, *match.precedence, *seniority(route), index, number),
            {"name": f"{key_of(route).place}/rule/{index}/match/{number}", "match": match.envoy, **_refusal(plan)},
        )
        for number, match in enumerate(matches)
    ]


def _refusal(plan: Plan) -> dict[str, Any]:
    answer = direct_response(500, openai_error_text(500), "application/json")
    return answer | {"typed_per_filter_config": {gate.name: leave_alone() for gate in plan.gates}}


class _Compiler:
    def __init__(
        self,
        plan: Plan,
        route: Object,
        rule: Node,
        index: int,
        listener: Listener,
        ai: AiRule | None,
        problems: list[RuleProblem],
    ) -> None:
        self._plan = plan
        self._route = route
        self._rule = rule
        self._index = index
        self._listener = listener
        self._ai = ai
        self._problems = problems
        name = rule.raw("name")
        place = (key_of(route), name if isinstance(name, str) else "", listener)
        self._security = plan.security.at(*place)
        self._traffic = plan.traffic.at(*place)
        self._client = plan.clients.at(*place)

    def refusal(self) -> dict[str, Any]:
        return _refusal(self._plan)

    def route(self, match: Match) -> dict[str, Any]:
        """The fields of a Route, but for its name and match."""
        held = (self._security, self._traffic, self._client)
        if any(one is not None and one.broken for one in held):
            return self.refusal()
        self._rule.only("name", "matches", "filters", "backendRefs", "timeouts")
        filtered = read_filters(
            self._rule,
            self._route,
            self._plan.snapshot,
            listener_port=self._listener.port,
            ai_generated=is_generated(self._route),
        )
        fields = dict(filtered.route)
        if filtered.answer is not None:
            answer = filtered.answer(match)
            # Both may add response headers: the answer's own come first.
            added = [*answer.pop("response_headers_to_add", ()), *fields.pop("response_headers_to_add", ())]
            fields |= answer | ({"response_headers_to_add": added} if added else {})
        else:
            action = self._forward(match, filtered)
            if action is None:
                return self.refusal()
            fields["route"] = action
        gates = self._gates()
        if gates is None:
            return self.refusal()
        if self._meters:
            fields["request_headers_to_add"] = [*fields.get("request_headers_to_add", ()), unpackable()]
        return fields | self._metadata() | {"typed_per_filter_config": gates | self._counting()}

    @property
    def _bucket(self) -> str:
        """Whose counters those of this rule are."""
        return bucket_of(key_of(self._route).place, self._index)

    @property
    def _limits(self) -> tuple[GlobalLimit, ...]:
        return self._traffic.value.global_limits if self._traffic and self._traffic.value else ()

    @property
    def _short_limits(self) -> tuple[ShortLimit, ...]:
        return self._traffic.value.short_limits if self._traffic and self._traffic.value else ()

    @property
    def _charges(self) -> bool:
        """Whether a policy counts what answers have cost."""
        return any(one.meters for one in self._limits)

    @property
    def _meters(self) -> bool:
        """Models are metered, and whatever a policy charges for."""
        return self._ai is not None or self._charges

    def _counting(self) -> dict[str, Any]:
        """What is told to the limits and to the meter."""
        told = {GLOBAL_LIMITS_FILTER: global_limits_settings(self._limits, self._bucket)} if self._limits else {}
        if self._short_limits:
            told[TELLING_FILTER] = telling_settings(self._short_limits)
        if self._meters:
            told[METER_FILTER] = meter_settings(self._ai.costs if self._ai else {})
        return told

    def _metadata(self) -> dict[str, Any]:
        """What is said of limits, of metering, and of keys that the listener may check by itself."""
        authorization = self._security.value if self._security else None
        native = authorization.native_metadata() if authorization is not None and self._plan.key_table else None
        asks = self._charges or (self._ai is not None and bool(self._ai.costs))
        parts = [native] if native is not None else []
        if self._short_limits:
            parts.append(short_limits_metadata(self._short_limits, self._bucket))
        if self._meters:
            parts.append(metering_metadata(ask=asks))
        told: dict[str, dict[str, Any]] = {}
        for part in parts:
            for name, values in part.items():
                told.setdefault(name, {}).update(values)
        return {"metadata": {"filter_metadata": told}} if told else {}

    def _gates(self) -> dict[str, Any] | None:
        """What every gate is told; None where the authorizer cannot be reached by any means."""
        told = {gate.name: leave_alone() for gate in self._plan.gates}
        authorization = self._security.value if self._security else None
        if authorization is not None:
            assert self._security is not None
            try:
                tls = {self._tls(one.key) for one in authorization.destinations}
                if len(tls) > 1:
                    raise Unresolved("InvalidBackendTLS", "some of the authorizers are spoken to over TLS, some not")
            except Unresolved as problem:
                self._plan.security.break_(self._security.policy, f"ExtAuth: {problem}")
                return None
            cluster = self._plan.clusters.add(authorization.destinations, tls=tls.pop())
            gate = self._plan.finished.get(authorization.gate, authorization.gate)
            told[gate.name] = authorization.settings(cluster, gate.standing)
        return told

    def _forward(self, match: Match, filtered: Filtered) -> dict[str, Any] | None:
        """The RouteAction; None where nothing that can be called is named."""
        target = self._target()
        if target is None:
            return None
        action: dict[str, Any] = {
            **target,
            # The share of a backend that cannot be resolved is answered 500, as Gateway API asks.
            "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
        }
        action |= filtered.action
        if filtered.rewrite_path is not None:
            action |= filtered.rewrite_path(match)
        traffic = self._traffic.value if self._traffic else None
        if traffic is not None:
            action |= traffic.route
            if traffic.limits:
                action["rate_limits"] = [one.rate_limit(self._bucket) for one in traffic.limits]
                self._plan.tiers.update(one.tier for one in traffic.limits)
        if self._ai is not None and self._ai.stream_idle_seconds is not None:
            action["idle_timeout"] = envoy_duration(self._ai.stream_idle_seconds)
        action |= self._timeouts(traffic, action.get("retry_policy"))
        return action

    def _timeouts(self, traffic: Traffic | None, retry_policy: dict[str, Any] | None) -> dict[str, Any]:
        node = self._rule.node("timeouts")
        node.only("request", "backendRequest")
        request, backend = node.seconds("request"), node.seconds("backendRequest")
        if request and backend and backend > request:
            raise Unfit(f"{node.at('backendRequest')} is longer than {node.at('request')}")
        if request is None:
            request = traffic.request_timeout if traffic else None
        fields: dict[str, Any] = {}
        if backend and retry_policy:
            fields["retry_policy"] = retry_policy | {"per_try_timeout": envoy_duration(backend)}
        elif backend:
            request = backend  # without retries, the only try is the whole request
        if request is not None:
            fields["timeout"] = envoy_duration(request)
        return fields

    def _target(self) -> dict[str, Any] | None:
        """Where requests go: to shares of clusters, or to one cluster of backends that stand in for one another."""
        found: list[tuple[Ranked | None, int, Node]] = []
        for number, node in enumerate(self._rule.nodes("backendRefs")):
            weight, ai = node.number("weight", 1, most=1_000_000), self._ai_backend(number)
            one = None
            try:
                with readable():
                    one = self._backend(node, weight, ai)
            except Unresolved as problem:
                self._unresolved(number, problem.reason, str(problem))
            except Unfit as problem:
                self._unresolved(number, "UnsupportedRefValue", str(problem))
            if weight:
                found.append((one, ai.priority if one is None else one.priority, node))
        resolved = [one for one, _, _ in found if one is not None]
        if not resolved:
            return None
        traffic = self._traffic.value if self._traffic else None
        if len({priority for _, priority, _ in found}) > 1:
            for one, _, node in found:
                if node.nodes("filters") or (one is not None and one.ai.headers):
                    said = "changes of headers for one of several priorities are not supported by the local gateway"
                    raise Unsupported(f"{node.path}: {said}")
            return {"cluster": self._plan.clusters.add_ranked(resolved, traffic)}
        weighted = [
            {"name": _INVALID_CLUSTER, "weight": node.number("weight", 1)} if one is None else self._share(one, node)
            for one, _, node in found
        ]
        return {"weighted_clusters": {"clusters": weighted}}

    def _unresolved(self, number: int, reason: str, message: str) -> None:
        said = f"failed to process route rule {self._index} backendRef {number}: {message}"
        self._problems.append(RuleProblem("ResolvedRefs", reason, said))

    def _ai_backend(self, number: int) -> AiBackend:
        return self._ai.backends[number] if self._ai is not None else AiBackend()

    def _backend(self, node: Node, weight: int, ai: AiBackend) -> Ranked:
        ref = read_backend_reference(node, namespace_of(self._route), "weight", "filters")
        destination = resolve(ref, source_of(self._route, GATEWAY_API), self._plan.snapshot)
        if not destination.endpoints:
            said = f"failed to find endpoints: no ready endpoints for {ref.kind} {ref.namespace}/{ref.name}"
            self._problems.append(RuleProblem("BackendsAvailable", "EndpointsNotFound", said))
        _backend_filters(node)
        priority = ai.priority if self._ai is not None else int(destination.fallback)
        return Ranked(destination, weight, priority, self._tls(destination.key), ai)

    def _share(self, one: Ranked, node: Node) -> dict[str, Any]:
        """envoy.config.route.v3.WeightedCluster.ClusterWeight."""
        ai = one.ai
        cluster: dict[str, Any] = {
            "name": self._plan.clusters.add(
                (one.destination,),
                tls=one.tls,
                credential=ai.credential,
                traffic=self._traffic.value if self._traffic else None,
            ),
            "weight": one.weight,
        }
        cluster |= _backend_filters(node)
        for name, value in ai.headers.items():
            cluster[name] = [*cluster.get(name, ()), *value]
        if ai.model is not None or ai.prefix is not None:
            cluster["typed_per_filter_config"] = {OVERRIDE_FILTER: override_settings(ai.model, ai.prefix)}
        return cluster

    def _tls(self, backend: Key) -> UpstreamTls | None:
        policy = self._plan.tls.policy_of.get(backend)
        if policy is not None:
            self._plan.tls_users.setdefault(key_of(policy), set()).add(self._listener.gateway)
        try:
            return self._plan.tls.of(backend)
        except Unfit as problem:
            raise Unresolved("InvalidBackendTLS", str(problem)) from None


def _backend_filters(node: Node) -> dict[str, Any]:
    """The filters of a single backend, as far as a weighted cluster can have them."""
    fields: dict[str, Any] = {}
    for one in node.nodes("filters"):
        kind = one.text("type")
        if kind == "RequestHeaderModifier":
            one.only("type", "requestHeaderModifier")
            fields |= header_changes(one.node("requestHeaderModifier"), "request")
        elif kind == "ResponseHeaderModifier":
            one.only("type", "responseHeaderModifier")
            fields |= header_changes(one.node("responseHeaderModifier"), "response")
        else:
            raise Unsupported(f"{one.at('type')} {kind} is not supported within a backendRef by the local gateway")
    return fields
