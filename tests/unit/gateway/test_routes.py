"""HTTPRoutes: what is refused by which sentence, and what a rule with a problem answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.gateway.manifests import (
    ENVOY_GATEWAY,
    GATEWAY_API,
    http_route,
    manifest,
    rule,
    service,
)
from tests.unit.gateway.worlds import world

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"retry": {}}, "spec.rules[0].retry is not supported by the local gateway"),
    ({"sessionPersistence": {}}, "spec.rules[0].sessionPersistence is not supported"),
    ({"filters": [{"type": "RequestMirror"}]}, "spec.rules[0].filters[0].type RequestMirror is not supported"),
    ({"filters": [{"type": "ExternalAuth"}]}, "spec.rules[0].filters[0].type ExternalAuth is not supported"),
    ({"filters": [{"type": "CORS"}]}, "spec.rules[0].filters[0].type CORS is not supported"),
    ({"timeouts": {"request": "1.5s"}}, "spec.rules[0].timeouts.request '1.5s' is not a duration"),
    ({"timeouts": {"request": "1s", "backendRequest": "2s"}}, "backendRequest is longer than"),
    (
        {
            "filters": [
                {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "host", "value": "x"}]}}
            ]
        },
        "the header host cannot be changed",
    ),
    (
        {
            "filters": [
                {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "a\nb"}]}}
            ]
        },
        "set[0].value holds what cannot be in a header",
    ),
    (
        {
            "matches": [{"path": {"type": "Exact", "value": "/x"}}],
            "filters": [
                {
                    "type": "URLRewrite",
                    "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/y"}},
                }
            ],
        },
        "needs a match of type PathPrefix",
    ),
    (
        {"filters": [{"type": "URLRewrite", "urlRewrite": {}}, {"type": "RequestRedirect", "requestRedirect": {}}]},
        "URLRewrite and RequestRedirect exclude each other",
    ),
    (
        {
            "filters": [
                {
                    "type": "ExtensionRef",
                    "extensionRef": {"group": ENVOY_GATEWAY, "kind": "HTTPRouteFilter", "name": "f"},
                }
            ]
        },
        "HTTPRouteFilter ns/f not found",
    ),
]


@pytest.mark.parametrize(("fields", "sentence"), REFUSED)
def test_what_is_not_supported_is_named_and_answers_500(fields: dict[str, Any], sentence: str) -> None:
    made = world(http_route("ns", "r", rule("/", "a") | fields))
    status, reason, message = made.said("HTTPRoute", "r")
    assert (status, reason) == ("False", "UnsupportedValue")
    assert sentence in message
    assert made.answers() == [500]


@pytest.mark.parametrize(
    "match",
    [
        {"path": {"value": "x"}},
        {"path": {"value": "/a//b"}},
        {"path": {"value": "/a?b"}},
        {"path": {"value": "/a/../b"}},
        {"path": {"type": "RegularExpression", "value": "a(b"}},
        {"path": {"type": "Glob", "value": "/x"}},
        {"headers": [{"name": "a b", "value": "x"}]},
        {"method": "FETCH"},
        {"nonsense": 1},
    ],
)
def test_a_rule_whose_matches_cannot_be_read_is_dropped_and_the_others_stay(match: dict[str, Any]) -> None:
    made = world(http_route("ns", "r", rule("/", "a") | {"matches": [match]}, rule("/ok", "a")))
    assert [route["name"] for route in made.routes()] == ["ns/r/rule/1/match/0"]
    assert made.said("HTTPRoute", "r")[0] == "True"
    status, reason, message = made.said("HTTPRoute", "r", "PartiallyInvalid")
    assert (status, reason) == ("True", "UnsupportedValue")
    assert "rule 0" in message


BACKENDS: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "gone", "port": 80}, "BackendNotFound", "service ns/gone not found"),
    ({"name": "a"}, "PortNotSpecified", "valid port number"),
    ({"name": "a", "port": 81}, "PortNotFound", "TCP Port 81 not found on Service ns/a"),
    ({"name": "a", "port": 80, "kind": "Pod"}, "InvalidKind", "only Service and Backend are supported"),
    ({"name": "a", "port": 80, "namespace": "other"}, "RefNotPermitted", "not permitted by any ReferenceGrant"),
    ({"name": "ext", "port": 80}, "UnsupportedValue", "is of type ExternalName"),
    ({"name": "gone", "kind": "Backend", "group": ENVOY_GATEWAY}, "BackendNotFound", "Backend ns/gone not found"),
    ({"name": "tls", "kind": "Backend", "group": ENVOY_GATEWAY}, "InvalidBackendRef", "spec.tls is not supported"),
    ({"name": "unix", "kind": "Backend", "group": ENVOY_GATEWAY}, "InvalidBackendRef", "spec.endpoints[0].unix"),
    ({"name": "secured", "kind": "Backend", "group": ENVOY_GATEWAY}, "InvalidBackendTLS", "caCertificateRefs"),
]


@pytest.mark.parametrize(("ref", "reason", "sentence"), BACKENDS)
def test_a_backend_that_leads_nowhere_is_told_and_answers_500(ref: dict[str, Any], reason: str, sentence: str) -> None:
    external = manifest(
        "v1", "Service", "ns", "ext", {"type": "ExternalName", "externalName": "x", "ports": [{"port": 80}]}
    )
    ip = {"address": "127.0.0.1", "port": 1}
    backends = [
        manifest(f"{ENVOY_GATEWAY}/v1alpha1", "Backend", "ns", name, spec)
        for name, spec in {
            "tls": {"endpoints": [{"ip": ip}], "tls": {}},
            "unix": {"endpoints": [{"unix": {"path": "/x"}}]},
            "secured": {"endpoints": [{"ip": ip}]},
        }.items()
    ]
    refs = [{"group": ENVOY_GATEWAY, "kind": "Backend", "name": "secured"}]
    policy = manifest(
        f"{GATEWAY_API}/v1",
        "BackendTLSPolicy",
        "ns",
        "p",
        {"targetRefs": refs, "validation": {"caCertificateRefs": [], "hostname": "x"}},
    )
    made = world(external, *backends, policy, http_route("ns", "r", {"backendRefs": [ref]}))
    status, why, message = made.said("HTTPRoute", "r", "ResolvedRefs")
    assert (status, why) == ("False", reason)
    assert sentence in message
    assert made.said("HTTPRoute", "r")[0] == "True"
    assert made.answers() == [500]


def test_a_rule_without_backends_answers_500() -> None:
    assert world(http_route("ns", "r", {"matches": [{"path": {"value": "/"}}]})).answers() == [500]
    assert world(http_route("ns", "r", rule("/", ("a", 0)))).answers() == [500]


def test_the_name_of_a_service_leads_to_its_endpoints() -> None:
    """There is no cluster DNS on this machine; nobody is asked for it."""
    endpoints = [{"fqdn": {"hostname": "a.ns.svc.cluster.local", "port": 80}}]
    backend = manifest(f"{ENVOY_GATEWAY}/v1alpha1", "Backend", "ns", "b", {"endpoints": endpoints})
    ref = {"group": ENVOY_GATEWAY, "kind": "Backend", "name": "b"}
    made = world(backend, http_route("ns", "r", {"backendRefs": [ref]}))
    cluster = made.translation.clusters["backend/ns/b"]
    assert cluster["type"] == "STATIC"
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 1001}
    assert endpoint["hostname"] == "a.ns.svc.cluster.local"
    assert made.said("Backend", "b")[0] == "True"


def test_a_name_outside_is_resolved_and_spoken_to_over_tls() -> None:
    endpoints = [{"fqdn": {"hostname": "api.example.com", "port": 443}}]
    backend = manifest(f"{ENVOY_GATEWAY}/v1alpha1", "Backend", "ns", "b", {"endpoints": endpoints})
    refs = [{"group": ENVOY_GATEWAY, "kind": "Backend", "name": "b"}]
    validation = {"wellKnownCACertificates": "System", "hostname": "api.example.com"}
    policy = manifest(
        f"{GATEWAY_API}/v1", "BackendTLSPolicy", "ns", "p", {"targetRefs": refs, "validation": validation}
    )
    made = world(backend, policy, http_route("ns", "r", {"backendRefs": refs}))
    (cluster,) = made.translation.clusters.values()
    assert cluster["type"] == "STRICT_DNS"
    tls = cluster["transport_socket"]["typed_config"]
    assert tls["sni"] == "api.example.com"
    names = tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert names == [{"san_type": "DNS", "matcher": {"exact": "api.example.com"}}]
    assert made.said("BackendTLSPolicy", "p")[0] == "True"


def test_endpoints_move_without_a_change_of_routes() -> None:
    route = http_route("ns", "r", rule("/", "b"))
    one, other = [world(*service("ns", "b", port), route).translation for port in (1, 2)]
    assert one.routes == other.routes
    assert one.clusters.keys() == other.clusters.keys()
    assert one.clusters != other.clusters


def test_what_is_not_ready_is_not_called() -> None:
    made = service("ns", "b", 1, 2)
    made[1]["endpoints"][0]["conditions"] = {"ready": False}
    del made[2]["endpoints"][0]["conditions"]
    cluster = world(*made, http_route("ns", "r", rule("/", "b"))).translation.clusters["service/ns/b:80"]
    ports = [
        one["endpoint"]["address"]["socket_address"]["port_value"]
        for one in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    assert ports == [2]
