"""Whether the Gateway takes a publication's route: listeners, hostnames, namespaces and certificates.

Gateway API v1, "Gateway" and "HTTPRoute". What a controller would say minutes later in a condition is said in the plan.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from console.config import GatewayLink
from console.k8s.cluster import Cluster
from console.k8s.errors import Forbidden
from console.k8s.types import GATEWAY, NAMESPACE, SECRET, Object, Ref
from console.outcome import Refusal
from console.publishing.types import Publication

_HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST = 253
_MOST_HOSTNAMES = 16
_PROTOCOLS = ("HTTP", "HTTPS")


async def check(cluster: Cluster, publication: Publication, link: GatewayLink) -> tuple[str, ...]:
    """What an operator should know of the way in.

    Raises:
        Refusal: GATEWAY_CONFIG_FAILED or INVALID_HOSTNAME: no listener would take the route under every hostname.
    """
    check_hostnames(publication.hostnames)
    gateway = await cluster.get(Ref(GATEWAY, link.name, link.namespace))
    place = f"Gateway {link.namespace}/{link.name}"
    if gateway is None:
        raise _refusal(f"there is no {place}", then="set gateway.name and gateway.namespace in the profile")
    listeners = _listeners(gateway, link, place)
    namespace = await cluster.get(Ref(NAMESPACE, publication.tenant, None)) or {}
    labels = namespace.get("metadata", {}).get("labels", {})
    admitting = [one for one in listeners if _admits(one, publication.tenant, link.namespace, labels)]
    if not admitting:
        raise _refusal(
            f"no listener of {place} takes routes of namespace {publication.tenant} ({_spelled(listeners)})",
            then="its allowedRoutes.namespaces must name it",
        )
    used: list[Mapping[str, Any]] = []
    for hostname in publication.hostnames or ("*",):
        fitting = [one for one in admitting if intersects(hostname, one.get("hostname") or "*")]
        if not fitting:
            raise Refusal(
                f"no listener of {place} listens at {hostname}: {_spelled(admitting)}; nothing was changed",
                code="INVALID_HOSTNAME",
                then="choose a hostname that one of them has, or add a listener",
            )
        used += [one for one in fitting if one not in used]
    return tuple([said for one in used for said in await _certificates(cluster, one, link.namespace)])


def check_hostnames(hostnames: Iterable[str]) -> None:
    """Whether these can be hostnames of a route.

    Raises:
        Refusal: INVALID_HOSTNAME.
    """
    hostnames = tuple(hostnames)
    for hostname in hostnames:
        if len(hostname) > _LONGEST or not _HOSTNAME.fullmatch(hostname) or _is_address(hostname):
            raise Refusal(
                f"{hostname[:80]!r} is not a hostname; nothing was changed",
                code="INVALID_HOSTNAME",
                then="lower-case labels with dots between, as in llm.example.com; the first may be *",
            )
    if len(set(hostnames)) != len(hostnames) or len(hostnames) > _MOST_HOSTNAMES:
        raise Refusal(
            f"{len(hostnames)} hostnames: {_MOST_HOSTNAMES} different ones are the most; nothing was changed",
            code="INVALID_HOSTNAME",
        )


def intersects(one: str, other: str) -> bool:
    """Whether some name is meant by both: ``*.a.b`` means ``x.a.b`` and ``x.y.a.b``; ``*`` means every name."""
    if "*" in (one, other) or one == other:
        return True
    wild, plain = (one, other) if one.startswith("*.") else (other, one)
    if not wild.startswith("*."):
        return False
    return plain.endswith(wild[1:]) or (plain.startswith("*.") and wild.endswith(plain[1:]))


def _listeners(gateway: Object, link: GatewayLink, place: str) -> list[Mapping[str, Any]]:
    every = gateway.get("spec", {}).get("listeners", [])
    if link.section is not None:
        every = [one for one in every if one.get("name") == link.section]
        if not every:
            raise _refusal(f"{place} has no listener {link.section}", then="set gateway.section in the profile")
    served = [one for one in every if one.get("protocol") in _PROTOCOLS]
    if not served:
        raise _refusal(f"{place} has no listener for HTTP or HTTPS")
    return served


def _admits(listener: Mapping[str, Any], tenant: str, gateway_namespace: str, labels: Mapping[str, str]) -> bool:
    routes = listener.get("allowedRoutes", {})
    kinds = routes.get("kinds") or [{"kind": "HTTPRoute"}]
    if all(one.get("kind") != "HTTPRoute" for one in kinds):
        return False
    namespaces = routes.get("namespaces", {})
    match namespaces.get("from", "Same"):
        case "All":
            return True
        case "Selector":
            return _selects(namespaces.get("selector", {}), labels)
        case "Same":
            return tenant == gateway_namespace
    return False


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A LabelSelector of apimachinery."""
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    for one in selector.get("matchExpressions", []):
        there, value, values = one["key"] in labels, labels.get(one["key"]), one.get("values", [])
        holds = {
            "In": there and value in values,
            "NotIn": not there or value not in values,
            "Exists": there,
            "DoesNotExist": not there,
        }
        if not holds.get(one["operator"], False):
            return False
    return True


async def _certificates(cluster: Cluster, listener: Mapping[str, Any], gateway_namespace: str) -> list[str]:
    """A warning for each certificate that may not be read.

    Raises:
        Refusal: an HTTPS listener has none, or its Secret is not there or not of TLS.
    """
    name, tls = listener.get("name"), listener.get("tls", {})
    if listener.get("protocol") != "HTTPS" or tls.get("mode", "Terminate") != "Terminate":
        return []
    references = tls.get("certificateRefs", [])
    if not references:
        raise _refusal(f"listener {name} is for HTTPS and names no certificate")
    warnings = []
    for one in references:
        ref = Ref(SECRET, one["name"], one.get("namespace", gateway_namespace))
        if one.get("kind", "Secret") != "Secret":
            continue
        try:
            secret = await cluster.get(ref)
        except Forbidden:
            warnings.append(f"whether listener {name} has its certificate is not known: {ref} may not be read")
            continue
        if secret is None:
            raise _refusal(f"the certificate of listener {name} is missing: there is no {ref}")
        if secret.get("type") != "kubernetes.io/tls" or not secret.get("data", {}).get("tls.crt"):
            raise _refusal(f"the certificate of listener {name} is none: {ref} is not of type kubernetes.io/tls")
    return warnings


def _spelled(listeners: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{one.get('name')} at {one.get('hostname') or '*'}" for one in listeners)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _refusal(message: str, *, then: str = "") -> Refusal:
    return Refusal(f"{message}; nothing was changed", code="GATEWAY_CONFIG_FAILED", then=then)
