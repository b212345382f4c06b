"""The life of a watch: list, stream, lose the line, come back, and never miss a change."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from console.k8s.errors import KubeError, error_from
from console.k8s.transport import Transport
from console.k8s.types import Change, Kind, Object
from console.outcome import Failure, Refusal

_STREAM_SECONDS = 300
_SILENCE_SECONDS = 120.0
"""A server sends a bookmark every minute: a line that is silent for two is dead."""

_PAUSES_SECONDS = (0.1, 10.0)

Listed = Callable[[], Awaitable[tuple[list[Object], str]]]
_Name = tuple[str, str]


class _Known:
    """What the watch has told so far: uid and resourceVersion by namespace and name."""

    def __init__(self) -> None:
        self._told: dict[_Name, tuple[str, str]] = {}
        self._last: dict[_Name, Object] = {}

    def replaced_by(self, objects: list[Object]) -> list[Change]:
        """What a fresh list means: what is new, what changed, what vanished meanwhile."""
        changes = []
        present = {_name(one) for one in objects}
        for name in [name for name in self._told if name not in present]:
            changes.append(Change("deleted", self._last[name]))
            self._forget(name)
        for one in objects:
            changes += self.seen(one)
        return changes

    def seen(self, one: Object) -> list[Change]:
        name, state = _name(one), _state(one)
        before = self._told.get(name)
        if before == state:
            return []
        changes = []
        if before is not None and before[0] != state[0]:  # deleted and made again
            changes.append(Change("deleted", self._last[name]))
            before = None
        self._told[name] = state
        self._last[name] = one
        return [*changes, Change("added" if before is None else "modified", one)]

    def gone(self, one: Object) -> list[Change]:
        name = _name(one)
        if name not in self._told:
            return []
        self._forget(name)
        return [Change("deleted", one)]

    def _forget(self, name: _Name) -> None:
        del self._told[name]
        del self._last[name]


def _name(one: Object) -> _Name:
    metadata = one["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def _state(one: Object) -> tuple[str, str]:
    metadata = one["metadata"]
    return metadata.get("uid") or "", metadata.get("resourceVersion") or ""


async def watch_kind(
    transport: Transport, kind: Kind, namespace: str | None, labels: str, listed: Listed
) -> AsyncGenerator[Change, None]:
    """See `Cluster.watch`."""
    known = _Known()
    synced = False
    version = ""
    pause = _PAUSES_SECONDS[0]
    while True:
        try:
            if not version:
                objects, version = await listed()
                for change in known.replaced_by(objects):
                    yield change
                if not synced:
                    synced = True
                    yield Change("synced", {})
            async with aclosing(_events(transport, kind, namespace, labels, version)) as events:
                async for event, one in events:
                    version = one["metadata"].get("resourceVersion") or version
                    pause = _PAUSES_SECONDS[0]
                    if event != "BOOKMARK":
                        for change in known.gone(one) if event == "DELETED" else known.seen(one):
                            yield change
        except Refusal:
            if not synced:
                raise
            version = ""  # rights were taken away, or the kind: it may come back
        except Failure as problem:
            if problem.code != "KUBE_UNREACHABLE":  # compacted, or a server that counts anew
                version = ""
        # Also where the server ended the stream in order: it may be about to stop.
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads reconnects
        pause = min(pause * 2, _PAUSES_SECONDS[1])


async def _events(
    transport: Transport, kind: Kind, namespace: str | None, labels: str, version: str
) -> AsyncGenerator[tuple[str, Object], None]:
    query = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(_STREAM_SECONDS),
    }
    if labels:
        query["labelSelector"] = labels
    doing = f"watch {kind.plural}"
    async with transport.stream(kind.path(namespace), doing=doing, query=query, silence=_SILENCE_SECONDS) as lines:
        async for line in lines:
            try:
                event = json.loads(line)
                kind_of_event, one = event["type"], event["object"]
            except (ValueError, KeyError, TypeError):
                raise KubeError(f"the cluster sends what is no event to {doing}") from None
            if kind_of_event == "ERROR":
                raise error_from(int(one.get("code") or 500), json.dumps(one).encode(), doing)
            yield kind_of_event, one
