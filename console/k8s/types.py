"""What Kubernetes objects are called: kinds, references, and what a watch tells. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

Object = dict[str, Any]
"""A manifest or an object as JSON."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind in one version: ``group`` is empty for the core group, ``plural`` is the name in URLs."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def at(self, version: str) -> Kind:
        """The same kind in another version."""
        return self if version == self.version else replace(self, version=version)

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of a collection or of an object."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class Ref:
    """One object. ``namespace`` is None for a cluster-wide kind."""

    kind: Kind
    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        """``AIGatewayRoute acme/llama``."""
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind.kind} {place}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch saw. ``synced`` has no object: everything that was there has been told."""

    type: Literal["added", "modified", "deleted", "synced"]
    object: Object


@dataclass(frozen=True, slots=True)
class Conflicting:
    """A field that another manager owns: ``field`` as the server writes it (``.spec.rules``)."""

    manager: str
    field: str


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason of a refusal: a field, what is wrong with it, and the server's word for the sort of error."""

    field: str
    message: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


_GATEWAY_API = "gateway.networking.k8s.io"
_ENVOY_GATEWAY = "gateway.envoyproxy.io"
_AI_GATEWAY = "aigateway.envoyproxy.io"
_KSERVE = "serving.kserve.io"

LABEL_TENANT: Final = "modeldeck.dev/tenant"
"""A namespace with this label is a tenant."""
NAMESPACE: Final = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
SECRET: Final = Kind("", "v1", "secrets", "Secret")
CONFIG_MAP: Final = Kind("", "v1", "configmaps", "ConfigMap")
SERVICE: Final = Kind("", "v1", "services", "Service")
EVENT: Final = Kind("", "v1", "events", "Event")
ENDPOINT_SLICE: Final = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
DEFINITION: Final = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
GATEWAY: Final = Kind(_GATEWAY_API, "v1", "gateways", "Gateway")
GATEWAY_CLASS: Final = Kind(_GATEWAY_API, "v1", "gatewayclasses", "GatewayClass", namespaced=False)
HTTP_ROUTE: Final = Kind(_GATEWAY_API, "v1", "httproutes", "HTTPRoute")
REFERENCE_GRANT: Final = Kind(_GATEWAY_API, "v1beta1", "referencegrants", "ReferenceGrant")
BACKEND_TLS_POLICY: Final = Kind(_GATEWAY_API, "v1", "backendtlspolicies", "BackendTLSPolicy")
BACKEND: Final = Kind(_ENVOY_GATEWAY, "v1alpha1", "backends", "Backend")
BACKEND_TRAFFIC_POLICY: Final = Kind(_ENVOY_GATEWAY, "v1alpha1", "backendtrafficpolicies", "BackendTrafficPolicy")
CLIENT_TRAFFIC_POLICY: Final = Kind(_ENVOY_GATEWAY, "v1alpha1", "clienttrafficpolicies", "ClientTrafficPolicy")
SECURITY_POLICY: Final = Kind(_ENVOY_GATEWAY, "v1alpha1", "securitypolicies", "SecurityPolicy")
HTTP_ROUTE_FILTER: Final = Kind(_ENVOY_GATEWAY, "v1alpha1", "httproutefilters", "HTTPRouteFilter")
ENVOY_PROXY: Final = Kind(_ENVOY_GATEWAY, "v1alpha1", "envoyproxies", "EnvoyProxy")
AI_GATEWAY_ROUTE: Final = Kind(_AI_GATEWAY, "v1beta1", "aigatewayroutes", "AIGatewayRoute")
AI_SERVICE_BACKEND: Final = Kind(_AI_GATEWAY, "v1beta1", "aiservicebackends", "AIServiceBackend")
BACKEND_SECURITY_POLICY: Final = Kind(_AI_GATEWAY, "v1beta1", "backendsecuritypolicies", "BackendSecurityPolicy")
GATEWAY_CONFIG: Final = Kind(_AI_GATEWAY, "v1beta1", "gatewayconfigs", "GatewayConfig")
INFERENCE_SERVICE: Final = Kind(_KSERVE, "v1beta1", "inferenceservices", "InferenceService")
LLM_INFERENCE_SERVICE: Final = Kind(_KSERVE, "v1alpha2", "llminferenceservices", "LLMInferenceService")
SERVING_RUNTIME: Final = Kind(_KSERVE, "v1alpha1", "servingruntimes", "ServingRuntime")
CLUSTER_SERVING_RUNTIME: Final = Kind(
    _KSERVE, "v1alpha1", "clusterservingruntimes", "ClusterServingRuntime", namespaced=False
)
INFERENCE_POOL: Final = Kind("inference.networking.k8s.io", "v1", "inferencepools", "InferencePool")

KINDS: Final[tuple[Kind, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Kind))
"""Every kind that Modeldeck uses, in the version that it writes."""

_BY_NAME = {(one.group, one.kind): one for one in KINDS}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind of a manifest, in the version that it names; raises ValueError for one that we do not use."""
    group, _, version = str(manifest.get("apiVersion", "")).rpartition("/")
    known = _BY_NAME.get((group, str(manifest.get("kind", ""))))
    if known is None or not version:
        raise ValueError(f"{manifest.get('apiVersion')} {manifest.get('kind')} is not a kind that Modeldeck uses")
    return known.at(version)


def ref_of(manifest: Mapping[str, Any]) -> Ref:
    """Which object a manifest describes."""
    metadata = manifest["metadata"]
    return Ref(kind_of(manifest), metadata["name"], metadata.get("namespace"))
