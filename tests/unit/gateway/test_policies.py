"""Policies: which one holds, what is said of the others, and that a broken one never opens what it was to guard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.k8s.types import Object
from console.local.gateway.translate.chain import for_other_gates, gate_names
from console.local.gateway.translate.security import STANDARD_GATE
from tests.unit.gateway.manifests import (
    ENVOY_GATEWAY,
    GATEWAY_API,
    SYSTEM,
    buffer_policy,
    gateway,
    http_route,
    manifest,
    rule,
    security_policy,
    service,
    target,
    traffic_policy,
)
from tests.unit.gateway.worlds import PORT, World, world


def timeout(name: str, on: dict[str, Any], seconds: int, place: str = "ns") -> Object:
    return traffic_policy(place, name, on, timeout={"http": {"requestTimeout": f"{seconds}s"}})


def timeouts(made: World) -> list[str | None]:
    return [route["route"].get("timeout") for route in made.routes()]


def test_rule_before_route_before_listener_before_gateway() -> None:
    route = http_route("ns", "r", rule("/a", "a", name="named"), rule("/b", "a"))
    of_rule = timeout("rule", target("HTTPRoute", "r", "named"), 1)
    of_route = timeout("route", target("HTTPRoute", "r"), 2)
    of_listener = timeout("listener", target("Gateway", "gw", "http"), 3, SYSTEM)
    of_gateway = timeout("gateway", target("Gateway", "gw"), 4, SYSTEM)
    everything = [of_rule, of_route, of_listener, of_gateway]
    for first, expected in enumerate([["1s", "2s"], ["2s", "2s"], ["3s", "3s"], ["4s", "4s"]]):
        assert timeouts(world(route, *everything[first:])) == expected


def test_the_routes_own_timeout_wins_over_a_policy() -> None:
    route = http_route("ns", "r", rule("/", "a", timeouts={"request": "9s"}))
    assert timeouts(world(route, timeout("t", target("HTTPRoute", "r"), 2))) == ["9s"]


def test_of_two_policies_on_one_target_the_older_holds() -> None:
    route = http_route("ns", "r", rule("/", "a"))
    made = world(
        route, timeout("z-first", target("HTTPRoute", "r"), 1), timeout("a-second", target("HTTPRoute", "r"), 2)
    )
    assert timeouts(made) == ["1s"]
    assert made.said("BackendTrafficPolicy", "z-first")[0] == "True"
    status, reason, message = made.said("BackendTrafficPolicy", "a-second")
    assert (status, reason) == ("False", "Conflicted")
    assert message == "Unable to target HTTPRoute r, another BackendTrafficPolicy has already attached to it"


def test_a_wider_policy_says_what_overrides_it() -> None:
    route = http_route("ns", "r", rule("/a", "a", name="named"))
    made = world(
        route,
        timeout("g", target("Gateway", "gw"), 1, SYSTEM),
        timeout("r", target("HTTPRoute", "r"), 2),
        timeout("n", target("HTTPRoute", "r", "named"), 3),
    )
    assert made.said("BackendTrafficPolicy", "g", "Overridden", SYSTEM)[2] == (
        "This policy is being overridden by other backendTrafficPolicies for these routes: [ns/r]"
    )
    assert made.said("BackendTrafficPolicy", "r", "Overridden")[2].endswith("for these route rules: [ns/r/named]")
    assert made.said("BackendTrafficPolicy", "g", place=SYSTEM)[0] == "True"


def test_the_ancestor_of_a_routes_policy_is_its_gateway() -> None:
    route = http_route("ns", "r", rule("/", "a"))
    route["spec"]["parentRefs"][0]["sectionName"] = "http"
    ancestors = world(route, timeout("t", target("HTTPRoute", "r"), 1)).status("BackendTrafficPolicy", "t")["ancestors"]
    assert [one["ancestorRef"] for one in ancestors] == [
        {"group": GATEWAY_API, "kind": "Gateway", "namespace": SYSTEM, "name": "gw", "sectionName": "http"}
    ]


@pytest.mark.parametrize(
    ("on", "place"), [(target("HTTPRoute", "r", "gone"), "ns"), (target("Gateway", "gw", "gone"), SYSTEM)]
)
def test_a_section_that_is_not_there_is_told(on: dict[str, Any], place: str) -> None:
    made = world(http_route("ns", "r", rule("/", "a")), timeout("t", on, 1, place))
    status, reason, message = made.said("BackendTrafficPolicy", "t", place=place)
    assert (status, reason) == ("False", "TargetNotFound")
    assert "No section name gone found" in message


def test_a_policy_that_waits_for_its_target_has_no_status_yet() -> None:
    made = world(timeout("t", target("HTTPRoute", "later"), 1))
    assert not [key for key in made.translation.statuses if key.kind == "BackendTrafficPolicy"]


def test_a_selector_targets_what_has_the_labels() -> None:
    labelled, other = http_route("ns", "r", rule("/", "a")), http_route("ns", "o", rule("/o", "a"))
    labelled["metadata"]["labels"] = {"team": "x"}
    policy = timeout("t", {}, 1)
    policy["spec"] |= {"targetSelectors": [{"kind": "HTTPRoute", "matchLabels": {"team": "x"}}]}
    del policy["spec"]["targetRefs"]
    made = world(labelled, other, policy)
    assert timeouts(made) == ["1s"]
    assert made.routes("ns/o")[0]["route"].get("timeout") is None


def test_no_more_than_sixteen_ancestors_are_told_of() -> None:
    gateways = [gateway(PORT + 1 + number, f"gw{number}") for number in range(18)]
    route = http_route("ns", "r", rule("/", "a"))
    route["spec"]["parentRefs"] += [
        {"group": GATEWAY_API, "kind": "Gateway", "name": f"gw{number}", "namespace": SYSTEM} for number in range(18)
    ]
    ancestors = world(*gateways, route, timeout("t", target("HTTPRoute", "r"), 1)).status("BackendTrafficPolicy", "t")
    assert len(ancestors["ancestors"]) == 16
    assert ancestors["ancestors"][-1]["conditions"][-1]["type"] == "Aggregated"


# --- refusals ------------------------------------------------------------------------------------------------------

SECURITY_FIELDS = ["apiKeyAuth", "authorization", "basicAuth", "cors", "csrf", "jwt", "oidc", "mergeType"]
EXT_AUTH_FIELDS = ["grpc", "contextExtensions", "includeRouteMetadata", "nonsense"]
TRAFFIC_FIELDS = [
    "loadBalancer",
    "faultInjection",
    "responseOverride",
    "http2",
    "compression",
    "mergeType",
]


@pytest.mark.parametrize("field", SECURITY_FIELDS)
def test_security_that_is_not_supported_closes_the_route_and_names_the_field(field: str) -> None:
    policy = security_policy("ns", "s", target("HTTPRoute", "r"))
    policy["spec"][field] = {"x": 1}
    made = world(http_route("ns", "r", rule("/", "a")), policy)
    status, reason, message = made.said("SecurityPolicy", "s")
    assert (status, reason) == ("False", "Invalid")
    assert message == f"spec.{field} is not supported by the local gateway."
    assert made.answers() == [500]


@pytest.mark.parametrize("field", EXT_AUTH_FIELDS)
def test_parts_of_ext_auth_are_refused_by_name_too(field: str) -> None:
    policy = security_policy("ns", "s", target("HTTPRoute", "r"), **{field: {"x": 1}})
    made = world(http_route("ns", "r", rule("/", "a")), policy)
    assert f"spec.extAuth.{field} is not supported" in made.said("SecurityPolicy", "s")[2]
    assert made.answers() == [500]


@pytest.mark.parametrize("field", TRAFFIC_FIELDS)
def test_traffic_settings_that_are_not_supported_are_named(field: str) -> None:
    made = world(
        http_route("ns", "r", rule("/", "a")), traffic_policy("ns", "t", target("HTTPRoute", "r"), **{field: {}})
    )
    assert made.said("BackendTrafficPolicy", "t")[2] == f"spec.{field} is not supported by the local gateway."
    assert made.answers() == [500]


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        ({}, "spec.healthCheck.passive is missing"),
        ({"active": {"timeout": "1s"}}, "spec.healthCheck.active is not supported by the local gateway"),
        ({"passive": {"alwaysEjectOneEndpoint": True}}, "spec.healthCheck.passive.alwaysEjectOneEndpoint is not"),
        ({"passive": {"interval": "0s"}}, "spec.healthCheck.passive.interval is zero"),
    ],
)
def test_a_health_check_that_cannot_be_made_is_named(check: dict[str, Any], sentence: str) -> None:
    policy = traffic_policy("ns", "t", target("HTTPRoute", "r"), healthCheck=check)
    made = world(http_route("ns", "r", rule("/", "a")), policy)
    assert sentence in made.said("BackendTrafficPolicy", "t")[2]
    assert made.answers() == [500]


@pytest.mark.parametrize(
    "limit",
    [
        {"global": {"rules": []}},
        {"type": "Global"},
        {"local": {"rules": []}},
        {"local": {"rules": [{"limit": {"requests": 0, "unit": "Minute"}}]}},
        {"local": {"rules": [{"limit": {"requests": 1, "unit": "Fortnight"}}]}},
        {"local": {"rules": [{"limit": {"requests": 1, "unit": "Hour"}}] * 2}},
        {"local": {"rules": [{"limit": {"requests": 1, "unit": "Hour"}, "cost": {}}]}},
        {"local": {"rules": [{"limit": {"requests": 1, "unit": "Hour"}, "shadowMode": True}]}},
        {"local": {"rules": [{"limit": {"requests": 1, "unit": "Hour"}, "clientSelectors": [{"sourceCIDR": {}}]}]}},
        {"local": {"rules": [{"limit": {"requests": 1, "unit": "Hour"}, "xRateLimitHeaders": "Off"}]}},
    ],
)
def test_limits_that_cannot_be_kept_close_the_route(limit: dict[str, Any]) -> None:
    made = world(
        http_route("ns", "r", rule("/", "a")), traffic_policy("ns", "t", target("HTTPRoute", "r"), rateLimit=limit)
    )
    status, reason, message = made.said("BackendTrafficPolicy", "t")
    assert (status, reason) == ("False", "Invalid")
    assert message.startswith("spec.rateLimit.")
    assert made.answers() == [500]


def test_a_client_policy_that_cannot_be_kept_closes_its_gateway() -> None:
    policy = buffer_policy(SYSTEM, "c", "1Mi")
    policy["spec"]["clientIPDetection"] = {"xForwardedFor": {"numTrustedHops": 1}}
    made = world(http_route("ns", "r", rule("/", "a")), policy)
    assert "spec.clientIPDetection is not supported" in made.said("ClientTrafficPolicy", "c", place=SYSTEM)[2]
    assert made.answers() == [500]


def test_a_buffer_is_a_ports_and_cannot_be_one_listeners() -> None:
    own = gateway(PORT)
    both = [dict(own["spec"]["listeners"][0], name=name, hostname=f"{name}.test") for name in ("one", "two")]
    own["spec"]["listeners"] = both
    policy = buffer_policy(SYSTEM, "c", "1Mi")
    policy["spec"]["targetRefs"][0]["sectionName"] = "one"
    made = world(policy, own_gateway=own)
    assert "shares port" in made.said("ClientTrafficPolicy", "c", place=SYSTEM)[2]
    alone = world(buffer_policy(SYSTEM, "c", "1Mi"), own_gateway=own)
    assert next(iter(alone.translation.listeners.values()))["per_connection_buffer_limit_bytes"] == 1024 * 1024


@pytest.mark.parametrize("problem", ["missing", "no-port", "wrong-port", "kind", "other-namespace", "weight"])
def test_an_authorizer_that_cannot_be_reached_closes_the_route(problem: str) -> None:
    ref: dict[str, Any] = {"name": "authz", "port": 80}
    ref |= {
        "missing": {"name": "gone"},
        "no-port": {"port": None},
        "wrong-port": {"port": 81},
        "kind": {"kind": "Pod"},
        "other-namespace": {"namespace": "elsewhere"},
        "weight": {"weight": 2},
    }[problem]
    policy = security_policy("ns", "s", target("HTTPRoute", "r"))
    policy["spec"]["extAuth"]["http"]["backendRefs"] = [ref]
    made = world(http_route("ns", "r", rule("/", "a")), *service("elsewhere", "authz", 1), policy)
    assert made.said("SecurityPolicy", "s")[0] == "False"
    assert made.answers() == [500]


def test_an_authorizer_elsewhere_needs_a_grant_for_the_policy() -> None:
    policy = security_policy("ns", "s", target("HTTPRoute", "r"))
    policy["spec"]["extAuth"]["http"]["backendRefs"] = [{"name": "authz", "namespace": "elsewhere", "port": 80}]
    spec = {
        "from": [{"group": ENVOY_GATEWAY, "kind": "SecurityPolicy", "namespace": "ns"}],
        "to": [{"group": "", "kind": "Service", "name": "authz"}],
    }
    grant = manifest(f"{GATEWAY_API}/v1beta1", "ReferenceGrant", "elsewhere", "g", spec)
    made = world(http_route("ns", "r", rule("/", "a")), *service("elsewhere", "authz", 1), policy, grant)
    assert made.said("SecurityPolicy", "s")[0] == "True"
    assert made.answers() == [0]


# --- gates ---------------------------------------------------------------------------------------------------------


def test_modeldecks_own_policies_need_no_filter_more() -> None:
    """A listener that gets a new filter drains its connections; publishing must not do that."""
    before = world(http_route("ns", "r", rule("/", "a"))).translation.listeners
    after = world(
        http_route("ns", "r", rule("/", "a")), security_policy("ns", "s", target("HTTPRoute", "r"))
    ).translation.listeners
    assert before == after
    assert gate_names(next(iter(after.values()))) == {STANDARD_GATE.name}


def test_every_route_names_every_gate() -> None:
    made = world(
        http_route("ns", "r", rule("/", "a"), {"matches": [{"path": {"value": "/none"}}]}),
        http_route("ns", "open", rule("/open", "a")),
        security_policy("ns", "s", target("HTTPRoute", "r"), headersToExtAuth=["x-one"]),
    )
    names = gate_names(next(iter(made.translation.listeners.values())))
    assert len(names) == 2
    for route in made.hosts()["*"]:
        assert set(route["typed_per_filter_config"]) == names
    for route in made.routes("ns/open"):
        assert all(told == {**told, "disabled": True} for told in route["typed_per_filter_config"].values())


def test_on_a_listener_without_its_gate_a_route_is_closed() -> None:
    made = world(
        http_route("ns", "r", rule("/", "a")),
        http_route("ns", "open", rule("/open", "a")),
        security_policy("ns", "s", target("HTTPRoute", "r"), headersToExtAuth=["x-one"]),
    )
    routes = next(iter(made.translation.routes.values()))
    old = for_other_gates(routes, "old", frozenset({STANDARD_GATE.name, "ext_authz.gone"}))
    by_name = {route["name"]: route for host in old["virtual_hosts"] for route in host["routes"]}
    assert by_name["ns/r/rule/0/match/0"]["direct_response"]["status"] == 503
    assert "route" in by_name["ns/open/rule/0/match/0"]
    for route in by_name.values():
        assert set(route["typed_per_filter_config"]) == {STANDARD_GATE.name, "ext_authz.gone"}
        assert all(told["disabled"] for told in route["typed_per_filter_config"].values())


def test_whom_the_gateways_own_policy_names_is_asked_by_the_gate_itself() -> None:
    """What a route says makes Envoy build a client for each request; a route that agrees with the gate says nothing."""
    made = world(
        http_route("ns", "r", rule("/", "a")),
        http_route("ns", "same", rule("/same", "a")),
        http_route("ns", "other", rule("/other", "a")),
        *service(SYSTEM, "authz", 1002),
        security_policy(SYSTEM, "all", target("Gateway", "gw")),
        security_policy("ns", "same", target("HTTPRoute", "same")),
        security_policy("ns", "other", target("HTTPRoute", "other")),
    )
    listener = next(iter(made.translation.listeners.values()))
    (name,) = gate_names(listener)
    assert name != STANDARD_GATE.name, "it asks somebody else: connections that are open are not to mistake it"
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    (asked,) = [one["typed_config"]["http_service"] for one in filters if one["name"] == name]
    assert asked["server_uri"]["cluster"] in made.translation.clusters
    (under,) = made.routes("ns/r/")
    assert under["typed_per_filter_config"][name]["check_settings"] == {}
    (other,) = made.routes("ns/other")
    said = other["typed_per_filter_config"][name]["check_settings"]["http_service"]
    assert said["server_uri"]["cluster"] != asked["server_uri"]["cluster"]


# --- keys that the gateway checks itself ---------------------------------------------------------------------------


def native(path: str = "/authz", **ext: Any) -> Object:
    policy = security_policy("ns", "s", target("HTTPRoute", "r"), **ext)
    policy["metadata"]["annotations"] = {"modeldeck.dev/access": "native"}
    policy["spec"]["extAuth"]["http"]["path"] = path
    return policy


@pytest.mark.parametrize(("path", "model"), [("/authz", None), ("/authz/model/a%2Fb", "a/b")])
def test_a_route_says_which_model_it_stands_for_where_the_gateway_checks_keys(path: str, model: str | None) -> None:
    made = world(http_route("ns", "r", rule("/", "a")), native(path), key_table=Path("/keys"))
    (route,) = made.routes()
    said = route["metadata"]["filter_metadata"]["extract"]["native"]
    assert said.get("model") == model
    assert ",x-modeldeck-key-id," in said["headers"]
    assert any("disabled" not in told for told in route["typed_per_filter_config"].values()), "the rest is asked about"


@pytest.mark.parametrize("problem", ["no-table", "another-path", "body", "another-word"])
def test_what_the_gateway_cannot_check_it_asks_about(problem: str) -> None:
    policy = native("/decide" if problem == "another-path" else "/authz")
    if problem == "body":
        policy["spec"]["extAuth"]["bodyToExtAuth"] = {"maxRequestBytes": 100}
    if problem == "another-word":
        policy["metadata"]["annotations"] = {"modeldeck.dev/access": "nativ"}
    table = {} if problem == "no-table" else {"key_table": Path("/keys")}
    (route,) = world(http_route("ns", "r", rule("/", "a")), policy, **table).routes()
    assert "metadata" not in route
    assert any("disabled" not in told for told in route["typed_per_filter_config"].values())
