"""SecurityPolicy: who is asked before a request goes on (Envoy Gateway v1alpha1, "ExtAuth"; Envoy, ext_authz filter).

Two parts make an authorization: the *gate*, which is one ext_authz filter in every listener, and what a route tells it
(whom to ask, under which path). Routes that ask in the same manner share a gate. Every route names every gate, to use
it or to leave it alone: a gate that a route does not name would ask a cluster that does not exist, and refuse.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from console.local.gateway.snapshot import ENVOY_GATEWAY, Object, Snapshot, annotations_of, namespace_of
from console.local.gateway.translate.attachment import TARGET_FIELDS
from console.local.gateway.translate.backends import (
    BackendReference,
    Destination,
    Unresolved,
    read_backend_reference,
    resolve,
    source_of,
)
from console.local.gateway.translate.native import ANNOTATION, NATIVE, native_metadata, unless_allowed
from console.local.gateway.translate.reading import Node, Unfit, Unsupported, envoy_duration, spec_of

GATE_PREFIX = "ext_authz."
BODY_HEADER = "x-modeldeck-body"
MODEL_HEADER = "x-ai-eg-model"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3."
_OWN_HEADERS = frozenset({MODEL_HEADER, BODY_HEADER, "x-request-id"})
"""What the gateway itself found out about a request: an authorizer always gets it."""
_DEFAULT_TIMEOUT_SECONDS = 10.0
_DEFAULT_STATUS_ON_ERROR = 403
_STATUSES = frozenset({*range(400, 418), 421, 422, 423, 424, 426, 428, 429, 431, *range(500, 509), 510, 511})
"""The errors of envoy.type.v3.StatusCode."""
_ASKS_NOBODY = {"server_uri": {"uri": "http://nobody", "cluster": "no-authorizer", "timeout": "1s"}}


@dataclass(frozen=True, slots=True, order=True)
class Gate:
    """What is common to all who are asked through one filter.

    headers    of the client's that an authorizer gets, beside host, method, path and Authorization
    fail_open  let a request through that nobody could decide on
    recompute  choose the route again after the authorizer has spoken
    status     the answer where nobody could decide
    standing   whom the filter asks where a route does not say: JSON of `Authorization.service`; empty for nobody. Of
               what a route says Envoy makes a client anew for each request, which costs half of what asking does
    """

    headers: tuple[str, ...]
    fail_open: bool = False
    recompute: bool = False
    status: int = _DEFAULT_STATUS_ON_ERROR
    standing: str = ""

    @property
    def name(self) -> str:
        """Stable for what it does, so that the filter's name says it all."""
        text = json.dumps([self.headers, self.fail_open, self.recompute, self.status, self.standing])
        return GATE_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:8]

    def filter(self) -> dict[str, Any]:
        """envoy.extensions.filters.http.ext_authz.v3.ExtAuthz."""
        return {
            "name": self.name,
            "typed_config": {
                "@type": _TYPE + "ExtAuthz",
                "transport_api_version": "V3",
                "stat_prefix": self.name.partition(".")[2],
                "failure_mode_allow": self.fail_open,
                "clear_route_cache": self.recompute,
                "filter_enabled_metadata": unless_allowed(),
                "status_on_error": {"code": self.status},
                "allowed_headers": _matchers(self.headers),
                "http_service": json.loads(self.standing) if self.standing else _ASKS_NOBODY,
            },
        }


STANDARD_GATE = Gate(
    tuple(sorted({"authorization", "content-type", "x-forwarded-for", "x-request-id"} | _OWN_HEADERS)), status=503
)
"""What Modeldeck's own policies ask for. Its filter is always there: a listener that gets a new filter drains."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a route tells its gate."""

    gate: Gate
    destinations: tuple[Destination, ...]
    authority: str
    path: str
    timeout: float
    headers_to_backend: tuple[str, ...]
    body_bytes: int | None
    native: bool = False

    def native_metadata(self) -> dict[str, Any] | None:
        """What a route says of the check by table; None where the policy does not ask for it, or it does not fit."""
        if not self.native or self.body_bytes is not None:
            return None
        return native_metadata(self.path, self.headers_to_backend)

    def service(self, cluster: str) -> dict[str, Any]:
        """envoy.extensions.filters.http.ext_authz.v3.HttpService."""
        service: dict[str, Any] = {
            # To ask twice does no harm, and a worker that was just replaced costs no request.
            "retry_policy": {"retry_on": "connect-failure,reset,refused-stream", "num_retries": 2},
            "server_uri": {
                "uri": f"http://{self.authority}",
                "cluster": cluster,
                "timeout": envoy_duration(self.timeout),
            },
        }
        if self.headers_to_backend:
            # Without a list, Envoy passes none of the authorizer's headers on; with one, exactly these.
            service["authorization_response"] = {"allowed_upstream_headers": _matchers(self.headers_to_backend)}
        if self.path:
            service["path_prefix"] = self.path
        return service

    def settings(self, cluster: str, standing: str) -> dict[str, Any]:
        """envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, at a gate that asks ``standing`` anyway."""
        service = self.service(cluster)
        check: dict[str, Any] = {} if json.dumps(service) == standing else {"http_service": service}
        if self.body_bytes is not None:
            check["with_request_body"] = {"max_request_bytes": self.body_bytes}
        return {"@type": _TYPE + "ExtAuthzPerRoute", "check_settings": check}


