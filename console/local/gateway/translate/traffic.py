"""BackendTrafficPolicy: limits, timeouts, retries and circuit breakers (Envoy Gateway v1alpha1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from console.local.gateway.snapshot import Object, key_of
from console.local.gateway.translate.attachment import TARGET_FIELDS
from console.local.gateway.translate.global_limits import GlobalLimit, counted_by_service, read_global_limits
from console.local.gateway.translate.limits import Limit, read_limits
from console.local.gateway.translate.reading import Node, Unfit, envoy_duration, spec_of
from console.local.gateway.translate.short_limits import ShortLimit, in_envoy

_TRIGGERS = {
    "5xx": "5xx",
    "gateway-error": "gateway-error",
    "disconnect-reset": "reset",
    "reset-before-request": "reset-before-request",
    "connect-failure": "connect-failure",
    "retriable-4xx": "retriable-4xx",
    "refused-stream": "refused-stream",
    "retriable-status-codes": "retriable-status-codes",
    "cancelled": "cancelled",
    "deadline-exceeded": "deadline-exceeded",
    "internal": "internal",
    "resource-exhausted": "resource-exhausted",
    "unavailable": "unavailable",
}
_DEFAULT_TRIGGERS = ("connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes")
_DEFAULT_RETRIED_STATUS = 503
_RETRY_PRIORITY = "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a policy says.

    short_limits     counted by Envoy itself
    limits           the other local ones, where there is no rate-limit service
    global_limits    counted by that service
    request_timeout  seconds, where the route itself says nothing
    route            fields of envoy.config.route.v3.RouteAction
    cluster          fields of envoy.config.cluster.v3.Cluster
    connections      fields of envoy.config.core.v3.HttpProtocolOptions of the upstream
    """

    short_limits: tuple[ShortLimit, ...] = ()
    limits: tuple[Limit, ...] = ()
    global_limits: tuple[GlobalLimit, ...] = ()
    request_timeout: float | None = None
    route: dict[str, Any] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    connections: dict[str, Any] = field(default_factory=dict)


def read_traffic_policy(one: Object, *, limiter: bool = False, alone: bool = False) -> Traffic:
    """What a policy says.

    Args:
        limiter: whether there is a service that counts global limits
        alone: `Settings.alone`

    Raises:
        Unfit: it cannot be honoured.
    """
    spec = spec_of(one)
    spec.only(*TARGET_FIELDS, "rateLimit", "timeout", "retry", "circuitBreaker", "healthCheck")
    timeout = spec.node("timeout")
    timeout.only("tcp", "http")
    http = timeout.node("http")
    http.only(
        "requestTimeout", "connectionIdleTimeout", "maxConnectionDuration", "maxStreamDuration", "streamIdleTimeout"
    )
    route: dict[str, Any] = {}
    if http.has("streamIdleTimeout"):
        route["idle_timeout"] = _duration(http, "streamIdleTimeout")
    if http.has("maxStreamDuration"):
        route["max_stream_duration"] = {"max_stream_duration": _duration(http, "maxStreamDuration")}
    if spec.has("retry"):
        route["retry_policy"] = _retry_policy(spec.node("retry"))
    limits = spec.node("rateLimit")
    limits.only("type", "local", "global")
    if spec.has("rateLimit") and not limits.has("local") and not limits.has("global"):
        raise Unfit(f"{limits.at('local')} and {limits.at('global')} are missing")
    by_service = read_global_limits(limits, key_of(one).place, limiter=limiter)
    short, local, by_service = in_envoy(read_limits(limits), by_service, alone=alone)
    if limiter:
        local, by_service = (), (*by_service, *counted_by_service(local))
    return Traffic(
        short,
        local,
        by_service,
        http.seconds("requestTimeout"),
        route,
        _cluster(timeout.node("tcp"), spec.node("circuitBreaker")) | _health(spec),
        _connections(http, spec.node("circuitBreaker")),
    )


def _duration(node: Node, name: str) -> str:
    return envoy_duration(node.seconds(name) or 0.0)


def _connections(http: Node, breaker: Node) -> dict[str, Any]:
    names = {"connectionIdleTimeout": "idle_timeout", "maxConnectionDuration": "max_connection_duration"}
    fields: dict[str, Any] = {envoy: _duration(http, name) for name, envoy in names.items() if http.has(name)}
    if breaker.has("maxRequestsPerConnection"):
        fields["max_requests_per_connection"] = breaker.number("maxRequestsPerConnection", least=1)
    return fields


