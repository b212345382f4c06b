"""A publication's limits: what of them can be held, and the BackendTrafficPolicy that holds them.

Envoy Gateway v1alpha1 (gateway.md §1.3). Every field of `Limits` has its place in the policy, or is refused here: a
limit that is accepted is one that is enforced. Rules of one policy are OR-ed, so that whichever is exceeded says 429.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from console.config import GatewayLink
from console.outcome import Refusal
from console.publishing.types import LIMIT_OPTIONS, Limits, Publication, PublicationKind

TOKENS_KEY = "llm_total_token"
"""Under which the AI gateway notes what a request has cost, in its own metadata."""
_TOKENS_NAMESPACE = "io.envoy.ai_gateway"
_MOST = 2**32 - 1
_LONGEST_SECONDS = 24 * 3600
_MOST_RETRIES = 10
_TRIGGERS = ("connect-failure", "refused-stream", "reset", "reset-before-request", "gateway-error", "5xx")
_DEFAULT_RETRY_ON = ("connect-failure", "refused-stream", "503")
_DEFAULT_FALL_BACK_ON = ("connect-failure", "refused-stream", "reset-before-request", "gateway-error")
"""Whatever says that a backend is out of order, and not that the request was wrong: no 500, no 4xx."""
_ASIDE = {
    "consecutive5XxErrors": 0,
    "consecutiveGatewayErrors": 5,
    "interval": "2s",
    "baseEjectionTime": "10s",
    "maxEjectionPercent": 100,
}
"""A backend that others stand in for is not asked for a while after five failures in a row; 0 counts no 500."""
_TOKENS = ("tokens_per_hour", "tokens_per_day")
_SMALLER_FIRST = (
    ("burst", "requests_per_minute", "requests_per_hour", "requests_per_day"),
    ("tokens_per_hour", "tokens_per_day"),
    ("requests_per_minute", "tenant_requests_per_minute", "model_requests_per_minute"),
)
_PARAMETER = "INVALID_PARAMETER"
_RATE = "RATE_LIMIT_CONFIG_FAILED"
_SECONDS = ("timeout_seconds", "connect_timeout_seconds", "idle_timeout_seconds")
_LONG = ("requests_per_hour", "requests_per_day")


def changed(before: Limits, given: Mapping[str, Any], lifted: Iterable[str] = ()) -> Limits:
    """Limits with what was given in the place of what was; options that are None are left as they are.

    Raises:
        Refusal: an option is given and lifted at once, cannot be lifted, or is none.
    """
    values: dict[str, Any] = {
        LIMIT_OPTIONS[option]: value for option, value in given.items() if value not in (None, ())
    }
    for written in lifted:
        option = written.lower().replace("-", "_")
        if option not in LIMIT_OPTIONS:
            raise _refusal(f"there is no limit {written!r}", then=f"one of {', '.join(LIMIT_OPTIONS)}", code=_PARAMETER)
        if option == "timeout":
            raise _refusal("a request has always a timeout", then="set another with --timeout", code=_PARAMETER)
        if LIMIT_OPTIONS[option] in values:
            raise _refusal(f"{option} is given and lifted at once", code=_PARAMETER)
        values[LIMIT_OPTIONS[option]] = () if option == "retry_on" else None
        if option == "retries":
            values.setdefault("retry_on", ())
    return dataclasses.replace(before, **values)


def check(publication: Publication, gateway: GatewayLink) -> tuple[str, ...]:
    """What an operator should know about the limits before they are in effect.

    Raises:
        Refusal: the policy, or this gateway, cannot hold one of them (RATE_LIMIT_CONFIG_FAILED for what is counted).
    """
    limits = publication.limits
    _check_values(limits)
    for names in _SMALLER_FIRST:
        given = [(_shown(name), getattr(limits, name)) for name in names if getattr(limits, name) is not None]
        for (small, least), (large, most) in itertools.pairwise(given):
            if least > most:
                raise _refusal(f"{small} {least} is more than {large} {most}, and would never be reached")
    if limits.retry_on and not limits.retries:
        raise _refusal("it is said after what to retry, and not how often", then="add --retries", code=_PARAMETER)
    tokens = [name for name in _TOKENS if getattr(limits, name) is not None]
    if tokens and publication.kind is PublicationKind.TRADITIONAL:
        raise _refusal(f"{_shown(tokens[0])} cannot be counted: a predict request has no tokens", then=_without(tokens))
    if tokens and not gateway.global_limiter:
        raise _refusal(
            f"{_shown(tokens[0])} needs Envoy Gateway's global rate limiter, and this profile says that there is none",
            then=f"start Envoy Gateway with a rate-limit backend and set gateway.global_limiter, or {_without(tokens)}",
        )
    fallbacks = _fallbacks(publication)
    if limits.retries is not None and limits.retries < fallbacks:
        raise _refusal(
            f"each fallback is one more try: {fallbacks} of them need at least as many retries, not {limits.retries}",
            then=f"--retries {fallbacks}, or leave it out",
            code=_PARAMETER,
        )
    long = [name for name in _LONG if getattr(limits, name) is not None]
    if long and not gateway.global_limiter:
        return (f"{_shown(long[0])} is counted by each gateway replica for itself, and anew after its restart",)
    return ()


def _check_values(limits: Limits) -> None:
    for one in dataclasses.fields(limits):
        value = getattr(limits, one.name)
        if value is None or one.name == "retry_on":
            continue
        least, most = (0, _MOST_RETRIES) if one.name == "retries" else (1, _MOST)
        if one.name in _SECONDS:
            most = _LONGEST_SECONDS
        if not least <= value <= most:
            unit = " seconds" if one.name in _SECONDS else ""
            code = _RATE if one.name == "burst" or "_per_" in one.name else _PARAMETER
            raise _refusal(f"{_shown(one.name)} is {value}: possible are {least} to {most}{unit}", code=code)
    for condition in limits.retry_on:
        status = condition.isdecimal() and len(condition) == 3 and 400 <= int(condition) <= 599
        if not status and condition not in _TRIGGERS:
            allowed = f"a status from 400 to 599, or {', '.join(_TRIGGERS)}"
            raise _refusal(
                f"{condition[:40]!r} is nothing after which to retry", then=f"it is {allowed}", code=_PARAMETER
            )


def traffic(publication: Publication, gateway: GatewayLink, header_prefix: str) -> dict[str, Any]:
    """The policy's spec, but for what it targets."""
    limits = publication.limits
    http = {"requestTimeout": f"{limits.timeout_seconds}s"}
    if limits.idle_timeout_seconds is not None:
        http["streamIdleTimeout"] = f"{limits.idle_timeout_seconds}s"
    timeout: dict[str, Any] = {"http": http}
    if limits.connect_timeout_seconds is not None:
        timeout["tcp"] = {"connectTimeout": f"{limits.connect_timeout_seconds}s"}
    spec: dict[str, Any] = {"timeout": timeout}
    rules = list(_rules(limits, header_prefix))
    if rules:
        spec["rateLimit"] = {"global" if gateway.global_limiter else "local": {"rules": rules}}
    retry = _retry(publication)
    if retry:
        spec["retry"] = retry
    if _fallbacks(publication):
        spec["healthCheck"] = {"passive": dict(_ASIDE)}
    breaker = {
        "maxConnections": limits.max_connections,
        "maxPendingRequests": limits.max_pending,
        "maxParallelRequests": limits.max_parallel,
    }
    if any(value is not None for value in breaker.values()):
        spec["circuitBreaker"] = {name: value for name, value in breaker.items() if value is not None}
    return spec


