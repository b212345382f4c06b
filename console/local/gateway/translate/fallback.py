"""Backends that stand in for one another: one Envoy cluster with a priority for each rank of them.

As Envoy Gateway makes it of ``priority`` and of a Backend's ``fallback``. A retry goes to the next priority; a backend
that a policy's passive health check has put aside is not asked for a while. What each backend needs for itself (TLS, a
credential, its name for the model, the place of its API) goes by the endpoint that a try was given: the cluster's own
filters run anew for every try, and `%UPSTREAM_METADATA%` tells them which backend that is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from console.local.gateway.translate.ai import AiBackend
from console.local.gateway.translate.backends import Destination
from console.local.gateway.translate.credentials import Credential
from console.local.gateway.translate.extraction import lua_filter, script
from console.local.gateway.translate.tls import UpstreamTls

_TYPE = "type.googleapis.com/envoy.extensions.filters.http."
_NAMESPACE = "modeldeck"
_HEADER = "x-modeldeck-backend"
_MATCH = "envoy.transport_socket_match"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A backend and its place: ``priority`` 0 is asked first, ``weight`` is its share among those of one priority."""

    destination: Destination
    weight: int
    priority: int
    tls: UpstreamTls | None
    ai: AiBackend

    @property
    def manner(self) -> list[Any]:
        """Everything but the endpoints, which move."""
        credential = self.ai.credential.name if self.ai.credential else None
        tls = [self.tls.hostname, self.tls.ca_file] if self.tls else None
        return [self.destination.label, self.weight, self.priority, tls, credential, self.ai.model, self.ai.prefix]


def cluster_name(backends: Sequence[Ranked], settings: Any) -> str:
    """After all that is in it and how it is spoken to."""
    text = json.dumps([[one.manner for one in backends], settings], sort_keys=True)
    labels = "+".join(one.destination.label for one in backends)
    return f"{labels}#{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def locality_endpoints(backends: Sequence[Ranked], lb_endpoint: Any) -> list[dict[str, Any]]:
    """envoy.config.endpoint.v3.LocalityLbEndpoints: one for each backend that has endpoints, priorities without a gap.

    A locality of its own gives each its weight; metadata says which it is.
    """
    there = [(number, one) for number, one in enumerate(backends) if one.destination.endpoints and one.weight]
    ranks = {priority: rank for rank, priority in enumerate(sorted({one.priority for _, one in there}))}
    found = []
    for number, one in there:
        known: dict[str, Any] = {_NAMESPACE: {"backend": str(number)}}
        if one.tls is not None:
            known[_MATCH] = {"backend": str(number)}
        metadata = {"metadata": {"filter_metadata": known}}
        found.append(
            {
                "locality": {"zone": str(number)},
                "priority": ranks[one.priority],
                "load_balancing_weight": one.weight,
                "lb_endpoints": [lb_endpoint(endpoint) | metadata for endpoint in one.destination.endpoints],
            }
        )
    return found


def transport_sockets(backends: Sequence[Ranked]) -> list[dict[str, Any]]:
    """envoy.config.cluster.v3.Cluster.TransportSocketMatch: TLS for those that have it, plain text for the others."""
    return [
        {
            "name": str(number),
            "match": {"backend": str(number)},
            "transport_socket": one.tls.transport_socket(),
        }
        for number, one in enumerate(backends)
        if one.tls is not None
    ]


def credentials_of(backends: Sequence[Ranked]) -> dict[str, Credential]:
    """By the header that each is put under until it is known which of them is needed."""
    found: dict[str, Credential] = {}
    for one in backends:
        if one.ai.credential is not None and one.ai.credential not in found.values():
            found[f"x-modeldeck-credential-{len(found)}"] = one.ai.credential
    return found


def filters(backends: Sequence[Ranked], source: Any) -> list[dict[str, Any]]:
    """The cluster's own filters; none where no backend needs anything for itself.

    Args:
        source: of a credential's name, where Envoy finds it
    """
    if not any(one.ai.model or one.ai.prefix or one.ai.credential for one in backends):
        return []
    credentials = credentials_of(backends)
    which = {"key": _HEADER, "value": f"%UPSTREAM_METADATA({_NAMESPACE}:backend)%"}
    mutation = {"append": {"header": which, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    mutations = {
        "@type": _TYPE + "header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": [mutation]},
    }
    code = f"{_tables(backends, credentials)}\n{script('model', 'fallback')}"
    return [
        {"name": "which_backend", "typed_config": mutations},
        *(one.filter(source(one.name), header) for header, one in credentials.items()),
        lua_filter("fallback", {"default_source_code": {"inline_string": code}}),
    ]


def _tables(backends: Sequence[Ranked], credentials: dict[str, Credential]) -> str:
    header_of = {one.name: header for header, one in credentials.items()}
    rows = []
    for number, one in enumerate(backends):
        fields = {
            "prefix": one.ai.prefix,
            "model": None if one.ai.model is None else json.dumps(one.ai.model, ensure_ascii=False),
            "credential": header_of[one.ai.credential.name] if one.ai.credential else None,
        }
        given = ", ".join(f"{name} = {_text(value)}" for name, value in fields.items() if value is not None)
        rows.append(f"  [{_text(str(number))}] = {{ {given} }},")
    lines = [
        "local backends = {",
        *rows,
        "}",
        f"local credentials = {{ {', '.join(_text(header) for header in credentials)} }}",
        f"local rewrites_path = {_truth(any(one.ai.prefix for one in backends))}",
        f"local rewrites_model = {_truth(any(one.ai.model for one in backends))}",
    ]
    return "\n".join(lines)


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _text(value: str) -> str:
    """A string of Lua's, byte by byte: nothing in a name can end it."""
    return '"' + "".join(f"\\{one:03d}" for one in value.encode()) + '"'
