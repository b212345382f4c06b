"""The kinds that are there without any CustomResourceDefinition.

The core kinds have the schema of a real server, as far as it is used here. The gateway and KServe kinds are
*known*: nothing in them is validated, defaulted or pruned, and only the lists named here have members that
server-side apply tells apart; every other list is atomic. That is what the published definitions say too, for
the parts that matter: ``rules``, ``parentRefs`` and ``credentialRefs`` are atomic there.
"""

from __future__ import annotations

from collections.abc import Mapping

from console.local.kube import core_schemas
from console.local.kube.core_schemas import ANYTHING, CONDITIONS, Raw, map_list, object_of
from console.local.kube.kinds import Column, Resource, Version, preference
from console.local.kube.schema import Schema

GATEWAY = "gateway.networking.k8s.io"
ENVOY_GATEWAY = "gateway.envoyproxy.io"
AI_GATEWAY = "aigateway.envoyproxy.io"
KSERVE = "serving.kserve.io"
INFERENCE = "inference.networking.k8s.io"
DEFINITIONS = "apiextensions.k8s.io"


def _loose(properties: Mapping[str, Raw]) -> Raw:
    """Known: everything is kept, and some lists have members."""
    return {"properties": dict(properties), "x-kubernetes-preserve-unknown-fields": True}


def _known(spec: Mapping[str, Raw] | None = None, status: Mapping[str, Raw] | None = None) -> Raw:
    return _loose({"spec": _loose(spec or {}), "status": _loose(status or {"conditions": CONDITIONS})})


def _of_parents(field: str) -> Mapping[str, Raw]:
    return {field: {"items": _loose({"conditions": CONDITIONS})}}


_HEADER_MUTATION = _loose({"set": map_list("name"), "remove": {"x-kubernetes-list-type": "set"}})
_BODY_MUTATION = _loose({"set": map_list("path"), "remove": {"x-kubernetes-list-type": "set"}})

# --- the table -------------------------------------------------------------------------------------------------

_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_LAST_CONDITION = Column("Status", ".status.conditions[-1:].type")


def _accepted(column: str = "Status", part: str = "reason") -> Column:
    return Column(column, f'.status.conditions[?(@.type=="Accepted")].{part}')


def _core(
    group: str,
    version: str,
    plural: str,
    kind: str,
    raw: Raw,
    *,
    namespaced: bool = True,
    status: bool = False,
    short: tuple[str, ...] = (),
    selectable: tuple[str, ...] = (),
) -> Resource:
    made = Version(version, Schema.of_object(raw), status=status, selectable=selectable)
    return Resource(group, plural, kind, namespaced, (made,), "core", kind.lower(), f"{kind}List", short)


def _use(
    group: str,
    versions: str,
    plural: str,
    kind: str,
    raw: Raw,
    *columns: Column,
    namespaced: bool = True,
    status: bool = True,
    short: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
) -> Resource:
    """A known kind; in ``versions`` a deprecated one is marked with ``!`` and names the last other one instead."""
    names = versions.split()
    schema = Schema.of_object(raw)
    current = [name for name in names if not name.endswith("!")][-1]
    made = tuple(
        Version(
            name.removesuffix("!"),
            schema,
            columns,
            f"{group}/{name.removesuffix('!')} is deprecated; use {group}/{current} instead"
            if name.endswith("!")
            else "",
            status,
        )
        for name in names
    )
    ordered = tuple(sorted(made, key=lambda one: preference(one.name)))
    return Resource(group, plural, kind, namespaced, ordered, "known", kind.lower(), f"{kind}List", short, categories)


def _review(group: str, plural: str, kind: str) -> Resource:
    raw = object_of({"spec": ANYTHING, "status": ANYTHING})
    return Resource(
        group, plural, kind, False, (Version("v1", Schema.of_object(raw), status=False),), "review", kind.lower(), ""
    )


_GATEWAYS = ("gateway-api",)
_ENVOYS = ("envoy-gateway",)
_ROUTE = _known(
    {
        "rules": {"items": _loose({"matches": {"items": _loose({"headers": map_list("name")})}})},
    },
    _of_parents("parents"),
)
_POLICY = _known(status=_of_parents("ancestors"))

_OF_EVENTS = (
    *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")),
    "reason",
    "type",
)

