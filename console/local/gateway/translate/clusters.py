"""Destinations as Envoy clusters (envoy.config.cluster.v3.Cluster).

A cluster is named after what it leads to, and after the settings with which it is spoken to. Its endpoints are not in
the name: when they move, the cluster is updated in place and no route changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from console.local.gateway.translate import fallback
from console.local.gateway.translate.backends import Destination, Endpoint
from console.local.gateway.translate.credentials import Credential
from console.local.gateway.translate.fallback import Ranked
from console.local.gateway.translate.reading import is_ip
from console.local.gateway.translate.settings import Settings
from console.local.gateway.translate.tls import UpstreamTls
from console.local.gateway.translate.traffic import Traffic

_TYPE = "type.googleapis.com/envoy."
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CONNECT_TIMEOUT = "10s"
# Python's servers close an idle connection after five seconds; whoever sends a request at that moment gets a reset.
_IDLE_ON_THIS_MACHINE = "4s"

_MOST_RETRIES = 1024
"""At once, where no policy says: Envoy Gateway's default. Envoy's own is 3: then a backend that is gone costs whoever
comes fourth his request, whatever other backends there are."""


@dataclass(slots=True)
class Clusters:
    """The clusters that routes have asked for, by name."""

    settings: Settings
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    credentials: dict[str, Credential] = field(default_factory=dict)

    def add(
        self,
        destinations: tuple[Destination, ...],
        *,
        tls: UpstreamTls | None = None,
        credential: Credential | None = None,
        traffic: Traffic | None = None,
    ) -> str:
        """The name of the cluster that leads there in that manner."""
        dns = any(one.dns for one in destinations)
        manner = {
            "tls": [tls.hostname, tls.ca_file] if tls else None,
            "credential": credential.name if credential else None,
            "cluster": traffic.cluster if traffic else {},
            "connections": traffic.connections if traffic else {},
        }
        name = "+".join(one.label for one in destinations)
        if any(manner.values()):
            text = json.dumps(manner, sort_keys=True)
            name += "#" + hashlib.sha256(text.encode()).hexdigest()[:8]
        if name in self.resources:
            return name
        endpoints = [endpoint for one in destinations for endpoint in one.endpoints]
        filters = [credential.filter(self._source(credential.name))] if credential is not None else []
        cluster = self._cluster(
            name, [{"lb_endpoints": [_lb_endpoint(one) for one in endpoints]}], filters, traffic, dns
        )
        if tls is not None:
            cluster["transport_socket"] = tls.transport_socket()
        if credential is not None:
            self.credentials[credential.name] = credential
        self.resources[name] = cluster
        return name

    def add_ranked(self, backends: Sequence[Ranked], traffic: Traffic | None) -> str:
        """The name of the cluster of backends that stand in for one another."""
        name = fallback.cluster_name(backends, [traffic.cluster, traffic.connections] if traffic else [])
        if name in self.resources:
            return name
        endpoints = fallback.locality_endpoints(backends, _lb_endpoint)
        filters = fallback.filters(backends, self._source)
        dns = any(one.destination.dns for one in backends)
        cluster = self._cluster(name, endpoints, filters, traffic, dns)
        cluster["common_lb_config"] = {"locality_weighted_lb_config": {}}
        if sockets := fallback.transport_sockets(backends):
            cluster["transport_socket_matches"] = sockets
        self.credentials |= {one.name: one for one in fallback.credentials_of(backends).values()}
        self.resources[name] = cluster
        return name

    def _source(self, credential: str) -> dict[str, Any]:
        return self.settings.source(self.settings.secret_file(credential))

    def _cluster(
        self,
        name: str,
        endpoints: list[dict[str, Any]],
        filters: list[dict[str, Any]],
        traffic: Traffic | None,
        dns: bool,
    ) -> dict[str, Any]:
        cluster: dict[str, Any] = {
            "@type": _TYPE + "config.cluster.v3.Cluster",
            "name": name,
            "type": "STRICT_DNS" if dns else "STATIC",
            "connect_timeout": _CONNECT_TIMEOUT,
            "lb_policy": "LEAST_REQUEST",
            "load_assignment": {"cluster_name": name, "endpoints": endpoints},
            "typed_extension_protocol_options": {
                _HTTP_OPTIONS: self._http_options(filters, traffic, on_this_machine=not dns)
            },
        }
        if dns:
            cluster |= {"dns_lookup_family": "V4_PREFERRED", "respect_dns_ttl": True}
        if traffic is not None:
            cluster |= traffic.cluster
        breakers = cluster.get("circuit_breakers", {})
        (thresholds,) = breakers.get("thresholds", ({},))
        cluster["circuit_breakers"] = breakers | {"thresholds": [{"max_retries": _MOST_RETRIES, **thresholds}]}
        return cluster

    def _http_options(
        self, filters: list[dict[str, Any]], traffic: Traffic | None, *, on_this_machine: bool
    ) -> dict[str, Any]:
        """envoy.extensions.upstreams.http.v3.HttpProtocolOptions."""
        connections = {"idle_timeout": _IDLE_ON_THIS_MACHINE} if on_this_machine else {}
        connections |= traffic.connections if traffic else {}
        options: dict[str, Any] = {
            "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {}},
        }
        if connections:
            options["common_http_protocol_options"] = connections
        if filters:
            codec = {"@type": _TYPE + "extensions.filters.http.upstream_codec.v3.UpstreamCodec"}
            options["http_filters"] = [*filters, {"name": "upstream_codec", "typed_config": codec}]
        return options


def _lb_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    hostname = endpoint.hostname
    if not hostname:
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        hostname = f"{host}:{endpoint.port}" if is_ip(endpoint.host) else endpoint.host
    address = {"socket_address": {"address": endpoint.host, "port_value": endpoint.port}}
    return {"endpoint": {"address": address, "hostname": hostname}}
