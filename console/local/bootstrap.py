"""What the local cluster holds from the start: a Gateway, the authorizer, two tenants, samples to publish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.k8s.types import LABEL_TENANT
from console.local.ports import LOOPBACK
from console.publishing.manifests import MODEL_HEADER, UPSTREAM_HEADERS

SYSTEM = "modeldeck-system"
GATEWAY = "modeldeck"
AUTHORIZER = "modeldeck-authz"
DEFAULT_UPSTREAM = "sample-default"
TENANTS = ("acme", "globex")
# Two of KServe's services to publish: one that speaks OpenAI's API, one that predicts.
INFERENCE_SERVICES = (("acme", "llama-local", "huggingface"), ("globex", "iris", "sklearn"))
UPSTREAM_ANNOTATION = "local.modeldeck.dev/upstream"
_GATEWAY_API = "gateway.networking.k8s.io"
_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"

Manifest = dict[str, Any]


def manifests(*, gateway_port: int, authorizer_port: int, upstreams: Mapping[str, int]) -> list[Manifest]:
    """Every object, in the order of application.

    Args:
        upstreams: loopback ports by name: `DEFAULT_UPSTREAM`, and one for each of `INFERENCE_SERVICES`
    """
    return [
        *(_namespace(name) for name in (SYSTEM, *TENANTS)),
        _object(f"{_GATEWAY_API}/v1", "GatewayClass", GATEWAY, None, {"controllerName": _CONTROLLER}),
        _gateway(gateway_port),
        *_service(AUTHORIZER, authorizer_port),
        *_service(DEFAULT_UPSTREAM, upstreams[DEFAULT_UPSTREAM]),
        _everything_is_checked(),
        _large_requests_are_taken(),
        _route("modeldeck-models", {"type": "Exact", "value": "/v1/models"}, AUTHORIZER),
        _route("modeldeck-default", {"type": "PathPrefix", "value": "/"}, DEFAULT_UPSTREAM),
        *(_inference_service(*service, upstreams[service[1]]) for service in INFERENCE_SERVICES),
    ]


def _object(api_version: str, kind: str, name: str, namespace: str | None, spec: Mapping[str, Any] | None) -> Manifest:
    metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/managed-by": "modeldeck-local"}}
    if namespace is not None:
        metadata["namespace"] = namespace
    manifest: Manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    return manifest if spec is None else manifest | {"spec": dict(spec)}


def _namespace(name: str) -> Manifest:
    manifest = _object("v1", "Namespace", name, None, None)
    if name in TENANTS:
        manifest["metadata"]["labels"][LABEL_TENANT] = name
    return manifest


def _gateway(port: int) -> Manifest:
    listener = {"name": "http", "protocol": "HTTP", "port": port, "allowedRoutes": {"namespaces": {"from": "All"}}}
    spec = {"gatewayClassName": GATEWAY, "listeners": [listener]}
    return _object(f"{_GATEWAY_API}/v1", "Gateway", GATEWAY, SYSTEM, spec)


def _service(name: str, port: int) -> list[Manifest]:
    """A Service and the EndpointSlice that leads to a loopback port."""
    service = _object("v1", "Service", name, SYSTEM, {"ports": [{"name": "http", "port": 80, "targetPort": port}]})
    slice_ = _object("discovery.k8s.io/v1", "EndpointSlice", f"{name}-1", SYSTEM, None)
    slice_["metadata"]["labels"]["kubernetes.io/service-name"] = name
    slice_ |= {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [LOOPBACK], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }
    return [service, slice_]


def _everything_is_checked() -> Manifest:
    """The Gateway's own policy: a route without one of its own is never open."""
    spec = {
        "targetRefs": [{"group": _GATEWAY_API, "kind": "Gateway", "name": GATEWAY}],
        "extAuth": {
            "failOpen": False,
            "statusOnError": 503,
            "headersToExtAuth": ["authorization", "content-type", "x-forwarded-for", MODEL_HEADER, "x-modeldeck-body"],
            "http": {
                "backendRefs": [{"name": AUTHORIZER, "port": 80}],
                "path": "/authz",
                "headersToBackend": [f"x-modeldeck-{name}" for name in UPSTREAM_HEADERS],
            },
        },
    }
    return _object("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy", "modeldeck-access", SYSTEM, spec)


def _large_requests_are_taken() -> Manifest:
    """As much as the authorizer would read of one: Envoy Gateway's own default would refuse a long conversation."""
    spec = {
        "targetRefs": [{"group": _GATEWAY_API, "kind": "Gateway", "name": GATEWAY}],
        "connection": {"bufferLimit": "8Mi"},
    }
    return _object("gateway.envoyproxy.io/v1alpha1", "ClientTrafficPolicy", "modeldeck-requests", SYSTEM, spec)


def _route(name: str, path: Mapping[str, str], service: str) -> Manifest:
    spec = {
        "parentRefs": [{"name": GATEWAY}],
        "rules": [{"matches": [{"path": dict(path)}], "backendRefs": [{"name": service, "port": 80}]}],
    }
    return _object(f"{_GATEWAY_API}/v1", "HTTPRoute", name, SYSTEM, spec)


def _inference_service(namespace: str, name: str, model_format: str, port: int) -> Manifest:
    spec = {"predictor": {"model": {"modelFormat": {"name": model_format}, "storageUri": f"file:///samples/{name}"}}}
    manifest = _object("serving.kserve.io/v1beta1", "InferenceService", name, namespace, spec)
    manifest["metadata"]["annotations"] = {UPSTREAM_ANNOTATION: f"{LOOPBACK}:{port}"}
    return manifest
