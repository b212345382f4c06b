"""The published CustomResourceDefinitions, enforced: what a real server was seen to accept and to refuse.

Each case is a line of "Validation worth knowing" in reference/kubernetes-api.md.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from console.local.kube import KubeServer
from tests.service.kube.driving import TOKENS, Http, Object

pytestmark = pytest.mark.asyncio(loop_scope="module")

GATEWAY_API = "gateway.networking.k8s.io/v1"
ENVOY = "gateway.envoyproxy.io/v1alpha1"
AI = "aigateway.envoyproxy.io/v1beta1"
KSERVE = "serving.kserve.io/v1beta1"

PLURALS = {
    "AIGatewayRoute": "aigatewayroutes",
    "AIServiceBackend": "aiservicebackends",
    "BackendSecurityPolicy": "backendsecuritypolicies",
    "BackendTLSPolicy": "backendtlspolicies",
    "BackendTrafficPolicy": "backendtrafficpolicies",
    "Backend": "backends",
    "Gateway": "gateways",
    "HTTPRoute": "httproutes",
    "InferencePool": "inferencepools",
    "InferenceService": "inferenceservices",
    "LLMInferenceService": "llminferenceservices",
    "SecurityPolicy": "securitypolicies",
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(defined_database: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Http]:
    """One server for all cases: everything here is a dry run, or cleans up."""
    path = tmp_path_factory.mktemp("cases") / "objects.db"
    path.write_bytes(defined_database.read_bytes())
    server = KubeServer(path, tokens=TOKENS)
    await server.start()
    async with Http(server.url, "admin-token") as client:
        yield client
    await server.stop()


def an(api_version: str, kind: str, spec: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "case"}, "spec": spec}


def path_of(body: Object) -> str:
    return f"/apis/{body['apiVersion']}/namespaces/acme/{PLURALS[body['kind']]}"


PARENT = {"name": "gw", "group": "gateway.networking.k8s.io", "kind": "Gateway"}
MODEL = {"headers": [{"name": "x-ai-eg-model", "value": "m"}]}


def ai_route(**change: Any) -> Object:
    spec = {"parentRefs": [PARENT], "rules": [{"matches": [MODEL], "backendRefs": [{"name": "b"}]}]}
    return an(AI, "AIGatewayRoute", {key: value for key, value in {**spec, **change}.items() if value is not None})


def ai_rules(*rules: Object) -> Object:
    return ai_route(rules=list(rules))


def http_route(**spec: Any) -> Object:
    return an(GATEWAY_API, "HTTPRoute", {"parentRefs": [{"name": "gw"}], **spec})


TARGET = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"}
ON_AI_ROUTE = {"group": "aigateway.envoyproxy.io", "kind": "AIGatewayRoute", "name": "r"}
SELECTOR = {"headers": [{"name": "x", "value": "y"}]}
LIMIT = {"requests": 1, "unit": "Hour"}


def traffic(**spec: Any) -> Object:
    spec.setdefault("targetRefs", [TARGET])
    return an(ENVOY, "BackendTrafficPolicy", {key: value for key, value in spec.items() if value is not None})


def limited(where: str, *rules: Object, **more: Any) -> Object:
    return traffic(rateLimit={where: {"rules": list(rules)}, **more})


def security(**spec: Any) -> Object:
    return an(ENVOY, "SecurityPolicy", {"targetRefs": [TARGET], **spec})


def with_key_from(source: Object) -> Object:
    return security(apiKeyAuth={"credentialRefs": [{"name": "keys"}], "extractFrom": [source]})


def allowed_from(cidr: str) -> Object:
    rule = {"action": "Allow", "principal": {"clientCIDRs": [cidr]}}
    return security(authorization={"defaultAction": "Deny", "rules": [rule]})


REFUSED: dict[str, Object] = {
    # AIGatewayRoute
    "an AIServiceBackend named by group and kind": ai_rules(
        {"backendRefs": [{"name": "b", "group": "aigateway.envoyproxy.io", "kind": "AIServiceBackend"}]}
    ),
    "a backend of another kind": ai_rules({"backendRefs": [{"name": "b", "group": "", "kind": "Service"}]}),
    "a backend with a group only": ai_rules({"backendRefs": [{"name": "b", "group": "inference.networking.k8s.io"}]}),
    "a parent that is no Gateway": ai_route(parentRefs=[{**PARENT, "kind": "Service", "group": ""}]),
    "the reserved rule name": ai_rules({"name": "route-not-found"}),
    "two rules of one name": ai_rules({"name": "a"}, {"name": "a"}),
    "an upper-case rule name": ai_rules({"name": "Upper"}),
    "sixteen rules": ai_rules(*({"name": f"r{number}"} for number in range(16))),
    "one header twice in a match": ai_rules(
        {"matches": [{"headers": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}]}
    ),
    "a duration with a fraction": ai_rules({"timeouts": {"request": "1.5s"}}),
    "a backend that may take longer than the request": ai_rules(
        {"timeouts": {"request": "1s", "backendRequest": "2s"}}
    ),
    "no rules key": ai_route(rules=None),
    # HTTPRoute
    "an HTTPRoute with no rules in a list": http_route(rules=[]),
    "a Service without a port": http_route(rules=[{"backendRefs": [{"name": "s"}]}]),
    "more than 128 matches in all": http_route(
        rules=[{"matches": [{"path": {"value": f"/{rule}/{number}"}} for number in range(43)]} for rule in range(3)]
    ),
    "a path with two slashes": http_route(rules=[{"matches": [{"path": {"value": "/a//b"}}]}]),
    # BackendTrafficPolicy
    "a policy for an AIGatewayRoute": traffic(targetRefs=[ON_AI_ROUTE]),
    "targetRef together with targetRefs": traffic(targetRef=TARGET),
    "an empty client selector": limited("global", {"clientSelectors": [{}], "limit": LIMIT}),
    "nine selectors": limited("global", {"clientSelectors": [SELECTOR] * 9, "limit": LIMIT}),
    "257 global rules": limited("global", *[{"clientSelectors": [SELECTOR], "limit": LIMIT}] * 257),
    "17 local rules": limited("local", *[{"clientSelectors": [SELECTOR], "limit": LIMIT}] * 17),
    "a response cost on a local limit": limited(
        "local", {"clientSelectors": [SELECTOR], "limit": LIMIT, "cost": {"response": {"from": "Number", "number": 1}}}
    ),
    # SecurityPolicy
    "a key from two places": with_key_from({"headers": ["a"], "params": ["b"]}),
    "a key from nowhere": with_key_from({}),
    "an address without a prefix length": allowed_from("10.0.0.1"),
    # others that the publisher relies on
    "an AIServiceBackend with a Service": an(
        AI,
        "AIServiceBackend",
        {"schema": {"name": "OpenAI"}, "backendRef": {"name": "b", "kind": "Service", "group": ""}},
    ),
    "an unknown schema": an(
        AI,
        "AIServiceBackend",
        {"schema": {"name": "Spam"}, "backendRef": {"name": "b", "kind": "Backend", "group": "gateway.envoyproxy.io"}},
    ),
    "a backend security policy without its field": an(AI, "BackendSecurityPolicy", {"type": "APIKey"}),
    "a Backend that is a name and an address": an(
        ENVOY,
        "Backend",
        {"endpoints": [{"fqdn": {"hostname": "a.b", "port": 80}, "ip": {"address": "1.2.3.4", "port": 80}}]},
    ),
    "an LLMInferenceService with replicas and scaling": an(
        "serving.kserve.io/v1alpha2",
        "LLMInferenceService",
        {"model": {"uri": "hf://x"}, "replicas": 1, "scaling": {"maxReplicas": 2}},
    ),
}

ACCEPTED: dict[str, Object] = {
    # AIGatewayRoute: these must be caught before the write
    "rules: []": ai_route(rules=[]),
    "rules: [{}]": ai_rules({}),
    "no parentRefs": ai_route(parentRefs=None),
    "all weights 0": ai_rules({"backendRefs": [{"name": "a", "weight": 0}, {"name": "b", "weight": 0}]}),
    "17 backendRefs": ai_rules({"backendRefs": [{"name": f"b{number}"} for number in range(17)]}),
    "a cost of type CEL without an expression": ai_route(llmRequestCosts=[{"metadataKey": "k", "type": "CEL"}]),
    "an invalid header regex": ai_rules(
        {"matches": [{"headers": [{"name": "a", "value": "(", "type": "RegularExpression"}]}]}
    ),
    "an InferencePool": ai_rules(
        {"backendRefs": [{"name": "p", "group": "inference.networking.k8s.io", "kind": "InferencePool"}]}
    ),
    # HTTPRoute
    "a missing rules key": http_route(),
    "128 matches": http_route(
        rules=[{"matches": [{"path": {"value": f"/{rule}/{number}"}} for number in range(64)]} for rule in range(2)]
    ),
    "a path with a colon": http_route(
        rules=[{"matches": [{"path": {"type": "Exact", "value": "/v1/models/N:predict"}}]}]
    ),
    "retry, in the experimental channel": http_route(rules=[{"retry": {"codes": [503], "attempts": 2}}]),
    "sessionPersistence, in the experimental channel": http_route(rules=[{"sessionPersistence": {"sessionName": "s"}}]),
    # BackendTrafficPolicy: these must be caught before the write
    "targetRefs: []": traffic(targetRefs=[]),
    "type: Global without global": traffic(rateLimit={"type": "Global"}),
    "a limit of 0": limited("global", {"clientSelectors": [SELECTOR], "limit": {"requests": 0, "unit": "Hour"}}),
    "a Metadata cost without metadata": limited(
        "global", {"clientSelectors": [SELECTOR], "limit": LIMIT, "cost": {"response": {"from": "Metadata"}}}
    ),
    "an Exact header without a value": limited(
        "global", {"clientSelectors": [{"headers": [{"name": "x", "type": "Exact"}]}], "limit": LIMIT}
    ),
    "256 global rules": limited("global", *[{"clientSelectors": [SELECTOR], "limit": LIMIT}] * 256),
    "16 local rules": limited("local", *[{"clientSelectors": [SELECTOR], "limit": LIMIT}] * 16),
    # SecurityPolicy
    "credentialRefs: []": security(apiKeyAuth={"credentialRefs": [], "extractFrom": [{"headers": ["a"]}]}),
    "a policy with nothing but targets": security(),
    "an address with a prefix length": allowed_from("10.0.0.0/8"),
    # InferenceService: the schema only, KServe's webhooks check more
    "min over max replicas": an(KSERVE, "InferenceService", {"predictor": {"minReplicas": 5, "maxReplicas": 1}}),
    "predictor: {}": an(KSERVE, "InferenceService", {"predictor": {}}),
    "two model specs": an(
        KSERVE,
        "InferenceService",
        {
            "predictor": {
                "sklearn": {"storageUri": "s3://a"},
                "model": {"modelFormat": {"name": "x"}, "storageUri": "s3://b"},
            }
        },
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refuses(http: Http, case: str) -> None:
    body = copy.deepcopy(REFUSED[case])
    created = await http.post(path_of(body), body, dryRun="All", fieldValidation="Strict")
    assert created.status_code == 422, created.text
    applied = await http.apply(f"{path_of(body)}/case", body, dryRun="All", fieldValidation="Strict")
    assert applied.status_code == 422, applied.text
    causes = created.json()["details"]["causes"]
    assert causes
    assert all(one["field"] and one["message"] and one["reason"] for one in causes)


@pytest.mark.parametrize("case", ACCEPTED)
async def test_accepts(http: Http, case: str) -> None:
    body = copy.deepcopy(ACCEPTED[case])
    created = await http.post(path_of(body), body, dryRun="All", fieldValidation="Strict")
    assert created.status_code == 201, created.text
    applied = await http.apply(f"{path_of(body)}/case", body, dryRun="All", fieldValidation="Strict")
    assert applied.status_code == 201, applied.text


@pytest.mark.parametrize(
    ("case", "field", "message"),
    [
        ("sixteen rules", "spec.rules", "Too many: 16: must have at most 15 items"),
        ("no rules key", "spec.rules", "Required value"),
        (
            "an HTTPRoute with no rules in a list",
            "spec.rules",
            "Invalid value: 0: spec.rules in body should have at least 1 items",
        ),
        ("one header twice in a match", "spec.rules[0].matches[0].headers[1]", 'Duplicate value: {"name":"a"}'),
        ("an unknown schema", "spec.schema.name", 'Unsupported value: "Spam": supported values: "OpenAI"'),
        (
            "a Service without a port",
            "spec.rules[0].backendRefs[0]",
            "Invalid value: Must have port for Service reference",
        ),
    ],
)
async def test_the_causes_are_those_of_a_real_server(http: Http, case: str, field: str, message: str) -> None:
    body = copy.deepcopy(REFUSED[case])
    causes = (await http.post(path_of(body), body, dryRun="All")).json()["details"]["causes"]
    assert any(one["field"] == field and one["message"].startswith(message) for one in causes), causes


async def test_a_blocking_error_keeps_rules_from_being_checked(http: Http) -> None:
    body = copy.deepcopy(REFUSED["no rules key"])
    causes = (await http.post(path_of(body), body, dryRun="All")).json()["details"]["causes"]
    assert causes[-1]["field"] == "<nil>"
    assert "some validation rules were not checked" in causes[-1]["message"]


async def test_defaults_show_up(http: Http) -> None:
    """Measured: ``priority: 0``, ``modelsOwnedBy``, the parent's group and kind, the match's type."""
    body = ai_route(parentRefs=[{"name": "gw"}])
    spec = (await http.apply(f"{path_of(body)}/case", body, dryRun="All", fieldValidation="Strict")).json()["spec"]
    rule = spec["rules"][0]
    assert spec["parentRefs"] == [PARENT]
    assert rule["backendRefs"][0]["priority"] == 0
    assert rule["backendRefs"][0]["weight"] == 1
    assert rule["modelsOwnedBy"] == "Envoy AI Gateway"
    assert rule["matches"][0]["headers"][0]["type"] == "Exact"


async def test_unknown_fields_are_pruned_unless_validation_is_strict(http: Http) -> None:
    body = ai_route(spam=1)
    for send in (
        lambda **query: http.post(path_of(body), body, dryRun="All", **query),
        lambda **query: http.apply(f"{path_of(body)}/case", body, dryRun="All", **query),
    ):
        strict = await send(fieldValidation="Strict")
        assert strict.status_code == 400
        assert 'unknown field "spec.spam"' in strict.json()["message"]
        warned = await send(fieldValidation="Warn")
        assert warned.headers["warning"] == '299 - "unknown field \\"spec.spam\\""'
        assert "spam" not in warned.json()["spec"]
        assert "warning" not in (await send(fieldValidation="Ignore")).headers


async def test_a_rule_about_a_change(http: Http) -> None:
    """``self == oldSelf`` of a GatewayClass."""
    path = "/apis/gateway.networking.k8s.io/v1/gatewayclasses"
    body = {
        "apiVersion": GATEWAY_API,
        "kind": "GatewayClass",
        "metadata": {"name": "c"},
        "spec": {"controllerName": "example.com/a"},
    }
    await http.post(path, body)
    changed = await http.patch(f"{path}/c", {"spec": {"controllerName": "example.com/b"}})
    assert changed.status_code == 422
    assert "immutable" in changed.json()["message"]
    assert (await http.patch(f"{path}/c", {"spec": {"description": "d"}})).status_code == 200
    await http.delete(f"{path}/c")


async def test_a_status_is_validated_too(http: Http) -> None:
    body = http_route()
    await http.post(path_of(body), body)
    bad = {"status": {"parents": [{"controllerName": "no domain", "parentRef": {"name": "gw"}, "conditions": []}]}}
    refused = await http.patch(f"{path_of(body)}/case/status", bad)
    assert refused.status_code == 422
    assert "controllerName" in refused.json()["message"]
    await http.delete(f"{path_of(body)}/case")


async def test_lists_have_the_semantics_of_the_schema(http: Http) -> None:
    def gateway(*names: str) -> Object:
        listeners = [{"name": name, "port": 8000 + ord(name), "protocol": "HTTP"} for name in names]
        return an(GATEWAY_API, "Gateway", {"gatewayClassName": "c", "listeners": listeners})

    path = path_of(gateway())
    await http.apply(f"{path}/case", gateway("a"), manager="one")
    both = await http.apply(f"{path}/case", gateway("b"), manager="two")
    assert [one["name"] for one in both.json()["spec"]["listeners"]] == ["a", "b"]
    await http.delete(f"{path}/case")


async def test_a_deprecated_version_warns(http: Http) -> None:
    body = {**ai_route(), "apiVersion": "aigateway.envoyproxy.io/v1alpha1"}
    answer = await http.post(path_of(body), body, dryRun="All")
    assert "aigateway.envoyproxy.io/v1alpha1 is deprecated" in answer.headers["warning"]


PRINTED: list[tuple[str, Callable[[], Object], list[str]]] = [
    ("httproutes", http_route, ["Name", "Hostnames", "Age"]),
    ("aigatewayroutes", ai_route, ["Name", "Status"]),
]


@pytest.mark.parametrize(("plural", "make", "columns"), PRINTED)
async def test_the_definitions_columns_are_printed(
    http: Http, plural: str, make: Callable[[], Object], columns: list[str]
) -> None:
    http.client.headers["Accept"] = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    content = (await http.get(path_of(make()))).json()
    del http.client.headers["Accept"]
    assert [one["name"] for one in content["columnDefinitions"]] == columns
