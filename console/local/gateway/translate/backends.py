"""From a backendRef to the addresses behind it: Services and Envoy Gateway's Backends.

A Service leads to the endpoints of its EndpointSlices. So does the DNS name of a Service
(``llama-predictor.acme.svc.cluster.local``): there is no cluster DNS here, and Envoy need not ask one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from console.local.gateway.snapshot import (
    CORE,
    ENVOY_GATEWAY,
    Key,
    Object,
    Reference,
    Snapshot,
    fields,
    generation_of,
    key_of,
    listed,
    namespace_of,
)
from console.local.gateway.translate.conditions import condition, sentence
from console.local.gateway.translate.reading import Node, Unfit, Unsupported, is_ip, is_port, spec_of

_SERVICE_NAME = re.compile(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.cluster\.local)?\.?")


class Unresolved(Exception):
    """A reference that leads nowhere: the reason of a ResolvedRefs condition, and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that Envoy connects to. ``hostname`` is what it is called where the Host is to be the backend's."""

    host: str
    port: int
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """What a backendRef leads to.

    key        the Service or Backend
    port       of the Service; 0 for a Backend
    endpoints  none where nothing is ready: such a destination answers 503, as a Service without pods does
    dns        whether the endpoints are names that Envoy has to resolve
    fallback   asked only where those that are none are out of order
    """

    key: Key
    port: int
    endpoints: tuple[Endpoint, ...] = ()
    dns: bool = False
    fallback: bool = False

    @property
    def label(self) -> str:
        """``service/acme/llama-predictor:80``: how its clusters are called."""
        port = f":{self.port}" if self.port else ""
        return f"{self.key.kind.lower()}/{self.key.place}{port}"


@dataclass(frozen=True, slots=True)
class BackendReference:
    """The object that a backendRef names; ``port`` None where it names none."""

    group: str
    kind: str
    namespace: str
    name: str
    port: int | None = None


def read_backend_reference(node: Node, namespace: str, *also: str) -> BackendReference:
    """A BackendObjectReference; ``also`` names the fields beside it that the caller reads."""
    node.only("group", "kind", "namespace", "name", "port", *also)
    return BackendReference(
        node.text("group", CORE),
        node.text("kind", "Service"),
        node.text("namespace", namespace),
        node.text("name"),
        node.maybe_number("port", least=1, most=65535),
    )


def resolve(ref: BackendReference, source: Reference, snapshot: Snapshot) -> Destination:
    """Where a reference leads.

    Raises:
        Unresolved: it leads nowhere, or nobody permits it.
    """
    if (ref.group, ref.kind) not in ((CORE, "Service"), (ENVOY_GATEWAY, "Backend")):
        raise Unresolved(
            "InvalidKind", f"backendRef {ref.group or 'core'}/{ref.kind}: only Service and Backend are supported"
        )
    if not snapshot.permits(source, Reference(ref.group, ref.kind, ref.namespace, ref.name)):
        raise Unresolved(
            "RefNotPermitted",
            f"Backend ref to {ref.kind} {ref.namespace}/{ref.name} not permitted by any ReferenceGrant.",
        )
    if ref.kind == "Service":
        return _service(ref.namespace, ref.name, ref.port, snapshot)
    return _backend(ref.namespace, ref.name, snapshot)


def _service(namespace: str, name: str, port: int | None, snapshot: Snapshot) -> Destination:
    found = snapshot.get("Service", namespace, name)
    if found is None:
        raise Unresolved("BackendNotFound", f"service {namespace}/{name} not found")
    if port is None:
        message = "A valid port number corresponding to a port on the Service must be specified"
        raise Unresolved("PortNotSpecified", message)
    spec = fields(found.get("spec"))
    if spec.get("type") == "ExternalName":
        message = (
            f"Service {namespace}/{name} is of type ExternalName, which is not supported as a backend; "
            "use an Envoy Gateway Backend resource with an FQDN endpoint instead"
        )
        raise Unresolved("UnsupportedValue", message)
    ports = [one for one in listed(spec.get("ports")) if one.get("port") == port]
    if not ports:
        raise Unresolved("PortNotFound", f"TCP Port {port} not found on Service {namespace}/{name}")
    hostname = f"{name}.{namespace}.svc.cluster.local"
    endpoints = _ready_endpoints(namespace, name, ports[0].get("name") or "", hostname, snapshot)
    return Destination(key_of(found), port, endpoints)


