"""From a publication to the Kubernetes objects that serve it; pure, and in the order in which they are applied.

Shapes are those of Gateway API v1, Envoy Gateway v1alpha1 and Envoy AI Gateway v1beta1 (DESIGN.md §4). Policies come
before the route, so that a route is never open: they target it by name and wait for it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Any
from urllib.parse import quote

from console.config import GatewayLink
from console.k8s.types import LABEL_TENANT
from console.publishing import limits, native
from console.publishing.types import Backend, Publication, PublicationKind

Manifest = dict[str, Any]

LABEL_PUBLICATION = "modeldeck.dev/publication"
ANNOTATION_MODEL = "modeldeck.dev/model"
ANNOTATION_OPERATION = "modeldeck.dev/operation"
MODEL_HEADER = "x-ai-eg-model"
KEY_ID_HEADER = "key-id"
UPSTREAM_HEADERS = ("model", "endpoint-id", "model-id", "project-id", KEY_ID_HEADER, "tenant")
_NAME_LIMIT = 46
_GATEWAY_API = "gateway.networking.k8s.io"
_ENVOY_GATEWAY = "gateway.envoyproxy.io"
_AI_GATEWAY = "aigateway.envoyproxy.io"
_MAX_BODY_BYTES = 8 * 1024 * 1024


def object_name(public_name: str) -> str:
    """``pub-…``: a DNS label that no two public names share, and that KServe's own routes do not use."""
    slug = re.sub(r"[^a-z0-9]+", "-", public_name.lower()).strip("-")[:_NAME_LIMIT].strip("-")
    if slug == public_name:
        return f"pub-{slug}"
    return f"pub-{slug}-{hashlib.sha256(public_name.encode()).hexdigest()[:6]}"


def backend_name(publication: Publication, backend: Backend) -> str:
    """What all objects of one backend are called; it does not change while the publication lasts."""
    name = object_name(publication.name)
    return f"{name}-{backend.suffix}" if backend.suffix else name


def credential_of(publication: Publication, secret: Manifest) -> str | None:
    """The provider whose credential belongs into one of the publication's Secrets."""
    name = secret["metadata"]["name"]
    found = (one for one in publication.backends if backend_name(publication, one) == name)
    return next((one.origin.credential for one in found), None)


def manifests(publication: Publication, gateway: GatewayLink, *, header_prefix: str = "x-modeldeck") -> list[Manifest]:
    """Every object of a publication, in the order of application. The credential of a Secret is left empty."""
    writer = _Writer(publication, gateway, header_prefix)
    if publication.kind is PublicationKind.TRADITIONAL:
        return [*writer.policies(), writer.http_route()]
    return [
        *(one for backend in publication.backends for one in writer.credential(backend)),
        *(one for backend in publication.backends for one in writer.backend(backend)),
        *writer.policies(),
        writer.ai_route(),
    ]


def grant_for_authorizer(tenant: str, gateway: GatewayLink) -> Manifest:
    """Lets the tenant's SecurityPolicies name the ext_authz Service. Shared by the tenant's publications."""
    namespace, service, _ = authorizer_address(gateway)
    return {
        "apiVersion": f"{_GATEWAY_API}/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {
            "name": f"modeldeck-authz-from-{tenant}",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "modeldeck", LABEL_TENANT: tenant},
        },
        "spec": {
            "from": [{"group": _ENVOY_GATEWAY, "kind": "SecurityPolicy", "namespace": tenant}],
            "to": [{"group": "", "kind": "Service", "name": service}],
        },
    }


def authorizer_address(gateway: GatewayLink) -> tuple[str, str, int]:
    """Namespace, Service and port of ``namespace/name:port``."""
    namespace, _, rest = gateway.authorizer.partition("/")
    service, _, port = rest.partition(":")
    return namespace, service, int(port or 80)


