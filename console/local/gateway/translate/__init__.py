"""From the objects of a cluster to the configuration of Envoy and the status of every object.

`translate` is a pure function: the same objects give the same result, byte for byte, so that a change is what differs.
It keeps one rule: nothing that is accepted is ignored. What cannot be honoured is refused by the name of its field, and
what it was to guard answers 500.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from console.local.gateway.snapshot import Key, Snapshot
from console.local.gateway.translate.ai import read_ai_kinds
from console.local.gateway.translate.attachment import Policies, attach
from console.local.gateway.translate.chain import listener, routes_name
from console.local.gateway.translate.client import ClientSettings, read_client_policy
from console.local.gateway.translate.clusters import Clusters
from console.local.gateway.translate.credentials import Credential, read_credential_policies
from console.local.gateway.translate.gateways import Gateways, read_gateways
from console.local.gateway.translate.global_limits import limiter_cluster
from console.local.gateway.translate.limits import Tier
from console.local.gateway.translate.reading import Unfit, readable
from console.local.gateway.translate.routing import read_routes, route_all, route_configuration
from console.local.gateway.translate.rules import Plan
from console.local.gateway.translate.security import STANDARD_GATE, Authorization, Gate, read_security_policy
from console.local.gateway.translate.settings import LIMITER_CLUSTER, Settings, system_ca_file
from console.local.gateway.translate.statuses import object_statuses
from console.local.gateway.translate.tls import read_tls_policies
from console.local.gateway.translate.traffic import Traffic, read_traffic_policy

__all__ = ["Generated", "Settings", "Translation", "generated_objects", "translate"]

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Translation:
    """What Envoy is to have, and what is true of every object once it has it.

    listeners, clusters, routes   by name
    tiers                         what the one configuration of the local_ratelimit filter has to hold
    credentials                   what is injected for upstreams; never shown
    statuses                      of every object that has one from us, without times
    ports                         the Gateway of each port
    """

    listeners: Mapping[str, Resource] = field(default_factory=dict)
    clusters: Mapping[str, Resource] = field(default_factory=dict)
    routes: Mapping[str, Resource] = field(default_factory=dict)
    tiers: frozenset[Tier] = frozenset()
    credentials: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    statuses: Mapping[Key, dict[str, Any]] = field(default_factory=dict)
    ports: Mapping[int, Key] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Generated:
    """The objects that AIGatewayRoutes ask for, and the sentence for each that cannot have any."""

    objects: tuple[dict[str, Any], ...]
    problems: Mapping[Key, str]


def generated_objects(snapshot: Snapshot) -> Generated:
    """The HTTPRoutes and HTTPRouteFilters that must exist; a controller writes them before it translates."""
    ai = read_ai_kinds(snapshot, read_credential_policies(snapshot))
    objects = [one for route in ai.routes.values() for one in (*route.filters, route.http_route)]
    return Generated(tuple(objects), ai.problems)


def translate(snapshot: Snapshot, settings: Settings) -> Translation:
    """The configuration and the statuses that belong to these objects."""
    gateways = read_gateways(snapshot, settings)
    routes = read_routes(snapshot, gateways)
    credentials = read_credential_policies(snapshot)
    ai = read_ai_kinds(snapshot, credentials)
    plan = Plan(
        snapshot,
        Clusters(settings),
        security=attach("SecurityPolicy", snapshot, gateways, routes, lambda one: _security(one, snapshot)),
        traffic=attach("BackendTrafficPolicy", snapshot, gateways, routes, lambda one: _traffic(one, settings)),
        clients=attach("ClientTrafficPolicy", snapshot, gateways, routes, _client, targets=("Gateway",)),
        tls=read_tls_policies(snapshot, settings.ca_file or system_ca_file()),
        key_table=settings.key_table is not None,
    )
    plan.finished = _finished_gates(plan)
    plan.gates = tuple(sorted(plan.finished.values()))
    clients = _client_settings(gateways, plan.clients)
    routing = route_all(routes, plan, ai, settings.controller_name)
    ports = {one.bound: one.gateway for one in gateways.served_listeners()}
    listeners = {f"port-{port}": listener(port, plan.gates, clients[port], settings) for port in sorted(ports)}
    route_names = {port: routes_name(port, plan.gates) for port in sorted(ports)}
    clusters = plan.clusters.resources
    if settings.limiter is not None:
        clusters[LIMITER_CLUSTER] = limiter_cluster(settings.limiter)
    return Translation(
        listeners,
        dict(sorted(clusters.items())),
        {name: route_configuration(name, port, gateways, routing) for port, name in route_names.items()},
        frozenset(plan.tiers),
        dict(sorted(plan.clusters.credentials.items())),
        object_statuses(snapshot, settings, gateways, routing, plan, ai, credentials),
        ports,
    )


def _finished_gates(plan: Plan) -> dict[Gate, Gate]:
    """Every gate that policies ask for, with whom it asks by itself: the one that the Gateway's own policy names."""
    found = {STANDARD_GATE: STANDARD_GATE}
    for scope, held in plan.security.holding.items():
        authorization = held.value
        if authorization is None:
            continue
        gate = authorization.gate
        there = found.setdefault(gate, gate)
        if scope.target.kind != "Gateway" or there.standing:
            continue
        try:
            tls = {plan.tls.of(one.key) for one in authorization.destinations}
        except Unfit:
            continue
        if len(tls) == 1:
            cluster = plan.clusters.add(authorization.destinations, tls=tls.pop())
            found[gate] = replace(gate, standing=json.dumps(authorization.service(cluster)))
    return found


def _security(one: Mapping[str, Any], snapshot: Snapshot) -> Authorization | None:
    with readable():
        return read_security_policy(one, snapshot)


def _traffic(one: Mapping[str, Any], settings: Settings) -> Traffic:
    with readable():
        return read_traffic_policy(one, limiter=settings.limiter is not None, alone=settings.alone)


def _client(one: Mapping[str, Any]) -> ClientSettings:
    with readable():
        return read_client_policy(one)


def _client_settings(gateways: Gateways, clients: Policies[ClientSettings]) -> dict[int, ClientSettings]:
    """The settings of each port. A policy for one of several listeners on a port would be one for all of them."""
    found: dict[int, ClientSettings] = {}
    nowhere = Key("HTTPRoute", "", "")
    for one in gateways.served_listeners():
        held = clients.at(nowhere, "", one)
        sharing = [other for other in gateways.served_listeners() if other.bound == one.bound and other is not one]
        if held is not None and held.value is not None and sharing:
            others = {clients.at(nowhere, "", other) for other in sharing}
            if any(other is None or other.policy != held.policy for other in others):
                clients.break_(held.policy, f"listener {one.name} shares port {one.port} with {sharing[0].name}")
                held = replace(held, value=None)
        found[one.bound] = (held.value if held else None) or ClientSettings()
    return found
