"""What follows from a deletion: dependents of owners that are gone, the content of namespaces and of definitions.

One task that works through what events tell it. Everything that it does can be done again: after a restart it
looks at everything once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from typing import Any

from console.local.kube import definitions
from console.local.kube.core import NAMESPACE_FINALIZER
from console.local.kube.deleting import FOREGROUND, ORPHAN, DeleteOptions, delete
from console.local.kube.metadata import Object
from console.local.kube.state import State, Target
from console.local.kube.status import ApiError, qualified
from console.local.kube.storage import Draft, Event, Key, Moved

log = logging.getLogger("modeldeck.kube")

_RETRY_SECONDS = 0.5


class Collector:
    """`notice` takes events; `run` acts on them until it is cancelled."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._pending: dict[tuple[str, Any], None] = {}
        self._wake = asyncio.Event()

    def notice(self, event: Event) -> None:
        """Note what an event may ask for. Called on the loop, in order."""
        record = event.record
        if event.change == "DELETED":
            self._add("owner", record.uid)
            if record.key.namespace:
                self._add("object", Key("namespaces", "", record.key.namespace))
            self._add("definition of", record.key.resource)
            for owner in _owners(record.body):
                key = self._state.storage.exists(str(owner.get("uid", "")))
                if key is not None:
                    self._add("object", key)
            return
        if '"ownerReferences"' in record.body:
            self._add("dependent", record.key)
        if '"deletionTimestamp"' in record.body:
            self._add("object", record.key)

    def survey(self) -> None:
        """Look at everything: for after a start."""
        for owner in self._state.storage.owners():
            self._add("owner", owner)
        for resource in self._state.registry:
            for record in self._state.storage.collection(resource.key)[0]:
                if '"deletionTimestamp"' in record.body:
                    self._add("object", record.key)

    def _add(self, what: str, about: Any) -> None:
        self._pending[what, about] = None
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                task = next(iter(self._pending))
                del self._pending[task]
                try:
                    await self._do(*task)
                except (ApiError, sqlite3.Error):
                    log.exception("after a deletion: %s %s", *task)
                    await asyncio.sleep(_RETRY_SECONDS)
                    self._pending[task] = None

    async def _do(self, what: str, about: Any) -> None:
        match what:
            case "owner":
                for key in self._state.storage.dependents(about):
                    await self._release(key)
            case "dependent":
                await self._release(about)
            case "definition of":
                group, _, plural = about.rpartition("/")
                await self._finish(Key(f"{definitions.GROUP}/customresourcedefinitions", "", qualified(group, plural)))
            case _:
                await self._finish(about)

    # --- owners ------------------------------------------------------------------------------------------------

    async def _release(self, key: Key) -> None:
        """Delete an object all of whose owners are gone; take the gone ones from one that has others left."""
        while (found := self._read(key)) is not None:
            target, content, revision = found
            owners = content["metadata"].get("ownerReferences") or []
            present = [one for one in owners if self._is_there(one, key)]
            waiting = [one for one in owners if one not in present]
            if not waiting:
                return
            try:
                if not present:
                    await self._delete(target)
                else:
                    content["metadata"]["ownerReferences"] = present
                    await self._state.storage.write(Draft.of(key, content), expected=revision)
                return
            except Moved:
                continue

    def _is_there(self, owner: Object, dependent: Key) -> bool:
        """An owner lives in the dependent's namespace, or is cluster-wide."""
        key = self._state.storage.exists(str(owner.get("uid", "")))
        return key is not None and key.namespace in ("", dependent.namespace)

    # --- finalizers of our own ---------------------------------------------------------------------------------

    async def _finish(self, key: Key) -> None:
        """Do what the server's own finalizers on an object that is being deleted stand for."""
        while (found := self._read(key)) is not None:
            target, content, revision = found
            if "deletionTimestamp" not in content["metadata"]:
                return
            done = await self._done(target, content)
            if not done:
                return
            own = content["metadata"]
            own["finalizers"] = [one for one in own.get("finalizers") or [] if one not in done]
            if target.kind == "Namespace" and NAMESPACE_FINALIZER in done:
                content["spec"]["finalizers"] = [one for one in content["spec"]["finalizers"] if one not in done]
            left = own["finalizers"] or (target.kind == "Namespace" and content["spec"]["finalizers"])
            draft = Draft.of(key, content)
            with contextlib.suppress(Moved):
                if left:
                    await self._state.storage.write(draft, expected=revision)
                else:
                    await self._state.storage.delete(key, expected=revision, body=draft.body)
                return

    async def _done(self, target: Target, content: Object) -> set[str]:
        """The finalizers that have nothing left to wait for."""
        storage = self._state.storage
        finalizers = set(content["metadata"].get("finalizers") or [])
        done: set[str] = set()
        uid = content["metadata"]["uid"]
        if ORPHAN in finalizers:
            for key in storage.dependents(uid):
                await self._orphan(key, uid)
            done.add(ORPHAN)
        if FOREGROUND in finalizers:
            for key in storage.dependents(uid):
                await self._delete_key(key)
            if not storage.dependents(uid):
                done.add(FOREGROUND)
        if target.kind == "Namespace" and NAMESPACE_FINALIZER in content["spec"]["finalizers"]:
            for key in storage.content(target.name):
                await self._delete_key(key)
            if not storage.content(target.name):
                done.add(NAMESPACE_FINALIZER)
        if definitions.CLEANUP_FINALIZER in finalizers:
            resource = f"{content['spec']['group']}/{content['spec']['names']['plural']}"
            for record in storage.collection(resource)[0]:
                await self._delete_key(record.key)
            if not storage.collection(resource)[0]:
                done.add(definitions.CLEANUP_FINALIZER)
        return done

    async def _orphan(self, key: Key, owner: str) -> None:
        while (found := self._read(key)) is not None:
            _target, content, revision = found
            own = content["metadata"]
            own["ownerReferences"] = [one for one in own.get("ownerReferences") or [] if one.get("uid") != owner]
            with contextlib.suppress(Moved):
                await self._state.storage.write(Draft.of(key, content), expected=revision)
                return

    async def _delete_key(self, key: Key) -> None:
        found = self._read(key)
        if found is not None and "deletionTimestamp" not in found[1]["metadata"]:
            await self._delete(found[0])

    async def _delete(self, target: Target) -> None:
        with contextlib.suppress(ApiError):  # it is gone, or may not go
            await delete(self._state, target, DeleteOptions())

    def _read(self, key: Key) -> tuple[Target, Object, int] | None:
        resource = self._state.registry.get(key.resource)
        record = self._state.storage.get(key)
        if resource is None or record is None:
            return None
        target = Target(resource, resource.versions[0], key.namespace, key.name)
        return target, target.object(record), record.revision


def _owners(body: str) -> list[Object]:
    if '"ownerReferences"' not in body:
        return []
    return json.loads(body)["metadata"].get("ownerReferences") or []