def _retry_policy(node: Node) -> dict[str, Any]:
    node.only("numRetries", "numAttemptsPerPriority", "retryOn", "perRetry")
    conditions = node.node("retryOn")
    conditions.only("triggers", "httpStatusCodes")
    triggers = conditions.texts("triggers")
    unknown = [one for one in triggers if one not in _TRIGGERS]
    if unknown:
        raise Unfit(f"{conditions.at('triggers')}: {unknown[0]!r} is not a trigger")
    statuses = conditions.numbers("httpStatusCodes", least=100, most=599)
    policy: dict[str, Any] = {
        "num_retries": node.number("numRetries", 2),
        "retry_on": ",".join([_TRIGGERS[one] for one in triggers] or _DEFAULT_TRIGGERS),
        "retriable_status_codes": statuses or [_DEFAULT_RETRIED_STATUS],
    }
    if statuses and triggers and "retriable-status-codes" not in triggers:
        policy["retry_on"] += ",retriable-status-codes"
    if attempts := node.number("numAttemptsPerPriority", 0):
        config = {"@type": _RETRY_PRIORITY, "update_frequency": attempts}
        policy["retry_priority"] = {"name": "envoy.retry_priorities.previous_priorities", "typed_config": config}
    per_retry = node.node("perRetry")
    per_retry.only("timeout", "backOff")
    if per_retry.has("timeout"):
        policy["per_try_timeout"] = _duration(per_retry, "timeout")
    back_off = per_retry.node("backOff")
    back_off.only("baseInterval", "maxInterval")
    if back_off.has("baseInterval"):
        policy["retry_back_off"] = {"base_interval": _duration(back_off, "baseInterval")}
        if back_off.has("maxInterval"):
            if (back_off.seconds("maxInterval") or 0) < (back_off.seconds("baseInterval") or 0):
                raise Unfit(f"{back_off.at('maxInterval')} is shorter than baseInterval")
            policy["retry_back_off"]["max_interval"] = _duration(back_off, "maxInterval")
        if not back_off.seconds("baseInterval"):
            raise Unfit(f"{back_off.at('baseInterval')} is zero")
    elif back_off.has("maxInterval"):
        raise Unfit(f"{back_off.at('maxInterval')} needs a baseInterval")
    return policy


def _health(spec: Node) -> dict[str, Any]:
    """A passive health check as envoy.config.cluster.v3.OutlierDetection, with Envoy Gateway's defaults.

    A count of 0 is no reason to put a backend aside.
    """
    if not spec.has("healthCheck"):
        return {}
    node = spec.node("healthCheck")
    node.only("passive")
    if not node.has("passive"):
        raise Unfit(f"{node.at('passive')} is missing")
    passive = node.node("passive")
    passive.only(
        "consecutive5XxErrors", "consecutiveGatewayErrors", "interval", "baseEjectionTime", "maxEjectionPercent"
    )
    errors, gateway = passive.number("consecutive5XxErrors", 5), passive.number("consecutiveGatewayErrors", 0)
    for name in ("interval", "baseEjectionTime"):
        if passive.has(name) and not passive.seconds(name):
            raise Unfit(f"{passive.at(name)} is zero")
    aside = _duration(passive, "baseEjectionTime") if passive.has("baseEjectionTime") else "30s"
    return {
        "outlier_detection": {
            "interval": _duration(passive, "interval") if passive.has("interval") else "3s",
            "base_ejection_time": aside,
            "max_ejection_percent": passive.number("maxEjectionPercent", 10, most=100),
            "consecutive_5xx": errors or 5,
            "enforcing_consecutive_5xx": 100 if errors else 0,
            "consecutive_gateway_failure": gateway or 5,
            "enforcing_consecutive_gateway_failure": 100 if gateway else 0,
            "enforcing_success_rate": 0,
        }
    }


def _cluster(tcp: Node, breaker: Node) -> dict[str, Any]:
    tcp.only("connectTimeout")
    fields: dict[str, Any] = {}
    if tcp.has("connectTimeout"):
        if not tcp.seconds("connectTimeout"):
            raise Unfit(f"{tcp.at('connectTimeout')} is zero")
        fields["connect_timeout"] = _duration(tcp, "connectTimeout")
    breaker.only(
        "maxConnections",
        "maxPendingRequests",
        "maxParallelRequests",
        "maxParallelRetries",
        "maxRequestsPerConnection",
        "perEndpoint",
    )
    names = {
        "maxConnections": "max_connections",
        "maxPendingRequests": "max_pending_requests",
        "maxParallelRequests": "max_requests",
        "maxParallelRetries": "max_retries",
    }
    thresholds = {envoy: breaker.number(name) for name, envoy in names.items() if breaker.has(name)}
    breakers: dict[str, Any] = {}
    if thresholds:
        breakers["thresholds"] = [thresholds]
    per_endpoint = breaker.node("perEndpoint")
    per_endpoint.only("maxConnections")
    if per_endpoint.has("maxConnections"):
        breakers["per_host_thresholds"] = [{"max_connections": per_endpoint.number("maxConnections")}]
    if breakers:
        fields["circuit_breakers"] = breakers
    return fields
