"""The step that takes fields out of an object which somebody else has put there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from console.guard import system_permit
from console.k8s.cluster import Cluster
from console.k8s.types import Object, ref_of


class PruneFields:
    """Remove fields that an apply of ours would leave, for it never set them. Undone by their values before."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        live = await self._cluster.get(ref_of(arguments["manifest"])) or {}
        return {"values": [_value(live, path) for path in arguments["fields"]]}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        await self._patch(arguments, [None] * len(arguments["fields"]))
        return f"removed {', '.join('.'.join(path) for path in arguments['fields'])}"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        await self._patch(arguments, undo["values"])
        return "as before"

    async def _patch(self, arguments: Mapping[str, Any], values: Sequence[Any]) -> None:
        ref = ref_of(arguments["manifest"])
        permit = system_permit(arguments["action"], target=str(ref)).on_behalf_of(arguments["actor"])
        body: Object = {}
        for path, value in zip(arguments["fields"], values, strict=True):
            place = body
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = value
        await self._cluster.patch(permit, ref, body)


def _value(live: Any, path: Sequence[str]) -> Any:
    for name in path:
        live = live.get(name) if isinstance(live, Mapping) else None
    return live