def leave_alone() -> dict[str, Any]:
    """What a route tells a gate that it does not use."""
    return {"@type": _TYPE + "ExtAuthzPerRoute", "disabled": True}


def _matchers(headers: Iterable[str]) -> dict[str, Any]:
    return {"patterns": [{"exact": name, "ignore_case": True} for name in headers]}


def read_security_policy(one: Object, snapshot: Snapshot) -> Authorization | None:
    """What a policy asks for; None where it names targets and nothing else.

    Raises:
        Unfit: it cannot be honoured; its routes must not be open.
    """
    spec = spec_of(one)
    spec.only(*TARGET_FIELDS, "extAuth")
    if not spec.has("extAuth"):
        return None
    node = spec.node("extAuth")
    node.only("http", "headersToExtAuth", "bodyToExtAuth", "failOpen", "timeout", "recomputeRoute", "statusOnError")
    if not node.has("http"):
        raise Unfit(f"{node.at('http')} is missing")
    http = node.node("http")
    http.only("backendRef", "backendRefs", "path", "headersToBackend")
    namespace = namespace_of(one)
    refs = [
        _reference(ref, namespace)
        for ref in ([http.node("backendRef")] if http.has("backendRef") else http.nodes("backendRefs"))
    ]
    if not refs:
        raise Unfit(f"{http.at('backendRefs')} is empty")
    body = node.node("bodyToExtAuth")
    body.only("maxRequestBytes")
    timeout = node.seconds("timeout")
    return Authorization(
        gate=Gate(
            tuple(sorted({_header(name, node) for name in node.texts("headersToExtAuth")} | _OWN_HEADERS)),
            node.flag("failOpen", False),
            node.flag("recomputeRoute", False),
            _status_on_error(node),
        ),
        destinations=tuple(_resolved(one, ref, snapshot) for ref in refs),
        authority=_authority(refs[0]),
        path=_path(http),
        timeout=_DEFAULT_TIMEOUT_SECONDS if timeout is None else timeout,
        headers_to_backend=tuple(dict.fromkeys(_header(name, http) for name in http.texts("headersToBackend"))),
        body_bytes=body.number("maxRequestBytes", least=1) if node.has("bodyToExtAuth") else None,
        native=annotations_of(one).get(ANNOTATION) == NATIVE,
    )


def _reference(node: Node, namespace: str) -> BackendReference:
    if node.number("weight", 1) != 1:
        raise Unsupported(f"{node.at('weight')} is not supported by the local gateway")
    return read_backend_reference(node, namespace, "weight")


def _status_on_error(node: Node) -> int:
    status = node.number("statusOnError", _DEFAULT_STATUS_ON_ERROR)
    if status not in _STATUSES:
        raise Unfit(f"{node.at('statusOnError')} {status} is not the status of an error")
    return status


def _header(name: str, node: Node) -> str:
    return Node({"name": name}, node.path).header_name()


def _path(http: Node) -> str:
    path = http.text("path", "")
    if path and not path.startswith("/"):
        raise Unfit(f"{http.at('path')} {path!r} does not begin with a slash")
    return path


def _authority(ref: BackendReference) -> str:
    """What the authorizer's Host header would be, as Envoy Gateway writes it; Envoy itself passes the client's on."""
    port = f":{ref.port}" if ref.port else ""
    return f"{ref.name}.{ref.namespace}{port}"


def _resolved(one: Object, ref: BackendReference, snapshot: Snapshot) -> Destination:
    try:
        return resolve(ref, source_of(one, ENVOY_GATEWAY), snapshot)
    except Unresolved as problem:
        raise Unfit(f"ExtAuth: {problem}") from None
