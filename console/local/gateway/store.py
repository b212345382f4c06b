"""What the watches have told: the objects of the kinds that a gateway reads, each in its latest version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from console.k8s.types import (
    AI_GATEWAY_ROUTE,
    AI_SERVICE_BACKEND,
    BACKEND,
    BACKEND_SECURITY_POLICY,
    BACKEND_TLS_POLICY,
    BACKEND_TRAFFIC_POLICY,
    CLIENT_TRAFFIC_POLICY,
    ENDPOINT_SLICE,
    GATEWAY,
    GATEWAY_CLASS,
    HTTP_ROUTE,
    HTTP_ROUTE_FILTER,
    NAMESPACE,
    REFERENCE_GRANT,
    SECRET,
    SECURITY_POLICY,
    SERVICE,
    Change,
    Kind,
    Object,
    Ref,
)
from console.local.gateway.snapshot import Key, Snapshot, key_of

WATCHED: Final[tuple[Kind, ...]] = (
    NAMESPACE,
    SECRET,
    SERVICE,
    ENDPOINT_SLICE,
    GATEWAY_CLASS,
    GATEWAY,
    HTTP_ROUTE,
    HTTP_ROUTE_FILTER,
    REFERENCE_GRANT,
    BACKEND,
    BACKEND_TLS_POLICY,
    BACKEND_TRAFFIC_POLICY,
    CLIENT_TRAFFIC_POLICY,
    SECURITY_POLICY,
    AI_GATEWAY_ROUTE,
    AI_SERVICE_BACKEND,
    BACKEND_SECURITY_POLICY,
)
GUARDS: Final[tuple[Kind, ...]] = (
    SECURITY_POLICY,
    BACKEND_TRAFFIC_POLICY,
    CLIENT_TRAFFIC_POLICY,
    BACKEND_TLS_POLICY,
    BACKEND_SECURITY_POLICY,
)
"""What makes a route less open than it is without. Watches run apart: these must never be older than the routes."""

_KIND_BY_NAME: Final[Mapping[str, Kind]] = {kind.kind: kind for kind in WATCHED}
_BOOKKEEPING = ("resourceVersion", "managedFields")


def ref_of(key: Key) -> Ref:
    return Ref(_KIND_BY_NAME[key.kind], key.name, key.namespace or None)


class Store:
    """Objects by key."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}
        self._snapshot: Snapshot | None = None

    def take(self, change: Change) -> str:
        """Note a change. What it touched: ``spec``, ``status`` (nothing that is translated), or nothing."""
        if change.type == "deleted":
            known = self._objects.get(key_of(change.object))
            if known is None or _uid(known) != _uid(change.object):
                return ""
            self.forget(key_of(change.object))
            return "spec"
        return self.put(change.object)

    def put(self, one: Object) -> str:
        """Note an object, unless a later version of it is known. What it touched, as `take` says it."""
        key = key_of(one)
        known = self._objects.get(key)
        if known is not None and _uid(known) == _uid(one) and _version(one) <= _version(known):
            return ""
        self._objects[key] = one
        self._snapshot = None
        if known is not None and _translated(known) == _translated(one):
            return "status"
        return "spec"

    def replace(self, kind: Kind, objects: Iterable[Object], *, keep_absent: bool) -> None:
        """Note a fresh list of a kind. With ``keep_absent``, what is not in it stays until its watch says so."""
        present = set()
        for one in objects:
            present.add(key_of(one))
            self.put(one)
        if not keep_absent:
            for key in [key for key in self._objects if key.kind == kind.kind and key not in present]:
                self.forget(key)

    def get(self, key: Key) -> Object | None:
        return self._objects.get(key)

    def items(self) -> list[tuple[Key, Object]]:
        return list(self._objects.items())

    def versions(self, kind: Kind) -> dict[Key, str]:
        """The resourceVersion of each object of a kind."""
        return {
            key: str(one["metadata"].get("resourceVersion"))
            for key, one in self._objects.items()
            if key.kind == kind.kind
        }

    def snapshot(self) -> Snapshot:
        if self._snapshot is None:
            self._snapshot = Snapshot(self._objects.values())
        return self._snapshot

    def forget(self, key: Key) -> None:
        """Note that an object is gone, before its watch says so."""
        self._objects.pop(key, None)
        self._snapshot = None


def _uid(one: Object) -> str:
    return str(one["metadata"].get("uid") or "")


def _version(one: Object) -> int:
    """Only compared between versions of one object, which Kubernetes counts upwards."""
    version = str(one["metadata"].get("resourceVersion") or "")
    return int(version) if version.isdecimal() else 0


def _translated(one: Object) -> dict[str, Any]:
    """An object without what no translation reads: its status, and the server's bookkeeping."""
    metadata = {name: value for name, value in one["metadata"].items() if name not in _BOOKKEEPING}
    return {name: value for name, value in one.items() if name not in ("status", "metadata")} | {"metadata": metadata}
