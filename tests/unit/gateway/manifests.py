"""The objects that the gateway's tests are made of, as `kubectl apply` would send them."""

from __future__ import annotations

from typing import Any

from console.k8s.types import Object
from console.local.ports import LOOPBACK

GATEWAY_API = "gateway.networking.k8s.io"
ENVOY_GATEWAY = "gateway.envoyproxy.io"
AI_GATEWAY = "aigateway.envoyproxy.io"
SYSTEM = "gateway-system"
UPSTREAM_HEADERS = [
    f"x-modeldeck-{name}" for name in ("model", "endpoint-id", "model-id", "project-id", "key-id", "tenant")
]
CONTRACT_HEADERS = [
    "authorization",
    "content-type",
    "x-forwarded-for",
    "x-request-id",
    "x-ai-eg-model",
    "x-modeldeck-body",
]


def manifest(
    api_version: str, kind: str, namespace: str | None, name: str, spec: Any = None, **metadata: Any
) -> Object:
    one: Object = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}}
    if namespace:
        one["metadata"]["namespace"] = namespace
    if spec is not None:
        one["spec"] = spec
    return one


def namespace(name: str) -> Object:
    return manifest("v1", "Namespace", None, name)


def gateway_class() -> Object:
    spec = {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"}
    return manifest(f"{GATEWAY_API}/v1", "GatewayClass", None, "local", spec)


def gateway(port: int, name: str = "gw", place: str = SYSTEM, **listener: Any) -> Object:
    only = {"name": "http", "protocol": "HTTP", "port": port, "allowedRoutes": {"namespaces": {"from": "All"}}}
    spec = {"gatewayClassName": "local", "listeners": [only | listener]}
    return manifest(f"{GATEWAY_API}/v1", "Gateway", place, name, spec)


def service(place: str, name: str, *ports: int) -> list[Object]:
    """A Service on port 80, and the slice that leads to loopback ports."""
    spec = {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    made = [manifest("v1", "Service", place, name, spec)]
    for index, port in enumerate(ports):
        labels = {"kubernetes.io/service-name": name}
        one = manifest("discovery.k8s.io/v1", "EndpointSlice", place, f"{name}-{index}", labels=labels)
        one |= {
            "addressType": "IPv4",
            "endpoints": [{"addresses": [LOOPBACK], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        }
        made.append(one)
    return made


def parent(name: str = "gw") -> dict[str, Any]:
    return {"group": GATEWAY_API, "kind": "Gateway", "name": name, "namespace": SYSTEM}


def http_route(place: str, name: str, *rules: dict[str, Any], hostnames: list[str] | None = None) -> Object:
    spec: dict[str, Any] = {"parentRefs": [parent()], "rules": list(rules)}
    if hostnames:
        spec["hostnames"] = hostnames
    return manifest(f"{GATEWAY_API}/v1", "HTTPRoute", place, name, spec)


def rule(path: str, *services: str | tuple[str, int], kind: str = "PathPrefix", **more: Any) -> dict[str, Any]:
    refs = [
        {"name": one, "port": 80} if isinstance(one, str) else {"name": one[0], "port": 80, "weight": one[1]}
        for one in services
    ]
    made: dict[str, Any] = {"matches": [{"path": {"type": kind, "value": path}}], **more}
    return made | ({"backendRefs": refs} if refs else {})


def ai_objects(
    place: str,
    model: str,
    port: int,
    *,
    name: str = "",
    prefix: str | None = None,
    override: str | None = None,
    hostnames: list[str] | None = None,
) -> list[Object]:
    """Backend, AIServiceBackend and AIGatewayRoute for one model, as a publication writes them."""
    name = name or model
    backend: dict[str, Any] = {"name": name} | ({"modelNameOverride": override} if override else {})
    schema = {"name": "OpenAI"} | ({"prefix": prefix} if prefix else {})
    spec: dict[str, Any] = {
        "parentRefs": [parent()],
        "rules": [
            {
                "name": "model",
                "matches": [{"headers": [{"type": "Exact", "name": "x-ai-eg-model", "value": model}]}],
                "backendRefs": [backend],
            }
        ],
    }
    if hostnames:
        spec["hostnames"] = hostnames
    return [
        manifest(
            f"{ENVOY_GATEWAY}/v1alpha1",
            "Backend",
            place,
            name,
            {"endpoints": [{"ip": {"address": LOOPBACK, "port": port}}]},
        ),
        manifest(
            f"{AI_GATEWAY}/v1beta1",
            "AIServiceBackend",
            place,
            name,
            {"schema": schema, "backendRef": {"group": ENVOY_GATEWAY, "kind": "Backend", "name": name}},
        ),
        manifest(f"{AI_GATEWAY}/v1beta1", "AIGatewayRoute", place, name, spec),
    ]


def target(kind: str, name: str, section: str = "") -> dict[str, Any]:
    made = {"group": GATEWAY_API, "kind": kind, "name": name}
    return made | ({"sectionName": section} if section else {})


def security_policy(place: str, name: str, on: dict[str, Any], service_name: str = "authz", **ext: Any) -> Object:
    external: dict[str, Any] = {
        "failOpen": False,
        "statusOnError": 503,
        "headersToExtAuth": CONTRACT_HEADERS,
        "http": {
            "backendRefs": [{"name": service_name, "port": 80}],
            "path": "/authz",
            "headersToBackend": UPSTREAM_HEADERS,
        },
    } | ext
    return manifest(
        f"{ENVOY_GATEWAY}/v1alpha1", "SecurityPolicy", place, name, {"targetRefs": [on], "extAuth": external}
    )


def traffic_policy(place: str, name: str, on: dict[str, Any], **spec: Any) -> Object:
    return manifest(f"{ENVOY_GATEWAY}/v1alpha1", "BackendTrafficPolicy", place, name, {"targetRefs": [on], **spec})


def buffer_policy(place: str, name: str, limit: str, on: str = "gw") -> Object:
    spec = {"targetRefs": [target("Gateway", on)], "connection": {"bufferLimit": limit}}
    return manifest(f"{ENVOY_GATEWAY}/v1alpha1", "ClientTrafficPolicy", place, name, spec)


def condition(conditions: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    found = [one for one in conditions if one["type"] == kind]
    assert found, f"no condition {kind} in {conditions}"
    return found[0]
