"""OpenAPI v3, as far as kubectl needs it: which parameters a patch takes, and the schemas for `kubectl explain`.

One document for each group and version, made when it is asked for from the stored definitions (with their prose).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from console.local.kube import definitions
from console.local.kube.kinds import Registry
from console.local.kube.schema import Schema
from console.local.kube.status import qualified
from console.local.kube.storage import Key, Record, Storage

_QUERY = ("dryRun", "fieldManager", "fieldValidation", "force")
_VERBS = ("get", "put", "patch", "delete")
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def index(registry: Registry) -> dict[str, Any]:
    """``/openapi/v3``"""
    paths = {}
    for group, versions in registry.groups().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            # Clients keep a document until its hash changes.
            state = f"{path} {registry.generation} {[one.uid for one, _ in registry.served(group, version)]}"
            digest = hashlib.sha256(state.encode()).hexdigest()[:32].upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def sources(registry: Registry, storage: Storage, group: str, version: str) -> dict[str, Record]:
    """The stored definitions that a document is made of, by the key of the resource that they define."""
    found = {}
    for resource, _served in registry.served(group, version):
        if resource.origin == "installed":
            name = qualified(resource.group, resource.plural)
            record = storage.get(Key(f"{definitions.GROUP}/customresourcedefinitions", "", name))
            if record is not None:
                found[resource.key] = record
    return found


def document(registry: Registry, defined: Mapping[str, Record], group: str, version: str) -> str:
    """``/openapi/v3/apis/G/V`` as JSON text; takes a while for big definitions. ``defined`` is from `sources`."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {_META: {"type": "object", "description": "Standard object's metadata."}}
    for resource, served in registry.served(group, version):
        kind = {"group": group, "version": version, "kind": resource.kind}
        name = f"{'.'.join(reversed(group.split('.'))) or 'io.k8s.api.core'}.{version}.{resource.kind}"
        record = defined.get(resource.key)
        raw = (_schema_in(record, version) if record else None) or served.schema.raw
        schemas[name] = {**_published(raw), "x-kubernetes-group-version-kind": [kind]}
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        paths[f"{root}{scope}/{resource.plural}/{{name}}"] = {verb: _operation(verb, kind, name) for verb in _VERBS}
    title = {"title": "Kubernetes, a local one", "version": "v1.36.0"}
    return json.dumps({"openapi": "3.0.0", "info": title, "paths": paths, "components": {"schemas": schemas}})


def _operation(verb: str, kind: Mapping[str, str], schema: str) -> dict[str, Any]:
    answer = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": kind,
        "parameters": [{"name": one, "in": "query", "schema": {"type": "string"}} for one in _QUERY],
        "responses": {"200": {"description": "OK", "content": answer}},
    }


def _schema_in(record: Record, version: str) -> Mapping[str, Any] | None:
    """The schema of a version, with its prose."""
    spec = json.loads(record.body)["spec"]
    found = next((one for one in spec["versions"] if one["name"] == version), None)
    return Schema.of_object(found["schema"]["openAPIV3Schema"]).raw if found else None


def _published(raw: Mapping[str, Any]) -> dict[str, Any]:
    properties = {**raw.get("properties", {}), "metadata": {"$ref": f"#/components/schemas/{_META}"}}
    return {**raw, "type": "object", "properties": properties}
