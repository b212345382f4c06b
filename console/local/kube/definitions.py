"""CustomResourceDefinitions: what is refused in one, and the resource that one makes.

Conversion webhooks are not called: an object is stored as it was written and served in every version with its
apiVersion rewritten, which is right where the versions' schemas have the same fields (those published here do).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from console.local.kube import rules, status
from console.local.kube.kinds import Column, Resource, Version, preference
from console.local.kube.metadata import Object, now
from console.local.kube.schema import without_descriptions
from console.local.kube.status import FieldError, qualified

GROUP = "apiextensions.k8s.io"
CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
"""On every definition, as in a real server: it goes when the last object of its kind is gone."""

RULES_EVALUATED = "RulesEvaluated"
"""A condition of ours: False where a definition has rules that this server cannot evaluate. Such a rule refuses
every object that it applies to."""

_TYPES = ("", "string", "integer", "number", "boolean", "object", "array")
_PLURAL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def missing_parts() -> str:
    """What has to be installed before definitions can be enforced; empty when nothing."""
    missing = []
    for module, package in (("celpy", "cel-python"), ("re2", "google-re2")):
        try:
            __import__(module)
        except ImportError:
            missing.append(package)
    return " and ".join(missing)


def errors_of(definition: Object) -> Iterator[FieldError]:
    """What the schema of definitions cannot say."""
    spec = definition["spec"]
    names = spec["names"]
    wanted = qualified(spec["group"], names["plural"])
    if definition["metadata"]["name"] != wanted:
        yield status.invalid_value(
            "metadata.name", definition["metadata"]["name"], 'must be spec.names.plural+"."+spec.group'
        )
    if not _PLURAL.fullmatch(names["plural"]):
        yield status.invalid_value("spec.names.plural", names["plural"], "must be a DNS label")
    if "." not in spec["group"]:
        yield status.invalid_value("spec.group", spec["group"], "should be a domain with at least one dot")
    stored = [one for one in spec["versions"] if isinstance(one, Mapping) and one.get("storage")]
    if len(stored) != 1:
        yield status.invalid_value(
            "spec.versions", status.OMIT, "must have exactly one version marked as storage version"
        )
    seen: set[str] = set()
    for index, version in enumerate(spec["versions"]):
        yield from _version_errors(version, f"spec.versions[{index}]", seen)


def _version_errors(version: Any, path: str, seen: set[str]) -> Iterator[FieldError]:
    name = version.get("name")
    if not isinstance(name, str) or not _PLURAL.fullmatch(name):
        yield status.invalid_value(f"{path}.name", name, "must be a DNS label")
    elif name in seen:
        yield status.duplicate(f"{path}.name", name)
    else:
        seen.add(name)
    for flag in ("served", "storage"):
        if not isinstance(version.get(flag), bool):
            yield status.required(f"{path}.{flag}")
    schema = version.get("schema")
    root = schema.get("openAPIV3Schema") if isinstance(schema, Mapping) else None
    if not isinstance(root, Mapping):
        yield status.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    elif root.get("type") != "object":
        yield status.invalid_value(
            f"{path}.schema.openAPIV3Schema.type", root.get("type", ""), "must be object at the root"
        )
    else:
        yield from _schema_errors(root, f"{path}.schema.openAPIV3Schema")


_MAPS = ("properties",)
_NODES = ("items", "additionalProperties", "not")
_LISTS = ("allOf", "anyOf", "oneOf")


def _schema_errors(raw: Any, path: str) -> Iterator[FieldError]:
    """The shape of a schema: enough that nothing that is built from it can fail later."""
    if not isinstance(raw, Mapping):
        if not isinstance(raw, bool):
            yield status.type_invalid(path, status.OMIT, "must be a schema")
        return
    if raw.get("type", "") not in _TYPES:
        yield status.not_supported(f"{path}.type", raw.get("type"), _TYPES[1:])
    yield from _keyword_errors(raw, path)
    for key in _MAPS:
        below = raw.get(key) or {}
        if not isinstance(below, Mapping) or any(not isinstance(one, Mapping) for one in below.values()):
            yield status.type_invalid(f"{path}.{key}", status.OMIT, "must be a map of schemas")
            continue
        for name, one in below.items():
            yield from _schema_errors(one, f"{path}.{key}[{name}]")
    for key in _NODES:
        if raw.get(key) is not None:
            yield from _schema_errors(raw[key], f"{path}.{key}")
    for key in _LISTS:
        below = raw.get(key) or []
        if not isinstance(below, list) or any(not isinstance(one, Mapping) for one in below):
            yield status.type_invalid(f"{path}.{key}", status.OMIT, "must be a list of schemas")
            continue
        for index, one in enumerate(below):
            yield from _schema_errors(one, f"{path}.{key}[{index}]")


_KEYWORDS: Mapping[str, type | tuple[type, ...]] = {
    "required": list,
    "enum": list,
    "pattern": str,
    "format": str,
    "maxLength": int,
    "minLength": int,
    "maxItems": int,
    "minItems": int,
    "maxProperties": int,
    "minProperties": int,
    "maximum": (int, float),
    "minimum": (int, float),
    "multipleOf": (int, float),
    "x-kubernetes-list-type": str,
    "x-kubernetes-list-map-keys": list,
    "x-kubernetes-map-type": str,
    "x-kubernetes-validations": list,
}


def _keyword_errors(raw: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for key, kind in _KEYWORDS.items():
        if key in raw and (not isinstance(raw[key], kind) or isinstance(raw[key], bool)):
            yield status.type_invalid(f"{path}.{key}", status.OMIT, "is of the wrong type")
            return
    if "pattern" in raw:
        import re2

        try:
            re2.compile(raw["pattern"])
        except re2.error as problem:
            yield status.invalid_value(
                f"{path}.pattern", raw["pattern"], f"must be a valid regular expression: {problem}"
            )
    if raw.get("x-kubernetes-list-type") == "map" and not raw.get("x-kubernetes-list-map-keys"):
        yield status.required(f"{path}.x-kubernetes-list-map-keys")
    if any(not isinstance(one, str) for key in ("required", "x-kubernetes-list-map-keys") for one in raw.get(key, ())):
        yield status.type_invalid(path, status.OMIT, "names of fields must be strings")
    if any(
        not isinstance(rule, Mapping) or not isinstance(rule.get("rule"), str)
        for rule in raw.get("x-kubernetes-validations", ())
    ):
        yield status.type_invalid(f"{path}.x-kubernetes-validations", status.OMIT, "a rule has a text")


def unsupported_rules(definition: Object) -> list[str]:
    """The rules that cannot be evaluated here, each with its version and place."""
    return [
        f"{version['name']} {text}"
        for version in definition["spec"]["versions"]
        for text in rules.unsupported(version["schema"]["openAPIV3Schema"])
    ]


def prepare(definition: Object, old: Object | None, unsupported: list[str]) -> None:
    """Fill in names, the cleanup finalizer and the status that the server sets, in place."""
    names = definition["spec"]["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", names["kind"] + "List")
    finalizers = definition["metadata"].setdefault("finalizers", [])
    if old is None and CLEANUP_FINALIZER not in finalizers:
        finalizers.append(CLEANUP_FINALIZER)
    before = (old or {}).get("status") or {}
    storage = next(one["name"] for one in definition["spec"]["versions"] if one.get("storage"))
    stored = before.get("storedVersions") or []
    definition["status"] = {
        "conditions": _conditions(before.get("conditions") or [], unsupported),
        "acceptedNames": dict(names),
        "storedVersions": stored if storage in stored else [*stored, storage],
    }


def _conditions(before: list[Object], unsupported: list[str]) -> list[Object]:
    made = [
        _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        _condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
    ]
    if unsupported:
        shown = "; ".join(unsupported[:5]) + (f"; and {len(unsupported) - 5} more" if len(unsupported) > 5 else "")
        made.append(_condition(RULES_EVALUATED, "False", "UnsupportedRules", shown))
    known = {one.get("type"): one for one in before}
    for one in made:
        earlier = known.get(one["type"])
        if earlier is not None and earlier.get("status") == one["status"]:
            one["lastTransitionTime"] = earlier.get("lastTransitionTime", one["lastTransitionTime"])
    return made


def _condition(kind: str, state: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": state, "lastTransitionTime": now(), "reason": reason, "message": message}


def resource_of(definition: Object) -> Resource:
    """The resource that an accepted definition serves."""
    spec = definition["spec"]
    names = spec["names"]
    versions = [_version(spec, one) for one in spec["versions"] if one["served"]]
    return Resource(
        group=spec["group"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        versions=tuple(sorted(versions, key=lambda one: preference(one.name))),
        origin="installed",
        singular=names.get("singular") or names["kind"].lower(),
        list_kind=names.get("listKind") or names["kind"] + "List",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        uid=definition["metadata"]["uid"],
    )


def _version(spec: Object, version: Object) -> Version:
    columns = tuple(
        Column(
            one["name"],
            one["jsonPath"],
            one.get("type", "string"),
            one.get("priority", 0),
            one.get("format", ""),
            one.get("description", ""),
        )
        for one in version.get("additionalPrinterColumns") or ()
    )
    warning = ""
    if version.get("deprecated"):
        warning = (
            version.get("deprecationWarning")
            or f"{spec['group']}/{version['name']} {spec['names']['kind']} is deprecated"
        )
    return Version(
        version["name"],
        status.as_json(without_descriptions(version["schema"]["openAPIV3Schema"])),
        columns or (Column("Age", ".metadata.creationTimestamp", "date"),),
        warning,
        "status" in (version.get("subresources") or {}),
        tuple(one["jsonPath"].removeprefix(".") for one in version.get("selectableFields") or ()),
    )
