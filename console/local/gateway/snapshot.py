"""The objects of a cluster at one moment, as the translation reads them: immutable, by kind and name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""

GATEWAY_API = "gateway.networking.k8s.io"
ENVOY_GATEWAY = "gateway.envoyproxy.io"
AI_GATEWAY = "aigateway.envoyproxy.io"
CORE = ""


class Key(NamedTuple):
    """Which object: among the kinds of a gateway, the kind's name alone is unique."""

    kind: str
    namespace: str
    name: str

    @property
    def place(self) -> str:
        """``namespace/name``, as Envoy Gateway writes it in messages."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(one: Object) -> Key:
    metadata = one["metadata"]
    return Key(one["kind"], metadata.get("namespace") or "", metadata["name"])


def namespace_of(one: Object) -> str:
    return one["metadata"].get("namespace") or ""


def generation_of(one: Object) -> int:
    return int(one["metadata"].get("generation") or 0)


def labels_of(one: Object) -> Mapping[str, str]:
    return one["metadata"].get("labels") or {}


def annotations_of(one: Object) -> Mapping[str, str]:
    return one["metadata"].get("annotations") or {}


def being_deleted(one: Object) -> bool:
    return bool(one["metadata"].get("deletionTimestamp"))


def fields(value: object) -> Mapping[str, Any]:
    """The value where it is an object, else an empty one: nobody may have checked what is in a spec."""
    return value if isinstance(value, Mapping) else {}


def listed(value: object) -> list[Mapping[str, Any]]:
    """The objects in a list; nothing where it is none."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else []


def seniority(one: Object) -> tuple[str, str, str]:
    """Who wins among equals: the older, then the first by name (Gateway API, "Conflicts")."""
    metadata = one["metadata"]
    return (str(metadata.get("creationTimestamp") or ""), metadata.get("namespace") or "", metadata["name"])


class Reference(NamedTuple):
    """One end of a reference that may cross namespaces."""

    group: str
    kind: str
    namespace: str
    name: str = ""


class Snapshot:
    """Objects by kind, each kind from the oldest to the youngest."""

    def __init__(self, objects: Iterable[Object]) -> None:
        by_key: dict[Key, Object] = {key_of(one): one for one in objects}
        by_kind: dict[str, list[Object]] = {}
        for key in sorted(by_key, key=lambda key: (key.kind, seniority(by_key[key]))):
            by_kind.setdefault(key.kind, []).append(by_key[key])
        self._by_key = by_key
        self._by_kind = {kind: tuple(found) for kind, found in by_kind.items()}

    def all(self, kind: str) -> tuple[Object, ...]:
        return self._by_kind.get(kind, ())

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return self._by_key.get(Key(kind, namespace, name))

    def __contains__(self, key: Key) -> bool:
        return key in self._by_key

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """A namespace always carries its own name as a label, whether or not anybody has made the object."""
        found = self.get("Namespace", "", namespace)
        return {"kubernetes.io/metadata.name": namespace} | dict(labels_of(found) if found else {})

    @cached_property
    def _slices(self) -> Mapping[tuple[str, str], tuple[Object, ...]]:
        found: dict[tuple[str, str], tuple[Object, ...]] = {}
        for one in self.all("EndpointSlice"):
            service = (namespace_of(one), labels_of(one).get("kubernetes.io/service-name", ""))
            found[service] = (*found.get(service, ()), one)
        return found

    def slices_of(self, namespace: str, service: str) -> tuple[Object, ...]:
        """The EndpointSlices of a Service."""
        return self._slices.get((namespace, service), ())

    def permits(self, source: Reference, target: Reference) -> bool:
        """Whether a reference may be followed: in one namespace always, else by a ReferenceGrant of the target's.

        Gateway API, ReferenceGrant: ``from`` and ``to`` each name what they allow; a ``to`` without a name is all.
        """
        if source.namespace == target.namespace:
            return True
        return any(
            namespace_of(grant) == target.namespace and _grants(fields(grant.get("spec")), source, target)
            for grant in self.all("ReferenceGrant")
        )


def _grants(spec: Mapping[str, Any], source: Reference, target: Reference) -> bool:
    allowed = any(
        (one.get("group") or "", one.get("kind"), one.get("namespace")) == (source.group, source.kind, source.namespace)
        for one in listed(spec.get("from"))
    )
    return allowed and any(
        (one.get("group") or "", one.get("kind")) == (target.group, target.kind)
        and one.get("name") in (None, "", target.name)
        for one in listed(spec.get("to"))
    )
