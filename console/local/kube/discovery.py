"""Discovery: which groups, versions and resources there are, in the plain and in the aggregated form.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

from typing import Any

from console.local.kube.kinds import Registry, Resource, Version

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_STATUS_VERBS = ["get", "patch", "update"]
_SERVER = [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+modeldeck",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "local/python",
}
"""What `kubectl version` shows; the API level is the one whose behaviour was measured."""


def core_versions() -> dict[str, Any]:
    """``/api``"""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": _SERVER}


def groups(registry: Registry) -> dict[str, Any]:
    """``/apis``"""
    listed = [_group(name, versions) for name, versions in registry.groups().items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(registry: Registry, name: str) -> dict[str, Any] | None:
    """``/apis/G``"""
    versions = registry.groups().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resources(registry: Registry, group_name: str, version: str) -> dict[str, Any] | None:
    """``/apis/G/V`` and ``/api/v1``"""
    found = registry.served(group_name, version)
    if not found:
        return None
    listed: list[dict[str, Any]] = []
    for resource, served in found:
        listed.append(_resource(resource))
        if served.status:
            listed.append(
                {
                    "name": f"{resource.plural}/status",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    "kind": resource.kind,
                    "verbs": _STATUS_VERBS,
                }
            )
    name = f"{group_name}/{version}" if group_name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}


def _resource(resource: Resource) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["create"] if resource.origin == "review" else _VERBS,
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    return found


def aggregated(registry: Registry, *, core: bool) -> dict[str, Any]:
    """``/api`` or ``/apis`` as an APIGroupDiscoveryList (apidiscovery.k8s.io/v2): everything in one answer."""
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "freshness": "Current",
                    "resources": [_aggregated(one, served) for one, served in registry.served(name, version)],
                }
                for version in versions
            ],
        }
        for name, versions in registry.groups().items()
        if bool(name) is not core
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated(resource: Resource, served: Version) -> dict[str, Any]:
    kind = {"group": resource.group, "version": served.name, "kind": resource.kind}
    plain = _resource(resource)
    found: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": plain["verbs"],
    }
    for name in ("shortNames", "categories"):
        if name in plain:
            found[name] = plain[name]
    if served.status:
        found["subresources"] = [{"subresource": "status", "responseKind": kind, "verbs": _STATUS_VERBS}]
    return found
