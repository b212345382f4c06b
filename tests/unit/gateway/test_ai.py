"""Envoy AI Gateway's kinds: what is generated, and what is said where it cannot be."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from console.k8s.types import Object
from console.local.gateway.snapshot import Snapshot
from console.local.gateway.translate import Settings, generated_objects, translate
from tests.unit.gateway.manifests import AI_GATEWAY, ai_objects, gateway, gateway_class, http_route, manifest, rule
from tests.unit.gateway.worlds import DIRECTORY, PORT, World, aged, world


def changed(**fields: Any) -> list[Object]:
    """One model's objects, with other fields in the route's spec, its rule, its backendRef or the AIServiceBackend."""
    backend, service, route = ai_objects("ns", "m", 1)
    for name, value in fields.items():
        where, _, field = name.partition("__")
        spec = {
            "route": route["spec"],
            "rule": route["spec"]["rules"][0],
            "ref": route["spec"]["rules"][0]["backendRefs"][0],
            "service": service["spec"],
        }[where]
        spec[field] = value
    return [backend, service, route]


def test_the_generated_route_is_the_ai_gateways() -> None:
    backend, service, route = ai_objects("ns", "m", 1, override="other")
    route["metadata"] |= {"labels": {"team": "x"}, "annotations": {"note": "y"}}
    everything = aged([gateway_class(), gateway(PORT), backend, service, route])
    rewrite, not_found, made = generated_objects(Snapshot(everything)).objects
    assert (made["kind"], made["metadata"]["name"]) == ("HTTPRoute", "m")
    assert made["metadata"]["labels"] == {"team": "x"}
    assert made["metadata"]["annotations"] == {
        "note": "y",
        "gateway.envoyproxy.io/ai-gateway-generated": "true",
        "gateway.envoyproxy.io/backend-ref-priority": "0:m:0",
    }
    for one in (rewrite, not_found, made):
        (owner,) = one["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("AIGatewayRoute", "m", route["metadata"]["uid"])
        assert owner["controller"] is True
    model, last = made["spec"]["rules"]
    assert model["timeouts"] == {"request": "60s"}
    assert model["matches"][0]["headers"] == [{"type": "Exact", "name": "x-ai-eg-model", "value": "m"}]
    assert model["backendRefs"] == [{"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "m", "weight": 1}]
    assert (last["name"], last["filters"][0]["extensionRef"]["name"]) == (
        "route-not-found",
        "ai-eg-route-not-found-response-m",
    )
    assert rewrite["metadata"]["name"] == "ai-eg-host-rewrite-m"
    assert rewrite["spec"] == {"urlRewrite": {"hostname": {"type": "Backend"}}}
    assert not_found["spec"]["directResponse"]["statusCode"] == 404


NOT_ACCEPTED: list[tuple[dict[str, Any], str]] = [
    ({"route__llmRequestCosts": [{"metadataKey": "c", "type": "CEL", "cel": "1"}]}, "llmRequestCosts[0].cel is not"),
    ({"route__llmRequestCosts": [{"metadataKey": "c", "type": "ReasoningToken"}]}, "'ReasoningToken' is not supported"),
    ({"route__llmRequestCosts": [{"metadataKey": "a:b", "type": "TotalToken"}]}, "'a:b' is not a name"),
    ({"route__parentRefs": [{"name": "gone"}]}, "Gateway ns/gone not found"),
    ({"route__rules": [{}] * 16}, "spec.rules has 16 rules, and 15 are possible"),
    ({"rule__name": "route-not-found"}, "route-not-found is reserved"),
    ({"rule__backendRefs": [{"name": "gone"}]}, "AIServiceBackend gone.ns not found"),
    ({"rule__backendRefs": [{"name": "m"}] * 17}, "has 17 backends, and 16 are possible"),
    ({"rule__matches": [{"path": {"value": "/x"}}]}, "spec.rules[0].matches[0].path is not supported"),
    ({"ref__priority": -1}, "spec.rules[0].backendRefs[0].priority is -1"),
    ({"ref__bodyMutation": {}}, "spec.rules[0].backendRefs[0].bodyMutation is not supported"),
    ({"ref__kind": "InferencePool"}, "an InferencePool is not supported"),
    ({"ref__namespace": "elsewhere"}, "no ReferenceGrant permits AIServiceBackend elsewhere/m"),
    ({"service__schema": {"name": "AWSBedrock"}}, "spec.schema.name 'AWSBedrock' is not supported"),
    ({"service__schema": {"name": "OpenAI", "version": "v1"}}, "spec.schema.version is not supported"),
    ({"service__bodyMutation": {}}, "spec.bodyMutation is not supported"),
    ({"service__backendRef": {"name": "a", "kind": "Service", "port": 80}}, "only a Backend of"),
]


@pytest.mark.parametrize(("fields", "sentence"), NOT_ACCEPTED)
def test_what_cannot_be_honoured_is_not_accepted_by_name(fields: dict[str, Any], sentence: str) -> None:
    made = world(*changed(**fields))
    status, reason, message = made.said("AIGatewayRoute", "m", "NotAccepted")
    assert (status, reason) == ("False", "ReconciliationFailed")
    assert sentence in message
    assert made.routes("ns/m") == []
    if next(iter(fields)).startswith("service"):
        assert sentence in made.said("AIServiceBackend", "m", "NotAccepted")[2]


def test_an_accepted_route_that_becomes_unacceptable_is_closed() -> None:
    """The HTTPRoute of before is still there; it must not go on without what is missing now."""
    before = aged([gateway_class(), gateway(PORT), *changed()])
    made = aged([dict(one) for one in generated_objects(Snapshot(before)).objects])
    after = aged([gateway_class(), gateway(PORT), *changed(ref__bodyMutation={})])
    now = World(translate(Snapshot([*after, *made]), Settings(directory=DIRECTORY)))
    assert now.answers("ns/m") == [500, 500]
    assert "AIGatewayRoute ns/m is not accepted" in now.said("HTTPRoute", "m")[2]


def test_a_generated_route_without_its_owner_is_not_served() -> None:
    everything = aged([gateway_class(), gateway(PORT), *changed()])
    made = aged([dict(one) for one in generated_objects(Snapshot(everything)).objects])
    orphaned = [one for one in everything if one["kind"] != "AIGatewayRoute"]
    assert World(translate(Snapshot([*orphaned, *made]), Settings(directory=DIRECTORY))).routes("ns/m") == []
    everything[-1]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert World(translate(Snapshot([*everything, *made]), Settings(directory=DIRECTORY))).routes("ns/m") == []


def test_a_route_of_the_same_name_is_never_taken_over() -> None:
    made = world(http_route("ns", "m", rule("/", "a")), *changed())
    assert "HTTPRoute ns/m is there already" in made.said("AIGatewayRoute", "m", "NotAccepted")[2]
    assert made.answers("ns/m") == [0]


def secret(value: str, key: str = "apiKey") -> Object:
    data = {key: base64.b64encode(value.encode()).decode()}
    return manifest("v1", "Secret", "ns", "s") | {"data": data}


def policy(name: str = "p", **spec: Any) -> Object:
    targets = [{"group": AI_GATEWAY, "kind": "AIServiceBackend", "name": "m"}]
    whole = {"targetRefs": targets, "type": "APIKey", "apiKey": {"secretRef": {"name": "s"}}} | spec
    return manifest(f"{AI_GATEWAY}/v1beta1", "BackendSecurityPolicy", "ns", name, whole)


CREDENTIALS: list[tuple[list[Object], str]] = [
    ([policy()], "Secret ns/s not found"),
    ([policy(), secret("x", key="other")], "no usable value under the data key apiKey"),
    ([policy(), secret("a b")], "no usable value under the data key apiKey"),
    ([policy(type="AWSCredentials")], "spec.type 'AWSCredentials' is not supported"),
    ([policy(credentialOverride={}), secret("x")], "spec.credentialOverride is not supported"),
    ([policy(apiKey={"secretRef": {"name": "s", "namespace": "other"}})], "no ReferenceGrant permits Secret other/s"),
]


@pytest.mark.parametrize(("objects", "sentence"), CREDENTIALS)
def test_without_its_credential_a_backend_is_not_called(objects: list[Object], sentence: str) -> None:
    made = world(*objects, *changed())
    assert sentence in made.said("BackendSecurityPolicy", "p", "NotAccepted")[2]
    for kind in ("AIServiceBackend", "AIGatewayRoute"):
        assert sentence in made.said(kind, "m", "NotAccepted")[2]
    assert made.routes("ns/m") == []


def test_two_credentials_for_one_backend_are_none() -> None:
    made = world(secret("x"), policy("one"), policy("two"), *changed())
    message = made.said("AIServiceBackend", "m", "NotAccepted")[2]
    assert message == "multiple BackendSecurityPolicies found for AIServiceBackend m: [one two]"


def test_a_key_is_in_its_own_secret_and_nowhere_else() -> None:
    made = world(secret("sk-hidden"), policy(), *changed()).translation
    (credential,) = made.credentials.values()
    assert "sk-hidden" in str(credential.secret())
    assert "sk-hidden" not in repr(credential)
    assert "sk-hidden" not in repr(made)
    assert "sk-hidden" not in str([made.clusters, made.routes, made.listeners, made.statuses])