class _Writer:
    def __init__(self, publication: Publication, gateway: GatewayLink, header_prefix: str) -> None:
        self._publication = publication
        self._gateway = gateway
        self._prefix = header_prefix
        self.name = object_name(publication.name)

    def _object(
        self, api_version: str, kind: str, spec: dict[str, Any] | None, name: str | None = None, **more: Any
    ) -> Manifest:
        manifest: Manifest = {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": name or self.name,
                "namespace": self._publication.tenant,
                "labels": {
                    "app.kubernetes.io/managed-by": "modeldeck",
                    LABEL_PUBLICATION: self._publication.id,
                    LABEL_TENANT: self._publication.tenant,
                },
                "annotations": {ANNOTATION_MODEL: self._publication.name},
            },
        }
        if spec is not None:
            manifest["spec"] = spec
        return manifest | more

    def credential(self, backend: Backend) -> list[Manifest]:
        if backend.origin.credential is None:
            return []
        name = backend_name(self._publication, backend)
        return [self._object("v1", "Secret", None, name, type="Opaque", data={"apiKey": ""})]

    def backend(self, backend: Backend) -> list[Manifest]:
        """Where it is, how it is spoken to, and what it is shown as the gateway's right to do so."""
        name, endpoint = backend_name(self._publication, backend), backend.origin.endpoint
        address = {"endpoints": [_address(endpoint.host, endpoint.port)]}
        objects = [self._object(f"{_ENVOY_GATEWAY}/v1alpha1", "Backend", address, name)]
        if endpoint.tls:
            tls = {
                "targetRefs": [{"group": _ENVOY_GATEWAY, "kind": "Backend", "name": name}],
                "validation": {"wellKnownCACertificates": "System", "hostname": endpoint.host},
            }
            objects.append(self._object(f"{_GATEWAY_API}/v1", "BackendTLSPolicy", tls, name))
        service = {
            "schema": {"name": "OpenAI", "prefix": endpoint.prefix},
            "backendRef": {"group": _ENVOY_GATEWAY, "kind": "Backend", "name": name},
        }
        objects.append(self._object(f"{_AI_GATEWAY}/v1beta1", "AIServiceBackend", service, name))
        if backend.origin.credential is not None:
            security = {
                "targetRefs": [{"group": _AI_GATEWAY, "kind": "AIServiceBackend", "name": name}],
                "type": "APIKey",
                "apiKey": {"secretRef": {"name": name}},
            }
            objects.append(self._object(f"{_AI_GATEWAY}/v1beta1", "BackendSecurityPolicy", security, name))
        return objects

    def policies(self) -> list[Manifest]:
        target = [{"group": _GATEWAY_API, "kind": "HTTPRoute", "name": self.name}]
        traffic = {"targetRefs": target, **limits.traffic(self._publication, self._gateway, self._prefix)}
        security = {"targetRefs": target, "extAuth": self._external_authorization()}
        access = self._object(f"{_ENVOY_GATEWAY}/v1alpha1", "SecurityPolicy", security)
        access["metadata"]["annotations"] |= native.marks(self._publication)
        return [self._object(f"{_ENVOY_GATEWAY}/v1alpha1", "BackendTrafficPolicy", traffic), access]

    def _external_authorization(self) -> dict[str, Any]:
        namespace, service, port = authorizer_address(self._gateway)
        path = "/authz"
        if self._publication.kind is PublicationKind.TRADITIONAL:
            # The body of a predict request names no model: the route itself stands for one.
            path = f"/authz/model/{quote(self._publication.name, safe='')}"
        external: dict[str, Any] = {
            "failOpen": False,
            # Envoy's default is 403, which no client tries again.
            "statusOnError": 503,
            "headersToExtAuth": ["authorization", "content-type", "x-forwarded-for", "x-request-id"],
            "http": {
                "backendRefs": [{"name": service, "namespace": namespace, "port": port}],
                "path": path,
                "headersToBackend": [f"{self._prefix}-{name}" for name in UPSTREAM_HEADERS],
            },
        }
        if self._gateway.authorizer_reads == "body":
            external["bodyToExtAuth"] = {"maxRequestBytes": _MAX_BODY_BYTES}
        else:
            external["headersToExtAuth"] += [MODEL_HEADER, "x-modeldeck-body"]
        return external

    def _parents(self) -> list[dict[str, Any]]:
        parent: dict[str, Any] = {"name": self._gateway.name, "namespace": self._gateway.namespace}
        if self._gateway.section is not None:
            parent["sectionName"] = self._gateway.section
        return [parent]

    def _route_spec(self, rules: list[dict[str, Any]]) -> dict[str, Any]:
        spec: dict[str, Any] = {"parentRefs": self._parents(), "rules": rules}
        if self._publication.hostnames:
            spec["hostnames"] = list(self._publication.hostnames)
        return spec

    def ai_route(self) -> Manifest:
        rule = {
            "name": "model",
            "matches": [{"headers": [{"type": "Exact", "name": MODEL_HEADER, "value": self._publication.name}]}],
            "backendRefs": [self._backend_ref(one) for one in self._publication.backends],
            "timeouts": {"request": f"{self._publication.limits.timeout_seconds}s"},
        }
        spec = self._route_spec([rule])
        spec["llmRequestCosts"] = limits.token_costs()
        return self._object(f"{_AI_GATEWAY}/v1beta1", "AIGatewayRoute", spec)

    def _backend_ref(self, backend: Backend) -> dict[str, Any]:
        # Group and kind are left out: the CRD refuses any that are written here (kubernetes-api.md).
        ref: dict[str, Any] = {"name": backend_name(self._publication, backend)}
        if backend.origin.served_as != self._publication.name:
            ref["modelNameOverride"] = backend.origin.served_as
        if backend.weight != 1:
            ref["weight"] = backend.weight
        if backend.priority:
            ref["priority"] = backend.priority
        return ref

    def http_route(self) -> Manifest:
        """KServe's paths below the tenant's own prefix (originals.md §4.1, requirement 1.6).

        ``NAME:predict`` is one path segment, so a prefix match on ``NAME`` would not catch it: it takes Exact.
        """
        origin = self._publication.origin
        served, public = origin.served_as, self._publication.name
        base = tenant_path(self._publication.tenant)
        backend = [{"kind": "Service", "name": origin.endpoint.host, "port": origin.endpoint.port}]
        timeouts = {"request": f"{self._publication.limits.timeout_seconds}s"}

        def rule(name: str, match: dict[str, Any], rewrite: dict[str, Any]) -> dict[str, Any]:
            rewriting = {"type": "URLRewrite", "urlRewrite": {"path": rewrite}}
            return {
                "name": name,
                "matches": [match],
                "filters": [rewriting],
                "backendRefs": backend,
                "timeouts": timeouts,
            }

        def exact(suffix: str, method: str) -> tuple[dict[str, Any], dict[str, Any]]:
            match = {"path": {"type": "Exact", "value": f"{base}/v1/models/{public}{suffix}"}, "method": method}
            return match, {"type": "ReplaceFullPath", "replaceFullPath": f"/v1/models/{served}{suffix}"}

        v2 = (
            {"path": {"type": "PathPrefix", "value": f"{base}/v2/models/{public}"}},
            {"type": "ReplacePrefixMatch", "replacePrefixMatch": f"/v2/models/{served}"},
        )
        rules = [
            rule("predict", *exact(":predict", "POST")),
            rule("explain", *exact(":explain", "POST")),
            rule("status", *exact("", "GET")),
            rule("v2", *v2),
        ]
        return self._object(f"{_GATEWAY_API}/v1", "HTTPRoute", self._route_spec(rules))


def public_host(publication: Publication) -> str | None:
    """The first hostname of a publication, a name that it stands for where it is a wildcard; None for any."""
    first = next(iter(publication.hostnames), None)
    return first.replace("*", "any", 1) if first is not None else None


def tenant_path(tenant: str) -> str:
    return f"/t/{tenant}"


def _address(host: str, port: int) -> dict[str, Any]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return {"fqdn": {"hostname": host, "port": port}}
    return {"ip": {"address": host, "port": port}}
