"""Which listeners an HTTPRoute attaches to, and under which hostnames (Gateway API v1, "ParentReference")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from console.local.gateway.snapshot import GATEWAY_API, Key, Object, Snapshot, fields, listed, namespace_of
from console.local.gateway.translate.gateways import Gateway, Gateways, Listener
from console.local.gateway.translate.reading import Node, Unfit, checked_hostname, spec_of

Problem = tuple[str, str]
"""A condition's reason and message."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One listener that a route is served on, with the hostnames that both of them name."""

    listener: Listener
    hostnames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parent:
    """One parentRef to a Gateway of ours, as written, and what came of it."""

    ref: dict[str, Any]
    gateway: Gateway
    section: str | None
    attachments: tuple[Attachment, ...] = ()
    problem: Problem | None = None


def read_parents(route: Object, gateways: Gateways, snapshot: Snapshot) -> list[Parent]:
    """The parents that are ours, in the order of the route. What is not ours gets no status from us."""
    spec = fields(route.get("spec"))
    found = []
    for index, ref in enumerate(listed(spec.get("parentRefs"))):
        group, kind = ref.get("group") or GATEWAY_API, ref.get("kind") or "Gateway"
        namespace = ref.get("namespace") or namespace_of(route)
        gateway = gateways.by_key.get(Key("Gateway", str(namespace), str(ref.get("name"))))
        if gateway is not None and (group, kind) == (GATEWAY_API, "Gateway"):
            found.append(_attach(route, Node(ref, f"spec.parentRefs[{index}]"), gateway, snapshot))
    return found


def _attach(route: Object, node: Node, gateway: Gateway, snapshot: Snapshot) -> Parent:
    ref = {
        name: node.raw(name) for name in ("group", "kind", "namespace", "name", "sectionName", "port") if node.has(name)
    }
    section: str | None = None
    try:
        section = node.maybe_text("sectionName")
        node.only("group", "kind", "namespace", "name", "sectionName", "port")
        port = node.maybe_number("port", least=1, most=65535)
        hostnames = tuple(
            checked_hostname(name, "spec.hostnames", wildcard=True) for name in spec_of(route).texts("hostnames")
        )
    except Unfit as problem:
        return Parent(ref, gateway, section, problem=("UnsupportedValue", str(problem)))
    named = [one for one in gateway.listeners if section in (None, one.name) and port in (None, one.port)]
    if not named:
        return Parent(ref, gateway, section, problem=("NoMatchingParent", "No listeners match this parent ref"))
    served = [one for one in named if one.served]
    if not served:
        message = "There are no ready listeners for this parent ref"
        return Parent(ref, gateway, section, problem=("NoReadyListeners", message))
    admitting = [one for one in served if one.admits(namespace_of(route), snapshot)]
    if not admitting:
        message = "No listeners included by this parent ref allowed this attachment."
        return Parent(ref, gateway, section, problem=("NotAllowedByListeners", message))
    attachments = [Attachment(one, _shared_hostnames(one, hostnames, gateway)) for one in admitting]
    attachments = [one for one in attachments if one.hostnames]
    if not attachments:
        message = "There were no hostname intersections between the HTTPRoute and this parent ref's Listener(s)."
        return Parent(ref, gateway, section, problem=("NoMatchingListenerHostname", message))
    return Parent(ref, gateway, section, tuple(attachments))


def _shared_hostnames(listener: Listener, hostnames: tuple[str, ...], gateway: Gateway) -> tuple[str, ...]:
    """The hostnames that both name, but for those that a more specific listener on the same port answers for.

    Gateway API, "HTTPRoute hostnames" and "listener isolation": a request belongs to the most specific listener.
    """
    shared = [listener.hostname] if not hostnames else []
    for name in hostnames:
        both = _intersection(listener.hostname, name)
        if both is not None:
            shared.append(both)
    neighbours = [one for one in gateway.listeners if one.served and one.bound == listener.bound]
    return tuple(
        dict.fromkeys(
            name for name in shared if max(neighbours, key=lambda one: _closeness(one.hostname, name)) is listener
        )
    )


def _intersection(one: str, other: str) -> str | None:
    """The narrower of two hostnames that meet, else None. ``*.a.b`` covers every name below ``a.b``, not itself."""
    if _covers(one, other):
        return other
    return one if _covers(other, one) else None


def _covers(pattern: str, name: str) -> bool:
    if pattern in ("*", name):
        return True
    return pattern.startswith("*.") and name.removeprefix("*").endswith(pattern[1:]) and name != pattern[2:]


def _closeness(pattern: str, name: str) -> int:
    """How specifically a listener's hostname covers a name; -1 where it does not."""
    if not _covers(pattern, name):
        return -1
    return 0 if pattern == "*" else len(pattern) + (0 if pattern.startswith("*") else 1000)
