"""Which limits are accepted, and that each accepted one is in the policy."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from console.config import GatewayLink
from console.outcome import Refusal
from console.publishing import limits
from console.publishing.types import LIMIT_OPTIONS, Backend, Endpoint, Limits, Origin, Publication, PublicationKind

LOCAL, GLOBAL = GatewayLink(), GatewayLink(global_limiter=True)
EVERY = Limits(
    requests_per_minute=60,
    timeout_seconds=17,
    requests_per_hour=600,
    requests_per_day=6_000,
    tokens_per_hour=70_000,
    tokens_per_day=700_000,
    burst=5,
    tenant_requests_per_minute=120,
    model_requests_per_minute=240,
    retries=3,
    retry_on=("connect-failure", "502"),
    max_connections=11,
    max_pending=12,
    max_parallel=13,
    connect_timeout_seconds=14,
    idle_timeout_seconds=15,
)
MOST_LOCAL_RULES = 16
"""Of a BackendTrafficPolicy, by its CRD."""


def a_publication(kind: PublicationKind = PublicationKind.OPENAI, fallbacks: int = 0, **given: Any) -> Publication:
    origin = Origin("catalog", "p/m", "m", Endpoint("api.example.com", 443, tls=True), "p", "p/m")
    others = tuple(
        Backend(dataclasses.replace(origin, name=f"p/{number}"), 1, number, str(number))
        for number in range(1, fallbacks + 1)
    )
    return Publication("id", "m", "acme", kind, origin, Limits(**given), others=others)


def test_every_limit_has_its_place() -> None:
    assert {field.name for field in dataclasses.fields(Limits)} == set(LIMIT_OPTIONS.values())
    for field in dataclasses.fields(Limits):
        assert getattr(EVERY, field.name) != getattr(Limits(), field.name), f"{field.name} is not tried here"
    publication = dataclasses.replace(a_publication(), limits=EVERY)
    limits.check(publication, GLOBAL)
    whole = str(limits.traffic(publication, GLOBAL, "x-modeldeck"))
    for field in dataclasses.fields(Limits):
        value = getattr(EVERY, field.name)
        without = dataclasses.replace(EVERY, **{field.name: getattr(Limits(), field.name)})
        if field.name == "retries":
            without = dataclasses.replace(without, retry_on=())
        spec = limits.traffic(dataclasses.replace(publication, limits=without), GLOBAL, "x-modeldeck")
        assert str(spec) != whole, f"{field.name} {value} is nowhere in the policy"


def test_each_rule_has_a_bucket_of_its_own_for_each_key_tenant_or_model() -> None:
    publication = dataclasses.replace(a_publication(), limits=EVERY)
    rules = limits.traffic(publication, GLOBAL, "x-deck")["rateLimit"]["global"]["rules"]
    told = [
        (rule["clientSelectors"][0]["headers"][0], rule["limit"]["requests"], rule["limit"]["unit"]) for rule in rules
    ]
    key, tenant, model = ({"name": f"x-deck-{one}", "type": "Distinct"} for one in ("key-id", "tenant", "model"))
    assert told == [
        (key, 5, "Second"),
        (key, 60, "Minute"),
        (key, 600, "Hour"),
        (key, 6_000, "Day"),
        (tenant, 120, "Minute"),
        (model, 240, "Minute"),
        (key, 70_000, "Hour"),
        (key, 700_000, "Day"),
    ]
    assert len(rules) <= MOST_LOCAL_RULES


def test_tokens_are_checked_before_and_charged_after() -> None:
    publication = a_publication(tokens_per_day=1_000)
    (rule,) = limits.traffic(publication, GLOBAL, "x-modeldeck")["rateLimit"]["global"]["rules"]
    assert rule["cost"] == {
        "request": {"from": "Number", "number": 0},
        "response": {"from": "Metadata", "metadata": {"namespace": "io.envoy.ai_gateway", "key": "llm_total_token"}},
    }
    assert {"metadataKey": "llm_total_token", "type": "TotalToken"} in limits.token_costs()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"tokens_per_hour": 5}, "global rate limiter"),
        ({"tokens_per_day": 5, "kind": PublicationKind.TRADITIONAL}, "has no tokens"),
        ({"requests_per_minute": 0}, "possible are 1"),
        ({"requests_per_minute": -1}, "possible are 1"),
        ({"requests_per_day": 2**32}, "possible are 1 to 4294967295"),
        ({"timeout_seconds": 0}, "possible are 1 to 86400 seconds"),
        ({"timeout_seconds": 86_401}, "possible are 1 to 86400 seconds"),
        ({"burst": 61, "requests_per_minute": 60}, "burst 61 is more than requests per minute 60"),
        ({"burst": 61, "requests_per_day": 60}, "burst 61 is more than requests per day 60"),
        ({"requests_per_hour": 61, "requests_per_day": 60}, "would never be reached"),
        ({"requests_per_minute": 61, "model_requests_per_minute": 60}, "would never be reached"),
        ({"retries": 11}, "possible are 0 to 10"),
        ({"retries": 0, "retry_on": ("503",)}, "how often"),
        ({"retry_on": ("503",)}, "how often"),
        ({"retries": 1, "retry_on": ("200",)}, "nothing after which to retry"),
        ({"retries": 1, "retry_on": ("bad luck",)}, "nothing after which to retry"),
        ({"retries": 1, "fallbacks": 2}, "each fallback is one more try"),
        ({"max_connections": 0}, "possible are 1"),
    ],
)
def test_what_the_policy_cannot_hold_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence) as refused:
        limits.check(a_publication(**given), LOCAL)
    assert "nothing was changed" in str(refused.value)


def test_a_token_limit_says_what_to_do() -> None:
    with pytest.raises(Refusal) as refused:
        limits.check(a_publication(tokens_per_hour=5), LOCAL)
    assert refused.value.code == "RATE_LIMIT_CONFIG_FAILED"
    assert "leave out --tph" in refused.value.then


def test_a_day_without_a_global_limiter_is_told_for_what_it_is() -> None:
    (said,) = limits.check(a_publication(requests_per_day=5), LOCAL)
    assert "each gateway replica for itself" in said
    assert limits.check(a_publication(requests_per_day=5), GLOBAL) == ()


def test_a_fallback_is_another_try() -> None:
    spec = limits.traffic(a_publication(fallbacks=2), LOCAL, "x")
    assert spec["retry"] == {
        "numRetries": 2,
        "numAttemptsPerPriority": 1,
        "retryOn": {"triggers": ["connect-failure", "refused-stream", "reset-before-request", "gateway-error"]},
    }
    # And a backend that is out of order is not asked each time anew.
    assert spec["healthCheck"]["passive"]["consecutiveGatewayErrors"] == 5
    alone = limits.traffic(a_publication(), LOCAL, "x")
    assert "retry" not in alone
    assert "healthCheck" not in alone
    assert limits.traffic(a_publication(retries=0), LOCAL, "x")["retry"] == {"numRetries": 0}


def test_a_limit_is_changed_lifted_and_left() -> None:
    before = Limits(60, requests_per_day=5, retries=2, retry_on=("503",))
    assert limits.changed(before, {"rpm": 7, "burst": None, "retry_on": ()}) == dataclasses.replace(
        before, requests_per_minute=7
    )
    assert limits.changed(before, {}, ["rpd", "retries"]) == Limits(60)
    for given, lifted in (({"rpm": 7}, ["rpm"]), ({}, ["timeout"]), ({}, ["spam"])):
        with pytest.raises(Refusal):
            limits.changed(before, given, lifted)


def test_a_spec_comes_back_as_it_was_and_an_old_one_is_read() -> None:
    publication = dataclasses.replace(a_publication(fallbacks=2), limits=EVERY, hostnames=("a.b",), weight=3)
    place = {"identifier": "id", "name": "m", "tenant": "acme", "kind": "openai", "source": "catalog"}
    assert Publication.of_spec(publication.as_spec(), **place, source_name="p/m") == publication
    old = {
        **{name: publication.as_spec()[name] for name in ("served_as", "endpoint", "credential", "model_id")},
        "limits": {"requests_per_minute": 60, "timeout_seconds": 300},
    }
    assert Publication.of_spec(old, **place, source_name="p/m") == a_publication(requests_per_minute=60)
