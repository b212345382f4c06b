"""Envoy AI Gateway's kinds: what its controller makes of an AIGatewayRoute, and what the backends of one need.

As the controller does (gateway.md §1.2): an HTTPRoute of the same name, its rules in the same order with one more at
the end, and two HTTPRouteFilters. What an HTTPRoute cannot say (another model name, another path, a credential) is kept
here, by the place of a rule and of a backend in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from console.local.gateway.snapshot import (
    AI_GATEWAY,
    ENVOY_GATEWAY,
    GATEWAY_API,
    Key,
    Object,
    Reference,
    Snapshot,
    annotations_of,
    being_deleted,
    key_of,
    labels_of,
    namespace_of,
)
from console.local.gateway.translate.credentials import Credential, CredentialPolicies
from console.local.gateway.translate.filters import ROUTE_NOT_FOUND
from console.local.gateway.translate.metering import read_costs
from console.local.gateway.translate.reading import Node, Unfit, Unsupported, readable, spec_of

GENERATED = "gateway.envoyproxy.io/ai-gateway-generated"
_PRIORITIES = "gateway.envoyproxy.io/backend-ref-priority"
_HOST_REWRITE = "ai-eg-host-rewrite-"
_NOT_FOUND = "ai-eg-route-not-found-response-"
_NOT_FOUND_TEXT = (
    "No matching route found. It is likely because the model specified in your request "
    "is not configured in the Gateway."
)
_DEFAULT_TIMEOUT = "60s"
_MOST_RULES = 15
_MOST_BACKENDS = 16
_PREFIX = re.compile(r"[A-Za-z0-9._~/-]*")
_GENERATED_FIELDS = {"group": GATEWAY_API, "kind": "Gateway"}


@dataclass(frozen=True, slots=True)
class AiBackend:
    """What an AIServiceBackend, as one rule uses it, adds to its Backend.

    model    the name that the upstream knows the model by; None leaves the client's
    prefix   of the upstream's OpenAI API, in the place of ``/v1``; None leaves the path
    headers  fields of envoy.config.route.v3.WeightedCluster.ClusterWeight
    priority 0 is asked first
    """

    model: str | None = None
    prefix: str | None = None
    headers: dict[str, Any] = field(default_factory=dict)
    credential: Credential | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class AiRule:
    """``costs``: under which metadata key (of ``llmRequestCosts``) which kind of tokens is noted."""

    backends: tuple[AiBackend, ...]
    stream_idle_seconds: float | None = None
    costs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AiRoute:
    """An AIGatewayRoute that is accepted: what is made of it, and its rules in the order of the HTTPRoute's."""

    http_route: dict[str, Any]
    filters: tuple[dict[str, Any], ...]
    rules: tuple[AiRule, ...]


@dataclass(slots=True)
class AiKinds:
    """All AI objects: what each route became, or the sentence that says why it is not accepted."""

    routes: dict[Key, AiRoute] = field(default_factory=dict)
    problems: dict[Key, str] = field(default_factory=dict)

    def rules_of(self, http_route: Object) -> tuple[AiRule, ...] | None:
        """The AI side of an HTTPRoute; None for one that is none of an AIGatewayRoute's.

        Raises:
            Unfit: it is, and is not what its owner asks for now; it must not be served as anything else.
        """
        owner = owner_of(http_route)
        if owner is None:
            if is_generated(http_route):
                raise Unfit("the AIGatewayRoute that this route was generated for is gone")
            return None
        route = self.routes.get(owner)
        if route is None:
            raise Unfit(f"AIGatewayRoute {owner.place} is not accepted: {self.problems.get(owner, 'it is gone')}")
        if not covers(http_route.get("spec"), route.http_route["spec"]):
            raise Unfit(f"this is not the HTTPRoute that AIGatewayRoute {owner.place} asks for now")
        return route.rules


def owner_of(one: Object) -> Key | None:
    """The AIGatewayRoute that controls an object."""
    for reference in one["metadata"].get("ownerReferences") or ():
        group = str(reference.get("apiVersion", "")).partition("/")[0]
        if group == AI_GATEWAY and reference.get("kind") == "AIGatewayRoute" and reference.get("controller"):
            return Key("AIGatewayRoute", namespace_of(one), reference["name"])
    return None


def is_generated(one: Object) -> bool:
    return annotations_of(one).get(GENERATED) == "true"