BUILTIN: tuple[Resource, ...] = (
    _core(
        "",
        "v1",
        "namespaces",
        "Namespace",
        core_schemas.NAMESPACE,
        namespaced=False,
        status=True,
        short=("ns",),
        selectable=("status.phase",),
    ),
    _core("", "v1", "secrets", "Secret", core_schemas.SECRET, selectable=("type",)),
    _core("", "v1", "configmaps", "ConfigMap", core_schemas.CONFIG_MAP, short=("cm",)),
    _core("", "v1", "services", "Service", core_schemas.SERVICE, status=True, short=("svc",)),
    _core("", "v1", "events", "Event", core_schemas.EVENT, short=("ev",), selectable=_OF_EVENTS),
    _core("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", core_schemas.ENDPOINT_SLICE),
    _core(
        DEFINITIONS,
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        core_schemas.DEFINITION,
        namespaced=False,
        status=True,
        short=("crd", "crds"),
    ),
    _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    _review("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    _use(
        GATEWAY,
        "v1beta1 v1",
        "gateways",
        "Gateway",
        _known(
            {"listeners": map_list("name")},
            {"conditions": CONDITIONS, "listeners": map_list("name", items=_loose({"conditions": CONDITIONS}))},
        ),
        Column("Class", ".spec.gatewayClassName"),
        Column("Address", ".status.addresses[*].value"),
        Column("Programmed", '.status.conditions[?(@.type=="Programmed")].status'),
        _AGE,
        short=("gtw",),
        categories=_GATEWAYS,
    ),
    _use(
        GATEWAY,
        "v1beta1 v1",
        "gatewayclasses",
        "GatewayClass",
        _known(),
        Column("Controller", ".spec.controllerName"),
        _accepted("Accepted", "status"),
        _AGE,
        namespaced=False,
        short=("gc",),
        categories=_GATEWAYS,
    ),
    _use(
        GATEWAY,
        "v1beta1 v1",
        "httproutes",
        "HTTPRoute",
        _ROUTE,
        Column("Hostnames", ".spec.hostnames"),
        _AGE,
        categories=_GATEWAYS,
    ),
    _use(
        GATEWAY,
        "v1 v1beta1",
        "referencegrants",
        "ReferenceGrant",
        _known(),
        _AGE,
        status=False,
        short=("refgrant",),
        categories=_GATEWAYS,
    ),
    _use(
        GATEWAY,
        "v1",
        "backendtlspolicies",
        "BackendTLSPolicy",
        _POLICY,
        _AGE,
        short=("btlspolicy",),
        categories=_GATEWAYS,
    ),
    _use(
        ENVOY_GATEWAY, "v1alpha1", "backends", "Backend", _known(), _accepted(), _AGE, short=("be",), categories=_ENVOYS
    ),
    _use(
        ENVOY_GATEWAY,
        "v1alpha1",
        "backendtrafficpolicies",
        "BackendTrafficPolicy",
        _POLICY,
        _AGE,
        short=("btp",),
        categories=_ENVOYS,
    ),
    _use(
        ENVOY_GATEWAY,
        "v1alpha1",
        "clienttrafficpolicies",
        "ClientTrafficPolicy",
        _POLICY,
        _AGE,
        short=("ctp",),
        categories=_ENVOYS,
    ),
    _use(
        ENVOY_GATEWAY,
        "v1alpha1",
        "securitypolicies",
        "SecurityPolicy",
        _known({"extAuth": _loose({"contextExtensions": map_list("name")})}, _of_parents("ancestors")),
        _AGE,
        short=("sp",),
        categories=_ENVOYS,
    ),
    _use(
        ENVOY_GATEWAY,
        "v1alpha1",
        "httproutefilters",
        "HTTPRouteFilter",
        _known(),
        _AGE,
        status=False,
        short=("hrf",),
        categories=_ENVOYS,
    ),
    _use(
        ENVOY_GATEWAY,
        "v1alpha1",
        "envoyproxies",
        "EnvoyProxy",
        _known(),
        _accepted(),
        _AGE,
        short=("eproxy",),
        categories=_ENVOYS,
    ),
    _use(
        AI_GATEWAY,
        "v1alpha1! v1beta1",
        "aigatewayroutes",
        "AIGatewayRoute",
        _known(
            {
                "rules": {
                    "items": _loose(
                        {
                            "matches": {"items": _loose({"headers": map_list("name")})},
                            "backendRefs": {
                                "items": _loose({"headerMutation": _HEADER_MUTATION, "bodyMutation": _BODY_MUTATION})
                            },
                        }
                    )
                }
            }
        ),
        _LAST_CONDITION,
    ),
    _use(
        AI_GATEWAY,
        "v1alpha1! v1beta1",
        "aiservicebackends",
        "AIServiceBackend",
        _known({"headerMutation": _HEADER_MUTATION, "bodyMutation": _BODY_MUTATION}),
        _LAST_CONDITION,
    ),
    _use(
        AI_GATEWAY, "v1alpha1! v1beta1", "backendsecuritypolicies", "BackendSecurityPolicy", _known(), _LAST_CONDITION
    ),
    _use(
        AI_GATEWAY,
        "v1alpha1! v1beta1",
        "gatewayconfigs",
        "GatewayConfig",
        _known({"globalLLMRequestCosts": map_list("metadataKey")}),
        _LAST_CONDITION,
        short=("gwconfig",),
    ),
    _use(
        KSERVE,
        "v1beta1",
        "inferenceservices",
        "InferenceService",
        _known(),
        Column("URL", ".status.url"),
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        _AGE,
        short=("isvc",),
    ),
    _use(
        KSERVE,
        "v1alpha1 v1alpha2",
        "llminferenceservices",
        "LLMInferenceService",
        _known(),
        Column("URL", ".status.url"),
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
        _AGE,
        short=("llmisvc",),
    ),
    _use(
        KSERVE,
        "v1alpha1",
        "servingruntimes",
        "ServingRuntime",
        _known(),
        Column("Disabled", ".spec.disabled", "boolean"),
        _AGE,
        status=False,
    ),
    _use(
        KSERVE,
        "v1alpha1",
        "clusterservingruntimes",
        "ClusterServingRuntime",
        _known(),
        Column("Disabled", ".spec.disabled", "boolean"),
        _AGE,
        namespaced=False,
        status=False,
    ),
    _use(
        INFERENCE,
        "v1",
        "inferencepools",
        "InferencePool",
        _known(status=_of_parents("parents")),
        _AGE,
        short=("infpool",),
    ),
)
