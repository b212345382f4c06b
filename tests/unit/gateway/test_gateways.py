"""GatewayClass, Gateway and parents: what is served, under which hostnames, and what is said."""

from __future__ import annotations

from typing import Any

import pytest

from console.k8s.types import Object
from tests.unit.gateway.manifests import (
    SYSTEM,
    gateway,
    gateway_class,
    http_route,
    manifest,
    namespace,
    parent,
    rule,
)
from tests.unit.gateway.worlds import PORT, World, world


def listener(name: str, **more: Any) -> dict[str, Any]:
    everywhere = {"namespaces": {"from": "All"}}
    return {"name": name, "protocol": "HTTP", "port": PORT, "allowedRoutes": everywhere} | more


def with_listeners(*listeners: dict[str, Any]) -> Object:
    made = gateway(PORT)
    made["spec"]["listeners"] = list(listeners)
    return made


def of_listener(made: World, name: str, kind: str) -> tuple[str, str]:
    listeners = {one["name"]: one for one in made.status("Gateway", "gw", SYSTEM)["listeners"]}
    said = next(one for one in listeners[name]["conditions"] if one["type"] == kind)
    return said["status"], said["reason"]


def test_a_class_of_another_controller_is_not_ours() -> None:
    other = gateway_class()
    other["metadata"]["name"] = "other"
    other["spec"]["controllerName"] = "example.com/other"
    its = gateway(PORT + 1, "its")
    its["spec"]["gatewayClassName"] = "other"
    made = world(other, its)
    assert [key.name for key in made.translation.statuses if key.kind.startswith("Gateway")] == ["local", "gw"]
    assert list(made.translation.listeners) == [f"port-{PORT}"]


def test_parameters_of_a_class_are_refused_by_name() -> None:
    odd = gateway_class()
    odd["spec"]["parametersRef"] = {"group": "g", "kind": "EnvoyProxy", "name": "p"}
    odd["metadata"]["name"] = "odd"
    status, reason, message = world(odd).said("GatewayClass", "odd", place="")
    assert (status, reason) == ("False", "InvalidParameters")
    assert "spec.parametersRef" in message


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("addresses", [{"value": "10.0.0.1"}], "UnsupportedAddress"),
        ("infrastructure", {"labels": {}}, "InvalidParameters"),
        ("listeners", [], "InvalidParameters"),
    ],
)
def test_what_a_gateway_cannot_have_is_refused_by_name(field: str, value: object, reason: str) -> None:
    own = gateway(PORT)
    own["spec"][field] = value
    made = world(own_gateway=own)
    status, why, message = made.said("Gateway", "gw", place=SYSTEM)
    assert (status, why) == ("False", reason)
    assert f"spec.{field}" in message
    assert made.said("Gateway", "gw", "Programmed", SYSTEM)[0] == "False"
    assert not made.translation.listeners


def test_a_listener_that_is_not_http_is_refused_and_the_others_served() -> None:
    made = world(own_gateway=with_listeners(listener("http"), listener("https", protocol="HTTPS", port=PORT + 1)))
    assert of_listener(made, "https", "Accepted") == ("False", "UnsupportedProtocol")
    assert of_listener(made, "https", "Programmed") == ("False", "Invalid")
    assert of_listener(made, "http", "Programmed") == ("True", "Programmed")
    assert made.said("Gateway", "gw", place=SYSTEM)[:2] == ("True", "ListenersNotValid")
    assert made.said("Gateway", "gw", "Programmed", SYSTEM)[0] == "True"


def test_two_listeners_may_share_a_port_but_not_a_hostname() -> None:
    made = world(
        own_gateway=with_listeners(
            listener("one", hostname="a.test"), listener("two", hostname="a.test"), listener("three", hostname="b.test")
        )
    )
    assert of_listener(made, "one", "Accepted")[0] == "True"
    assert of_listener(made, "two", "Accepted") == ("False", "HostnameConflict")
    assert of_listener(made, "two", "Conflicted") == ("True", "HostnameConflict")
    assert of_listener(made, "three", "Accepted")[0] == "True"
    assert set(made.hosts()) == {"a.test", "b.test"}