def covers(actual: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is there; a server's defaults beside it do no harm."""
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(covers(actual.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(wanted)
            and all(covers(one, other) for one, other in zip(actual, wanted, strict=True))
        )
    return bool(actual == wanted)


def read_ai_kinds(snapshot: Snapshot, credentials: CredentialPolicies) -> AiKinds:
    """Every AIGatewayRoute and AIServiceBackend."""
    kinds = AiKinds()
    for one in snapshot.all("AIServiceBackend"):
        try:
            with readable():
                _read_service_backend(one, credentials)
        except Unfit as problem:
            kinds.problems[key_of(one)] = str(problem)
    for one in snapshot.all("AIGatewayRoute"):
        if being_deleted(one):
            continue
        try:
            with readable():
                kinds.routes[key_of(one)] = _read_route(one, snapshot, credentials)
        except Unfit as problem:
            kinds.problems[key_of(one)] = str(problem)
    return kinds


def _read_service_backend(one: Object, credentials: CredentialPolicies) -> tuple[AiBackend, dict[str, Any]]:
    """What an AIServiceBackend says, and the reference to its Backend."""
    spec = spec_of(one)
    spec.only("schema", "backendRef", "headerMutation")
    schema = spec.node("schema")
    schema.only("name", "prefix")
    schema.choice("name", ("OpenAI",))
    prefix = schema.text("prefix", "").strip("/")
    if not _PREFIX.fullmatch(prefix):
        raise Unfit(f"{schema.at('prefix')} {prefix!r} is not a path")
    ref = spec.node("backendRef")
    ref.only("group", "kind", "name", "namespace", "port")
    if (ref.text("group", ""), ref.text("kind", "Service")) != (ENVOY_GATEWAY, "Backend"):
        raise Unsupported(f"{ref.path}: only a Backend of {ENVOY_GATEWAY} is supported")
    reference = {
        "group": ENVOY_GATEWAY,
        "kind": "Backend",
        "name": ref.text("name"),
        "namespace": ref.text("namespace", namespace_of(one)),
    }
    backend = AiBackend(
        prefix=f"/{prefix}" if prefix not in ("", "v1") else None,
        headers=_header_mutation(spec.node("headerMutation")),
        credential=credentials.of(key_of(one)),
    )
    return backend, reference


def _header_mutation(node: Node) -> dict[str, Any]:
    """HTTPHeaderMutation as the header fields of a weighted cluster."""
    node.only("set", "remove")
    fields: dict[str, Any] = {}
    if node.has("set"):
        fields["request_headers_to_add"] = []
        for one in node.nodes("set"):
            one.only("name", "value")
            header = {"key": one.header_name(), "value": one.header_value().replace("%", "%%")}
            addition = {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            fields["request_headers_to_add"].append(addition)
    if node.has("remove"):
        fields["request_headers_to_remove"] = node.header_names("remove")
    return fields


def _read_route(one: Object, snapshot: Snapshot, credentials: CredentialPolicies) -> AiRoute:
    name, namespace = one["metadata"]["name"], namespace_of(one)
    spec = spec_of(one)
    spec.only("parentRefs", "hostnames", "rules", "llmRequestCosts")
    costs = read_costs(spec)
    nodes = spec.nodes("rules")
    if len(nodes) > _MOST_RULES:
        raise Unfit(f"spec.rules has {len(nodes)} rules, and {_MOST_RULES} are possible")
    _check_parents(spec, namespace, snapshot)
    existing = snapshot.get("HTTPRoute", namespace, name)
    if existing is not None and owner_of(existing) != key_of(one):
        raise Unfit(f"HTTPRoute {namespace}/{name} is there already and is not of this AIGatewayRoute")
    rules, http_rules, priorities = [], [], []
    for index, node in enumerate(nodes):
        rule, http_rule = _read_rule(one, node, snapshot, credentials)
        rules.append(replace(rule, costs=costs))
        http_rules.append(http_rule)
        priorities += [f"{index}:{ref.text('name')}:{ref.number('priority', 0)}" for ref in node.nodes("backendRefs")]
    http_rules.append(
        {
            "name": ROUTE_NOT_FOUND,
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "filters": [_filter_reference(_NOT_FOUND + name)],
        }
    )
    route_spec: dict[str, Any] = {
        "parentRefs": [_GENERATED_FIELDS | dict(ref) for ref in spec.raw("parentRefs") or ()],
        "rules": http_rules,
    }
    if spec.has("hostnames"):
        route_spec["hostnames"] = spec.texts("hostnames")
    annotations = dict(annotations_of(one)) | {GENERATED: "true", _PRIORITIES: ",".join(priorities)}
    http_route = _owned(one, f"{GATEWAY_API}/v1", "HTTPRoute", name, route_spec)
    http_route["metadata"] |= {"labels": dict(labels_of(one)), "annotations": annotations}
    return AiRoute(http_route, _filters(one), tuple(rules))


def _check_parents(spec: Node, namespace: str, snapshot: Snapshot) -> None:
    for ref in spec.nodes("parentRefs"):
        where = ref.text("namespace", namespace)
        if snapshot.get("Gateway", where, ref.text("name")) is None:
            raise Unfit(f"Gateway {where}/{ref.text('name')} not found")


def _read_rule(
    one: Object, node: Node, snapshot: Snapshot, credentials: CredentialPolicies
) -> tuple[AiRule, dict[str, Any]]:
    node.only("name", "matches", "backendRefs", "timeouts", "modelsOwnedBy", "modelsCreatedAt", "streamIdleTimeout")
    if node.raw("name") == ROUTE_NOT_FOUND:
        raise Unfit(f"{node.at('name')} {ROUTE_NOT_FOUND} is reserved")
    refs = node.nodes("backendRefs")
    if len(refs) > _MOST_BACKENDS:
        raise Unfit(f"{node.at('backendRefs')} has {len(refs)} backends, and {_MOST_BACKENDS} are possible")
    backends, http_refs = [], []
    for ref in refs:
        backend, http_ref = _read_backend(one, ref, snapshot, credentials)
        backends.append(backend)
        http_refs.append(http_ref)
    http_rule: dict[str, Any] = {
        "filters": [_filter_reference(_HOST_REWRITE + one["metadata"]["name"])],
        "timeouts": {"request": _DEFAULT_TIMEOUT} | dict(node.raw("timeouts") or {}),
        "backendRefs": http_refs,
    }
    if node.has("name"):
        http_rule["name"] = node.text("name")
    matches = []
    for match in node.nodes("matches"):
        match.only("headers")
        headers = [{"type": "Exact"} | dict(header) for header in match.raw("headers") or ()]
        matches.append({"path": {"type": "PathPrefix", "value": "/"}, "headers": headers})
    http_rule["matches"] = matches or [{"path": {"type": "PathPrefix", "value": "/"}}]
    return AiRule(tuple(backends), node.seconds("streamIdleTimeout")), http_rule


def _read_backend(
    one: Object, ref: Node, snapshot: Snapshot, credentials: CredentialPolicies
) -> tuple[AiBackend, dict[str, Any]]:
    ref.only("name", "namespace", "group", "kind", "weight", "priority", "modelNameOverride", "headerMutation")
    if ref.has("group") or ref.has("kind"):
        raise Unsupported(f"{ref.path}: an {ref.raw('kind')} is not supported by the local gateway")
    namespace, name = ref.text("namespace", namespace_of(one)), ref.text("name")
    source = Reference(AI_GATEWAY, "AIGatewayRoute", namespace_of(one))
    if not snapshot.permits(source, Reference(AI_GATEWAY, "AIServiceBackend", namespace, name)):
        raise Unfit(f"{ref.path}: no ReferenceGrant permits AIServiceBackend {namespace}/{name}")
    found = snapshot.get("AIServiceBackend", namespace, name)
    if found is None:
        raise Unfit(f"AIServiceBackend {name}.{namespace} not found")
    try:
        service, reference = _read_service_backend(found, credentials)
    except Unfit as problem:
        raise Unfit(f"AIServiceBackend {name}.{namespace} is not accepted: {problem}") from None
    own = _header_mutation(ref.node("headerMutation"))
    backend = AiBackend(
        ref.maybe_text("modelNameOverride"),
        service.prefix,
        {key: [*service.headers.get(key, ()), *own.get(key, ())] for key in {*service.headers, *own}},
        service.credential,
        ref.number("priority", 0),
    )
    if reference["namespace"] == namespace_of(one):
        del reference["namespace"]
    return backend, reference | {"weight": ref.number("weight", 1)}


def _filters(one: Object) -> tuple[dict[str, Any], ...]:
    name, version = one["metadata"]["name"], f"{ENVOY_GATEWAY}/v1alpha1"
    rewrite = {"urlRewrite": {"hostname": {"type": "Backend"}}}
    body = {"type": "Inline", "inline": _NOT_FOUND_TEXT}
    return (
        _owned(one, version, "HTTPRouteFilter", _HOST_REWRITE + name, rewrite),
        _owned(
            one,
            version,
            "HTTPRouteFilter",
            _NOT_FOUND + name,
            {"directResponse": {"statusCode": 404, "body": body}},
        ),
    )


def _filter_reference(name: str) -> dict[str, Any]:
    return {
        "type": "ExtensionRef",
        "extensionRef": {"group": ENVOY_GATEWAY, "kind": "HTTPRouteFilter", "name": name},
    }


def _owned(one: Object, api_version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    owner = {
        "apiVersion": one.get("apiVersion"),
        "kind": "AIGatewayRoute",
        "name": one["metadata"]["name"],
        "uid": one["metadata"].get("uid", ""),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata = {"name": name, "namespace": namespace_of(one), "ownerReferences": [owner]}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