def token_costs() -> list[dict[str, str]]:
    """The AIGatewayRoute's ``llmRequestCosts``. Without them nothing is noted, and no stream is asked for its usage:
    token limits would count nothing, and nobody would know what was used."""
    kinds = {"llm_input_token": "InputToken", "llm_output_token": "OutputToken", TOKENS_KEY: "TotalToken"}
    return [{"metadataKey": key, "type": kind} for key, kind in kinds.items()]


def _rules(limits: Limits, prefix: str) -> Iterator[dict[str, Any]]:
    """One rule for each limit; a bucket for each value of a header that the authorizer sets."""
    for name, header, unit in (
        ("burst", "key-id", "Second"),
        ("requests_per_minute", "key-id", "Minute"),
        ("requests_per_hour", "key-id", "Hour"),
        ("requests_per_day", "key-id", "Day"),
        ("tenant_requests_per_minute", "tenant", "Minute"),
        ("model_requests_per_minute", "model", "Minute"),
        ("tokens_per_hour", "key-id", "Hour"),
        ("tokens_per_day", "key-id", "Day"),
    ):
        value = getattr(limits, name)
        if value is None:
            continue
        rule: dict[str, Any] = {
            "clientSelectors": [{"headers": [{"name": f"{prefix}-{header}", "type": "Distinct"}]}],
            "limit": {"requests": value, "unit": unit},
        }
        if name in _TOKENS:
            # A request is let in where anything is left, and what it has cost is known when its answer ends.
            metadata = {"namespace": _TOKENS_NAMESPACE, "key": TOKENS_KEY}
            rule["cost"] = {
                "request": {"from": "Number", "number": 0},
                "response": {"from": "Metadata", "metadata": metadata},
            }
        yield rule


def _fallbacks(publication: Publication) -> int:
    return len({one.priority for one in publication.backends}) - 1


def _retry(publication: Publication) -> dict[str, Any]:
    """Where a request goes again; a fallback is such another try, with the next backends in their order."""
    limits = publication.limits
    fallbacks = _fallbacks(publication)
    retries = limits.retries if limits.retries is not None else fallbacks or None
    if retries is None:
        return {}
    retry: dict[str, Any] = {"numRetries": retries}
    if not retries:
        return retry
    conditions = limits.retry_on or (_DEFAULT_FALL_BACK_ON if fallbacks else _DEFAULT_RETRY_ON)
    triggers = [one for one in conditions if not one.isdecimal()]
    statuses = [int(one) for one in conditions if one.isdecimal()]
    retry["retryOn"] = {"triggers": [*triggers, *(["retriable-status-codes"] if statuses else [])]}
    if statuses:
        retry["retryOn"]["httpStatusCodes"] = statuses
    if fallbacks:
        retry["numAttemptsPerPriority"] = 1
    return retry


def _shown(name: str) -> str:
    """``requests per minute``, ``timeout``."""
    return name.removesuffix("_seconds").replace("_", " ")


def _without(names: Iterable[str]) -> str:
    options = {field: option for option, field in LIMIT_OPTIONS.items()}
    return f"leave out {' and '.join(f'--{options[name]}' for name in names)}"


def _refusal(message: str, *, then: str = "", code: str = _RATE) -> Refusal:
    return Refusal(f"{message}; nothing was changed", code=code, then=then)
