"""GatewayClass and Gateway: which listeners this machine opens, and what becomes of the others.

Gateway API v1, "Gateway" and "Listener". A port below 1024 is opened 10,000 higher, as Envoy Gateway does on a host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from console.local.gateway.snapshot import (
    GATEWAY_API,
    Key,
    Object,
    Snapshot,
    fields,
    generation_of,
    key_of,
)
from console.local.gateway.translate.conditions import Condition, condition, is_true, sentence
from console.local.gateway.translate.reading import Node, Unfit, selects, spec_of
from console.local.gateway.translate.settings import Settings

_FIRST_UNPRIVILEGED_PORT = 1024
_PRIVILEGED_PORT_SHIFT = 10_000
_ROUTE_KIND = {"group": GATEWAY_API, "kind": "HTTPRoute"}


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener of a Gateway.

    port      as the Gateway names it (what a parentRef's port means)
    bound     the port that is opened on this machine
    hostname  as the listener restricts it; ``*`` for any
    refusal   the conditions of one that is not served; empty for one that is
    """

    gateway: Key
    name: str
    port: int
    bound: int
    hostname: str
    kinds: tuple[dict[str, str], ...] = (_ROUTE_KIND,)
    namespaces: Node | None = None
    refusal: tuple[Condition, ...] = ()

    @property
    def served(self) -> bool:
        return not self.refusal

    def admits(self, namespace: str, snapshot: Snapshot) -> bool:
        """Whether a route of that namespace may attach (``allowedRoutes.namespaces``; by default: the same one)."""
        if not self.kinds:
            return False
        allowed = self.namespaces
        source = allowed.text("from", "Same") if allowed else "Same"
        if source == "All":
            return True
        if source == "Same" or allowed is None:
            return namespace == self.gateway.namespace
        return selects(allowed.node("selector"), snapshot.namespace_labels(namespace))


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Gateway of ours. ``refusal``: why nothing of it is served, where that is so."""

    object: Object
    listeners: tuple[Listener, ...]
    refusal: Condition | None = None

    @property
    def key(self) -> Key:
        return key_of(self.object)

    def listener(self, name: str) -> Listener | None:
        return next((one for one in self.listeners if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Gateways:
    """All Gateways of our classes, the oldest first, and the statuses of the classes."""

    by_key: dict[Key, Gateway] = field(default_factory=dict)
    class_statuses: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Gateway]:
        return iter(self.by_key.values())

    def served_listeners(self) -> list[Listener]:
        return [one for gateway in self.by_key.values() for one in gateway.listeners if one.served]


def read_gateways(snapshot: Snapshot, settings: Settings) -> Gateways:
    """Every Gateway whose class names our controller. A port belongs to the oldest Gateway that asks for it."""
    accepted: set[str] = set()
    statuses: dict[Key, dict[str, Any]] = {}
    for one in snapshot.all("GatewayClass"):
        if fields(one.get("spec")).get("controllerName") != settings.controller_name:
            continue
        statuses[key_of(one)] = _class_status(one)
        if is_true(statuses[key_of(one)]["conditions"], "Accepted"):
            accepted.add(one["metadata"]["name"])
    by_key: dict[Key, Gateway] = {}
    ports: dict[int, Key] = {}
    for one in snapshot.all("Gateway"):
        if str(fields(one.get("spec")).get("gatewayClassName")) in accepted:
            by_key[key_of(one)] = _read_gateway(one, ports)
    return Gateways(by_key, statuses)


def _class_status(one: Object) -> dict[str, Any]:
    generation = generation_of(one)
    try:
        spec_of(one).only("controllerName", "description")
    except Unfit as problem:
        said = condition("Accepted", False, "InvalidParameters", sentence(str(problem)), generation)
    else:
        said = condition("Accepted", True, "Accepted", "Valid GatewayClass", generation)
    return {"conditions": [said]}


def _read_gateway(one: Object, ports: dict[int, Key]) -> Gateway:
    generation = generation_of(one)
    spec = spec_of(one)
    reason = "UnsupportedAddress" if spec.has("addresses") else "InvalidParameters"
    try:
        spec.only("gatewayClassName", "listeners")
        nodes = spec.nodes("listeners")
        if not nodes:
            raise Unfit("spec.listeners is empty")
    except Unfit as problem:
        return Gateway(one, (), condition("Accepted", False, reason, sentence(str(problem)), generation))
    listeners: list[Listener] = []
    for node in nodes:
        try:
            listener = _read_listener(key_of(one), node, generation)
        except Unfit as problem:
            name = node.raw("name")
            listener = _refused(key_of(one), str(name), "Accepted", "UnsupportedValue", str(problem), generation)
        listeners.append(_without_conflict(listener, listeners, ports, generation))
    return Gateway(one, tuple(listeners))


def _read_listener(gateway: Key, node: Node, generation: int) -> Listener:
    name = node.text("name")
    protocol = node.text("protocol")
    if protocol != "HTTP":
        message = f"Protocol {protocol} is unsupported by the local gateway, must be HTTP"
        return _refused(gateway, name, "Accepted", "UnsupportedProtocol", message, generation)
    node.only("name", "hostname", "port", "protocol", "allowedRoutes")
    port = node.port("port")
    bound = port if port >= _FIRST_UNPRIVILEGED_PORT else port + _PRIVILEGED_PORT_SHIFT
    routes = node.node("allowedRoutes")
    routes.only("namespaces", "kinds")
    namespaces = routes.node("namespaces")
    namespaces.only("from", "selector")
    if namespaces.choice("from", ("All", "Same", "Selector"), "Same") == "Selector":
        if not namespaces.has("selector"):
            raise Unfit(f"{namespaces.at('selector')} is missing, and {namespaces.at('from')} is Selector")
        selects(namespaces.node("selector"), {})
    listener = Listener(
        gateway,
        name,
        port,
        bound,
        node.hostname("hostname", wildcard=True) if node.has("hostname") else "*",
        namespaces=namespaces,
    )
    if not _only_http_routes(routes):
        message = f"{routes.at('kinds')}: only HTTPRoute is supported by the local gateway"
        return _refused(gateway, name, "ResolvedRefs", "InvalidRouteKinds", message, generation, like=listener)
    return listener


def _only_http_routes(routes: Node) -> bool:
    return all(
        (one.raw("kind"), one.raw("group") or GATEWAY_API) == ("HTTPRoute", GATEWAY_API)
        for one in routes.nodes("kinds")
    )


def _without_conflict(listener: Listener, earlier: list[Listener], ports: dict[int, Key], generation: int) -> Listener:
    """The listener, refused where another one was there first with its port and hostname, or with its port."""
    if not listener.served:
        return listener
    same = [one for one in earlier if one.served and one.bound == listener.bound and one.hostname == listener.hostname]
    if same:
        message = f"All listeners for a given port must use a unique hostname; {same[0].name} has this one"
        conflicted = condition("Conflicted", True, "HostnameConflict", sentence(message), generation)
        refused = _refused(
            listener.gateway, listener.name, "Accepted", "HostnameConflict", message, generation, like=listener
        )
        return _with_refusal(refused, (conflicted, *refused.refusal))
    owner = ports.setdefault(listener.bound, listener.gateway)
    if owner != listener.gateway:
        message = f"Port {listener.bound} of this machine is used by Gateway {owner.place}"
        return _refused(
            listener.gateway, listener.name, "Accepted", "PortUnavailable", message, generation, like=listener
        )
    return listener


def _refused(
    gateway: Key, name: str, kind: str, reason: str, message: str, generation: int, *, like: Listener | None = None
) -> Listener:
    said = condition(kind, False, reason, sentence(message), generation)
    not_programmed = condition(
        "Programmed", False, "Invalid", "Listener is invalid, see other Conditions for details.", generation
    )
    base = like or Listener(gateway, name, 0, 0, "*", kinds=())
    return _with_refusal(base, (said, not_programmed))


def _with_refusal(listener: Listener, refusal: tuple[Condition, ...]) -> Listener:
    misused = any(one["reason"] == "InvalidRouteKinds" for one in refusal)
    return replace(listener, kinds=() if misused else listener.kinds, refusal=refusal)


def gateway_status(gateway: Gateway, attached: dict[str, int], settings: Settings) -> dict[str, Any]:
    """The status of a Gateway as it is once Envoy has its listeners.

    Args:
        attached: how many routes each listener serves, by its name
    """
    generation = generation_of(gateway.object)
    if gateway.refusal is not None:
        not_programmed = condition(
            "Programmed", False, "Invalid", "Gateway is invalid, see other Conditions for details.", generation
        )
        return {"conditions": [gateway.refusal, not_programmed], "addresses": [], "listeners": []}
    bad = sorted(one.name for one in gateway.listeners if not one.served)
    good = [one for one in gateway.listeners if one.served]
    if good and not bad:
        accepted = condition("Accepted", True, "Accepted", "The Gateway has been scheduled by Modeldeck", generation)
    elif good:
        message = f"Listeners not valid: {', '.join(bad)}"
        accepted = condition("Accepted", True, "ListenersNotValid", message, generation)
    else:
        message = f"No listeners are valid: {', '.join(bad)}"
        accepted = condition("Accepted", False, "ListenersNotValid", message, generation)
    if good:
        message = "Address assigned to the Gateway, 1/1 envoy replicas available"
        programmed = condition("Programmed", True, "Programmed", message, generation)
    else:
        programmed = condition("Programmed", False, "Invalid", "No listener of the Gateway is valid.", generation)
    return {
        "addresses": [{"type": "IPAddress", "value": settings.address}] if good else [],
        "conditions": [accepted, programmed],
        "listeners": [
            {
                "name": one.name,
                "supportedKinds": [dict(kind) for kind in one.kinds],
                "attachedRoutes": attached.get(one.name, 0),
                "conditions": _listener_conditions(one, settings, generation),
            }
            for one in gateway.listeners
        ],
    }


def _listener_conditions(listener: Listener, settings: Settings, generation: int) -> list[Condition]:
    if not listener.served:
        found = list(listener.refusal)
        if not any(one["type"] == "ResolvedRefs" for one in found):
            message = "Listener references have been resolved"
            found.append(condition("ResolvedRefs", True, "ResolvedRefs", message, generation))
        return found
    where = f"Envoy listens on {settings.address}:{listener.bound}"
    return [
        condition("Programmed", True, "Programmed", where, generation),
        condition("Accepted", True, "Accepted", "Listener has been successfully translated", generation),
        condition("ResolvedRefs", True, "ResolvedRefs", "Listener references have been resolved", generation),
    ]