def test_a_port_belongs_to_the_older_gateway() -> None:
    made = world(gateway(PORT, "second"))
    status, reason, message = made.said("Gateway", "second", place=SYSTEM)
    assert (status, reason) == ("False", "ListenersNotValid")
    said = made.status("Gateway", "second", SYSTEM)["listeners"][0]["conditions"]
    assert any(one["reason"] == "PortUnavailable" and f"{SYSTEM}/gw" in one["message"] for one in said), message


def test_kinds_that_are_no_http_route_are_refused() -> None:
    routes = {"kinds": [{"kind": "GRPCRoute"}]}
    made = world(own_gateway=with_listeners(listener("http", allowedRoutes=routes)))
    assert of_listener(made, "http", "ResolvedRefs") == ("False", "InvalidRouteKinds")
    assert made.status("Gateway", "gw", SYSTEM)["listeners"][0]["supportedKinds"] == []


ISOLATED = [
    # hostname of a route on the wide listener → whether it is served there
    ("x.wide.test", True),
    ("only.wide.test", False),
    ("*.wide.test", True),
    ("wide.test", False),
    ("other.test", False),
]


@pytest.mark.parametrize(("hostname", "served"), ISOLATED)
def test_a_request_belongs_to_the_most_specific_listener(hostname: str, served: bool) -> None:
    route = http_route("ns", "r", rule("/", "a"), hostnames=[hostname])
    route["spec"]["parentRefs"][0]["sectionName"] = "wide"
    made = world(
        route,
        own_gateway=with_listeners(
            listener("wide", hostname="*.wide.test"), listener("narrow", hostname="only.wide.test")
        ),
    )
    assert bool(made.routes()) is served
    assert made.said("HTTPRoute", "r")[1] == ("Accepted" if served else "NoMatchingListenerHostname")
    # The narrow listener's name has a host of its own even without routes: nobody else answers for it.
    assert made.hosts()["only.wide.test"] == []


PARENTS: list[tuple[dict[str, Any], str]] = [
    ({}, "Accepted"),
    ({"sectionName": "http"}, "Accepted"),
    ({"port": PORT}, "Accepted"),
    ({"sectionName": "other"}, "NoMatchingParent"),
    ({"port": 1}, "NoMatchingParent"),
    ({"nonsense": 1}, "Accepted"),
]


@pytest.mark.parametrize(("more", "reason"), PARENTS)
def test_a_parent_names_a_listener_by_section_and_port(more: dict[str, Any], reason: str) -> None:
    route = http_route("ns", "r", rule("/", "a"))
    route["spec"]["parentRefs"] = [parent() | more]
    made = world(route)
    if "nonsense" in more:
        assert made.said("HTTPRoute", "r")[1:] == (
            "UnsupportedValue",
            "spec.parentRefs[0].nonsense is not supported by the local gateway",
        )
    else:
        assert made.said("HTTPRoute", "r")[1] == reason


@pytest.mark.parametrize(
    ("namespaces", "served"),
    [
        ({"from": "All"}, True),
        ({"from": "Same"}, False),
        (None, False),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "ns"}}}, True),
        ({"from": "Selector", "selector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}, False),
    ],
)
def test_a_listener_says_from_where_routes_may_come(namespaces: dict[str, Any] | None, served: bool) -> None:
    labelled = namespace("ns")
    labelled["metadata"]["labels"] = {"team": "x"}
    allowed = {} if namespaces is None else {"namespaces": namespaces}
    made = world(
        labelled,
        http_route("ns", "r", rule("/", "a")),
        own_gateway=with_listeners(listener("http", allowedRoutes=allowed)),
    )
    assert made.said("HTTPRoute", "r")[1] == ("Accepted" if served else "NotAllowedByListeners")
    assert bool(made.routes()) is served
    attached = made.status("Gateway", "gw", SYSTEM)["listeners"][0]["attachedRoutes"]
    assert attached == int(served)


def test_a_route_whose_gateway_is_not_ours_is_left_alone() -> None:
    made = world(
        manifest(
            "gateway.networking.k8s.io/v1", "HTTPRoute", "ns", "r", {"parentRefs": [{"name": "nobody"}], "rules": []}
        )
    )
    assert not [key for key in made.translation.statuses if key.kind == "HTTPRoute"]