def _ready_endpoints(
    namespace: str, service: str, port_name: str, hostname: str, snapshot: Snapshot
) -> tuple[Endpoint, ...]:
    found: dict[Endpoint, None] = {}
    for one in snapshot.slices_of(namespace, service):
        numbers = [
            port["port"]
            for port in listed(one.get("ports"))
            if (port.get("name") or "") == port_name and is_port(port.get("port"))
        ]
        for endpoint in listed(one.get("endpoints")):
            # A condition that is absent means true (discovery/v1, EndpointConditions).
            if fields(endpoint.get("conditions")).get("ready") is False:
                continue
            for address in endpoint.get("addresses") or ():
                if isinstance(address, str) and is_ip(address):
                    found.update((Endpoint(address, number, hostname), None) for number in numbers)
    return tuple(sorted(found, key=lambda one: (one.host, one.port)))


def _backend(namespace: str, name: str, snapshot: Snapshot) -> Destination:
    found = snapshot.get("Backend", namespace, name)
    if found is None:
        raise Unresolved("BackendNotFound", f"Backend {namespace}/{name} not found")
    try:
        return read_backend(found, snapshot)
    except Unfit as problem:
        raise Unresolved("InvalidBackendRef", f"Backend {namespace}/{name} is invalid: {problem}") from None


def read_backend(one: Object, snapshot: Snapshot) -> Destination:
    """A Backend's endpoints (Envoy Gateway v1alpha1, "Backend"). Loopback is allowed: we are the host.

    Raises:
        Unfit: it cannot be honoured.
    """
    spec = spec_of(one)
    spec.only("type", "endpoints", "fallback")
    spec.choice("type", ("Endpoints",), "Endpoints")
    nodes = spec.nodes("endpoints")
    if not nodes:
        raise Unfit("spec.endpoints is empty")
    addresses: list[Endpoint] = []
    names: list[Endpoint] = []
    services: list[Endpoint] = []
    for node in nodes:
        node.only("ip", "fqdn", "hostname")
        hostname = node.hostname("hostname") if node.has("hostname") else None
        if node.has("ip") == node.has("fqdn"):
            raise Unfit(f"{node.path} needs one of ip and fqdn")
        if node.has("ip"):
            ip = node.node("ip")
            ip.only("address", "port")
            if not is_ip(ip.text("address")):
                raise Unfit(f"{ip.at('address')} {ip.text('address')!r} is not an address")
            addresses.append(Endpoint(ip.text("address"), ip.port("port"), hostname or ""))
            continue
        fqdn = node.node("fqdn")
        fqdn.only("hostname", "port")
        name, port = fqdn.hostname("hostname"), fqdn.port("port")
        service = _SERVICE_NAME.fullmatch(name)
        if service is None:
            names.append(Endpoint(name, port, hostname or name))
        else:
            services += _endpoints_by_dns_name(service[2], service[1], port, hostname or name, snapshot)
    if names and (addresses or services):
        raise Unsupported("spec.endpoints: names beside addresses or Services are not supported by the local gateway")
    endpoints = tuple(names or [*addresses, *services])
    return Destination(key_of(one), 0, endpoints, dns=bool(names), fallback=spec.flag("fallback", False))


def _endpoints_by_dns_name(
    namespace: str, service: str, port: int, hostname: str, snapshot: Snapshot
) -> tuple[Endpoint, ...]:
    """What cluster DNS would lead to: nothing where the Service is not there."""
    found = snapshot.get("Service", namespace, service)
    ports = [one for one in listed(fields(fields(found).get("spec")).get("ports")) if one.get("port") == port]
    if not ports:
        return ()
    return _ready_endpoints(namespace, service, ports[0].get("name") or "", hostname, snapshot)


def backend_status(one: Object, snapshot: Snapshot) -> dict[str, Any]:
    generation = generation_of(one)
    try:
        read_backend(one, snapshot)
    except Unfit as problem:
        return {"conditions": [condition("Accepted", False, "Invalid", sentence(str(problem)), generation)]}
    return {"conditions": [condition("Accepted", True, "Accepted", "The Backend was accepted", generation)]}


def source_of(one: Object, group: str) -> Reference:
    """An object as the referring end of a reference."""
    return Reference(group, one["kind"], namespace_of(one))
