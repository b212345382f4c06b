"""What Envoy AI Gateway's controller would write: HTTPRoutes and filters for AIGatewayRoutes, and finalizers.

A route that is deleted takes its HTTPRoute with it before its finalizer goes, so that whoever waits for the route to be
gone may then take away what guarded it.
"""

from __future__ import annotations

from typing import Any

from console.guard import Permit
from console.k8s.cluster import Cluster
from console.k8s.errors import Conflict, Missing
from console.k8s.types import AI_GATEWAY_ROUTE, HTTP_ROUTE, HTTP_ROUTE_FILTER, Object, Ref
from console.local.gateway.snapshot import Key, being_deleted, key_of
from console.local.gateway.store import Store, ref_of
from console.local.gateway.translate import generated_objects
from console.local.gateway.translate.ai import owner_of
from console.local.gateway.translate.statuses import AI_KINDS
from console.outcome import Refusal

FINALIZER = "aigateway.envoyproxy.io/finalizer"


class GeneratedObjects:
    """Keeps them as the AIGatewayRoutes ask for."""

    def __init__(self, cluster: Cluster, store: Store, permit: Permit) -> None:
        self._cluster = cluster
        self._store = store
        self._permit = permit
        self._applied: dict[Key, dict[str, Any]] = {}

    async def bring_about(self) -> dict[Key, str]:
        """Write what is missing or differs, remove what a deleted route had. Refusals, by AIGatewayRoute.

        Raises:
            Unavailable, TimedOut: the cluster does not answer.
        """
        wanted = generated_objects(self._store.snapshot())
        refused: dict[Key, str] = {}
        for manifest in wanted.objects:
            owner = Key("AIGatewayRoute", *_place(manifest, manifest["metadata"]["ownerReferences"][0]["name"]))
            try:
                await self._apply(manifest)
            except Refusal as problem:
                refused[owner] = f"failed to write {manifest['kind']} {manifest['metadata']['name']}: {problem}"
        for key, one in self._store.items():
            if key.kind == AI_GATEWAY_ROUTE.kind and being_deleted(one):
                await self._remove_of(key)
        return refused

    async def _apply(self, manifest: dict[str, Any]) -> None:
        key = key_of(manifest)
        existing = self._store.get(key)
        if existing is not None and self._applied.get(key) == manifest and existing.get("spec") == manifest["spec"]:
            return
        self._store.put(await self._cluster.apply(self._permit, manifest, force=True))
        self._applied[key] = manifest

    async def _remove_of(self, route: Key) -> None:
        for key, one in self._store.items():
            if key.kind in (HTTP_ROUTE.kind, HTTP_ROUTE_FILTER.kind) and owner_of(one) == route:
                await self._cluster.delete(self._permit, ref_of(key), uid=one["metadata"].get("uid"))
                self._applied.pop(key, None)
                self._store.forget(key)

    async def settle_finalizers(self) -> None:
        """Put our finalizer on what is there, and take it from what is to go. To be called when Envoy has followed.

        Raises:
            Unavailable, TimedOut: the cluster does not answer.
        """
        for key, one in self._store.items():
            if key.kind in AI_KINDS:
                finalizers = list(one["metadata"].get("finalizers") or ())
                if being_deleted(one) and FINALIZER in finalizers:
                    finalizers.remove(FINALIZER)
                elif not being_deleted(one) and FINALIZER not in finalizers:
                    finalizers.append(FINALIZER)
                else:
                    continue
                await self._set_finalizers(ref_of(key), one, finalizers)

    async def _set_finalizers(self, ref: Ref, one: Object, finalizers: list[str]) -> None:
        metadata = {"finalizers": finalizers, "resourceVersion": one["metadata"].get("resourceVersion")}
        try:
            written = await self._cluster.patch(self._permit, ref, {"metadata": metadata})
        except (Missing, Conflict):
            return  # it has changed meanwhile: its watch tells, and we come back
        if not being_deleted(one):
            self._store.put(written)


def _place(manifest: dict[str, Any], name: str) -> tuple[str, str]:
    return manifest["metadata"].get("namespace") or "", name
