"""Structural schemas (apiextensions.k8s.io/v1): a tree of nodes that is built only as far as it is walked.

One tree serves everything that depends on a field's type: pruning and defaulting (`normal`), validation
(`validation`), CEL rules (`cel`) and the list semantics of server-side apply (`merging`). Kinds without a
CustomResourceDefinition have a small schema of the same form (`builtin`) that names their map and set lists and
keeps everything else as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal

Relation = Literal["atomic", "granular", "set", "map"]

_METADATA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "generateName": {"type": "string"},
        "namespace": {"type": "string"},
        "selfLink": {"type": "string"},
        "uid": {"type": "string"},
        "resourceVersion": {"type": "string"},
        "generation": {"type": "integer"},
        "creationTimestamp": {"type": "string", "format": "date-time", "nullable": True},
        "deletionTimestamp": {"type": "string", "format": "date-time", "nullable": True},
        "deletionGracePeriodSeconds": {"type": "integer"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "finalizers": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "ownerReferences": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "items": {
                "type": "object",
                "x-kubernetes-map-type": "atomic",
                "required": ["apiVersion", "kind", "name", "uid"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "name": {"type": "string"},
                    "uid": {"type": "string"},
                    "controller": {"type": "boolean"},
                    "blockOwnerDeletion": {"type": "boolean"},
                },
            },
        },
        "managedFields": {
            "type": "array",
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    },
}


class Schema:
    """One node: what may stand in one place of an object.

    ``raw`` is the JSON of the schema; children are built when they are asked for, and kept.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.type: str = raw.get("type", "")
        self.properties: Mapping[str, Mapping[str, Any]] = raw.get("properties") or {}
        self.int_or_string: bool = bool(raw.get("x-kubernetes-int-or-string"))
        self.embedded: bool = bool(raw.get("x-kubernetes-embedded-resource"))
        self.preserves: bool = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        self.nullable: bool = bool(raw.get("nullable"))
        self.list_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self._children: dict[str, Schema] = {}

    @classmethod
    def of_object(cls, raw: Mapping[str, Any]) -> Schema:
        """The root of a kind: ``raw`` with the types of apiVersion, kind and metadata that every object has."""
        properties = {
            **(raw.get("properties") or {}),
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": _METADATA,
        }
        return cls({**raw, "type": "object", "properties": properties})

    def property(self, name: str) -> Schema | None:
        """The node of a declared field."""
        known = self._children.get(name)
        if known is None:
            raw = self.properties.get(name)
            if raw is None:
                return None
            known = self._children[name] = Schema(raw)
        return known

    @cached_property
    def items(self) -> Schema | None:
        raw = self.raw.get("items")
        return Schema(raw) if isinstance(raw, Mapping) else None

    @cached_property
    def additional(self) -> Schema | None:
        """The node of a map's values; untyped where any value may stand."""
        raw = self.raw.get("additionalProperties")
        if isinstance(raw, Mapping):
            return Schema(raw)
        return UNTYPED if raw else None

    def value_of(self, key: str) -> Schema:
        """The node below a key of an object: declared, a map's value, or untyped."""
        return self.property(key) or self.additional or UNTYPED

    def element(self) -> Schema:
        """The node of a list's elements."""
        return self.items or UNTYPED

    def relation(self, value: Any) -> Relation:
        """How server-side apply treats a value in this place: as a whole, or member by member.

        A list without ``x-kubernetes-list-type`` is atomic, as in a real server.
        """
        if isinstance(value, dict):
            return "atomic" if self.raw.get("x-kubernetes-map-type") == "atomic" else "granular"
        if isinstance(value, list):
            kind = self.raw.get("x-kubernetes-list-type")
            if kind == "set":
                return "set"
            if kind == "map":
                return "map"
        return "atomic"

    @cached_property
    def key_defaults(self) -> Mapping[str, Any]:
        """The defaults of the fields that tell a map list's elements apart (a Service port's protocol)."""
        found = {}
        for key in self.list_keys:
            node = self.element().property(key)
            if node is not None and "default" in node.raw:
                found[key] = node.raw["default"]
        return found

    @cached_property
    def alternatives(self) -> Mapping[str, tuple[Schema, ...]]:
        """The nodes of allOf, anyOf and oneOf, and of not (a single one)."""
        found = {
            key: tuple(Schema(raw) for raw in self.raw[key]) for key in ("allOf", "anyOf", "oneOf") if self.raw.get(key)
        }
        if isinstance(self.raw.get("not"), Mapping):
            found["not"] = (Schema(self.raw["not"]),)
        return found

    @cached_property
    def rules(self) -> tuple[Mapping[str, Any], ...]:
        """``x-kubernetes-validations`` of this node, as written."""
        return tuple(self.raw.get("x-kubernetes-validations") or ())

    @cached_property
    def has_typed_text(self) -> bool:
        """Whether this or something below is text that CEL reads as a time, a duration or bytes."""
        return _anywhere(self.raw, lambda raw: raw.get("format") in TYPED_TEXT)

    @cached_property
    def has_rules(self) -> bool:
        """Whether this or something below has a rule in CEL."""
        return _anywhere(self.raw, lambda raw: bool(raw.get("x-kubernetes-validations")))


TYPED_TEXT = ("date-time", "duration", "byte")


def _anywhere(raw: Any, test: Callable[[Mapping[str, Any]], bool]) -> bool:
    if not isinstance(raw, Mapping):
        return False
    return (
        test(raw)
        or any(_anywhere(one, test) for one in (raw.get("properties") or {}).values())
        or _anywhere(raw.get("items"), test)
        or _anywhere(raw.get("additionalProperties"), test)
        or any(_anywhere(one, test) for one in raw.get("allOf") or ())
    )


UNTYPED = Schema({"x-kubernetes-preserve-unknown-fields": True})
"""A place of which nothing is known: objects are granular, lists atomic, every field is kept."""


def without_descriptions(raw: Any) -> Any:
    """The same schema without its prose, which is most of its size and of no use here."""
    if isinstance(raw, list):
        return [without_descriptions(one) for one in raw]
    if not isinstance(raw, dict):
        return raw
    slim = {}
    for key, value in raw.items():
        if key == "description" and isinstance(value, str):
            continue
        if key == "properties" and isinstance(value, dict):
            slim[key] = {name: without_descriptions(one) for name, one in value.items()}
        elif key in ("default", "enum", "example"):
            slim[key] = value
        else:
            slim[key] = without_descriptions(value)
    return slim
