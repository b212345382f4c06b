"""The local gateway's controller: from every change of an object to Envoy, and back to the object's status.

It stands for two of a cluster's: Envoy Gateway's and Envoy AI Gateway's. A status is written only after Envoy has
acknowledged the configuration that it speaks of.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from console.access.table import USES_FILE
from console.guard import system_permit
from console.k8s.cluster import Cluster
from console.k8s.errors import NotServed
from console.k8s.types import HTTP_ROUTE, Kind
from console.local.envoy import Envoy
from console.local.gateway.generated import GeneratedObjects
from console.local.gateway.snapshot import Key, generation_of, key_of
from console.local.gateway.statuses import Status, StatusWriter, held_back
from console.local.gateway.store import GUARDS, WATCHED, Store
from console.local.gateway.translate import Settings, Translation, translate
from console.local.gateway.translate.conditions import condition
from console.local.gateway.xds import Applied, Refused, Xds
from console.outcome import Failure, ModeldeckError, TimedOut, Unavailable

log = logging.getLogger("modeldeck.gateway")

_COALESCE_SECONDS = 0.004
_LONGEST_COALESCE_SECONDS = 0.05
_LOOK_SECONDS = 0.5
_RETRY_SECONDS = (0.1, 3.0)
_ANOTHER_TRY_SECONDS = 3.0
_USES_LIMIT_BYTES = 8 * 1024 * 1024
_NOT_SERVED_SECONDS = 5.0


class Controller:
    """Watches, translates, applies, reports; from `start` to `stop`.

    Args:
        cluster: with the rights of a controller (`console.local.kube.CONTROLLER`)
        envoy: started and restarted by somebody else; it may be down
        grace_seconds: how long a cluster stays after the last route has left it
    """

    def __init__(
        self, cluster: Cluster, envoy: Envoy, settings: Settings | None = None, *, grace_seconds: float = 30.0
    ) -> None:
        self.settings = settings or Settings(directory=envoy.configuration, access_log=envoy.access_log)
        self._cluster = cluster
        self._envoy = envoy
        self._permit = system_permit("run the local gateway")
        self._store = Store()
        self._xds = Xds(envoy, self.settings, grace_seconds=grace_seconds)
        self._generated = GeneratedObjects(cluster, self._store, self._permit)
        self._statuses = StatusWriter(cluster, self._store, self._permit, self.settings.controller_name)
        self._tasks: list[asyncio.Task[None]] = []
        self._unsynced = {kind.kind for kind in WATCHED}
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._stale = True
        self._busy = True
        self._translation: Translation | None = None
        self._applied: Applied | None = None
        self._problem = "it has not looked yet"
        self._seen_envoy = (0, False)
        self._retry_at = 0.0

    @property
    def revision(self) -> int:
        """The last revision of which Envoy has said something; 0 for none yet."""
        return self._applied.revision if self._applied else 0

    @property
    def refused(self) -> tuple[Refused, ...]:
        """What Envoy does not take at the moment."""
        return self._applied.refused if self._applied else ()

    async def start(self) -> None:
        """Begin; returns at once. `settled` says when the gateway is what the cluster asks for."""
        if self._tasks:
            return
        self._tasks = [asyncio.create_task(self._watch(kind), name=f"watch {kind.plural}") for kind in WATCHED]
        self._tasks.append(asyncio.create_task(self._run(), name="gateway controller"))
        self._tasks.append(asyncio.create_task(self._look_after_envoy(), name="gateway look-out"))

    async def stop(self) -> None:
        """End it; Envoy keeps what it has."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def health(self) -> str:
        """What it is doing, in a few words.

        Raises:
            Failure: what it cannot do at the moment.
        """
        dead = [task for task in self._tasks if task.done()]
        if dead or not self._tasks:
            raise Failure("the gateway's controller has ended", code="GATEWAY_CONTROLLER_ENDED")
        if self._problem:
            raise Failure(f"the gateway does not follow: {self._problem}", code="GATEWAY_BEHIND")
        if self.refused:
            raise Failure(self.refused[0].sentence, code="GATEWAY_CONFIGURATION_REFUSED")
        return f"revision {self.revision} in force"

    async def settled(self, timeout: float = 10.0) -> None:
        """Wait until everything that is in the cluster now is in force, or refused, and said so.

        Raises:
            TimedOut: it is not, within the time.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._busy or not await self._is_current():
                    self._moved.clear()
                    if self._busy:
                        await self._moved.wait()
                    else:  # a watch has yet to tell what we have read
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._moved.wait(), 0.02)
        except TimeoutError:
            why = self._problem or "changes keep coming"
            raise TimedOut(f"the gateway did not settle within {timeout:g} s: {why}", code="GATEWAY_BEHIND") from None

    async def _is_current(self) -> bool:
        """Whether the store is what the cluster holds now, and nothing has happened since it was translated."""
        for kind in WATCHED:
            try:
                objects, _ = await self._cluster.list(kind)
            except NotServed:
                continue
            if self._busy or self._store.versions(kind) != {
                key_of(one): str(one["metadata"].get("resourceVersion")) for one in objects
            }:
                return False
        return not self._busy

    # --- watching ----------------------------------------------------------------------------------------------

    async def _watch(self, kind: Kind) -> None:
        while True:
            try:
                async for change in self._cluster.watch(kind):
                    if change.type == "synced":
                        self._synced(kind)
                    else:
                        self._note(self._store.take(change))
            except NotServed:
                self._synced(kind)
                await asyncio.sleep(_NOT_SERVED_SECONDS)
            except ModeldeckError as problem:
                self._problem = f"{kind.plural} cannot be watched: {problem}"
                self._moved.set()
                await asyncio.sleep(_RETRY_SECONDS[1])

    def _synced(self, kind: Kind) -> None:
        self._unsynced.discard(kind.kind)
        self._note("spec")

    def _note(self, touched: str) -> None:
        """Something was told; what only our own writes touched is looked at too, for others may write there."""
        if not touched:
            return
        if touched == "spec":
            self._stale = True
        self._busy = True
        self._wake.set()
        self._moved.set()

    async def _look_after_envoy(self) -> None:
        """Notice an Envoy that is gone or new, ports that may be free again, and what its time is over for."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            ready = await self._envoy.ready()
            if (self._envoy.starts, ready) != self._seen_envoy:
                self._seen_envoy = (self._envoy.starts, ready)
                self._note("spec")
            if self._xds.is_worth_another_try and time.monotonic() > self._retry_at:
                self._retry_at = time.monotonic() + _ANOTHER_TRY_SECONDS
                self._note("spec")
            if self._xds.has_leftovers:
                self._note("status")
            if ready:
                with contextlib.suppress(ModeldeckError, OSError):
                    await self._envoy.rotate_access_log()
                    await self._rotate_uses()

    async def _rotate_uses(self) -> None:
        """Put what passed without a question aside; the authorizer reads it to its end (console/access/keeping.py)."""
        table = self.settings.key_table
        uses = table / USES_FILE if table is not None else None
        if uses is not None and uses.exists() and uses.stat().st_size > _USES_LIMIT_BYTES:
            uses.replace(uses.with_suffix(".log.1"))
            await self._envoy.reopen_logs()

    # --- reconciling -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = _RETRY_SECONDS[0]
        while True:
            await self._wake.wait()
            await self._coalesce()
            if self._unsynced:
                continue
            try:
                await self._reconcile()
            except (ModeldeckError, OSError, ExceptionGroup) as problem:
                self._problem = _sentence(problem)
                log.warning("the gateway does not follow: %s", self._problem)
            except Exception as problem:
                # A fault of ours must not be the end of the gateway: it is told, and tried again with the next change.
                self._problem = f"an error in the controller ({type(problem).__name__}: {problem})"
                log.exception("the gateway does not follow")
            else:
                self._problem = ""
                pause = _RETRY_SECONDS[0]
                self._busy = self._wake.is_set()
                self._moved.set()
                continue
            self._stale = True
            self._moved.set()
            await self._wait_to_retry(pause)
            pause = min(pause * 2, _RETRY_SECONDS[1])

    async def _coalesce(self) -> None:
        """Let changes that come together be one; a storm of them is answered now and then."""
        latest = time.monotonic() + _LONGEST_COALESCE_SECONDS
        while self._wake.is_set() and time.monotonic() < latest:
            self._wake.clear()
            await asyncio.sleep(_COALESCE_SECONDS)
        self._wake.clear()

    async def _wait_to_retry(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.set()

    async def _reconcile(self) -> None:
        """One round. It goes on from wherever an earlier one has failed."""
        if self._stale:
            self._stale = False
            await self._read_guards()
            refused = await self._generated.bring_about()
            self._translation = _with_refusals(translate(self._store.snapshot(), self.settings), refused, self._store)
            try:
                self._applied = await self._xds.apply(self._translation)
            except Unavailable as problem:
                await self._say_down(self._translation, str(problem))
                raise
        assert self._translation is not None
        await self._say(self._translation)
        await self._generated.settle_finalizers()
        await self._xds.prune(self._translation)

    async def _read_guards(self) -> None:
        """See to it that no route is served without a policy that was there before it, or that outlives it.

        Each kind has its own watch, and one may be ahead of another. So the routes are read now, and after them what
        guards them: what is younger than a policy is then read later than the policy was written. What the list of
        policies lacks stays until its watch says that it is gone, for it may have gone after the route that it guarded.
        """
        routes, _ = await self._cluster.list(HTTP_ROUTE)
        self._store.replace(HTTP_ROUTE, routes, keep_absent=False)
        found = await asyncio.gather(*(self._listed(kind) for kind in GUARDS))
        for kind, objects in zip(GUARDS, found, strict=True):
            self._store.replace(kind, objects, keep_absent=True)

    async def _listed(self, kind: Kind) -> list[dict[str, Any]]:
        try:
            return (await self._cluster.list(kind))[0]
        except NotServed:
            return []

    # --- what is said ------------------------------------------------------------------------------------------

    async def _say(self, translation: Translation) -> None:
        """The statuses as Envoy has made them: those of a translation, but for what it did not take."""
        refused = self.refused
        statuses = dict(translation.statuses)
        still_true: set[Key] = set()
        all_held = any(one.what != "listeners" for one in refused)
        for key, wanted in translation.statuses.items() if refused else ():
            if key.kind == "Gateway":
                why = next((one for one in refused if one.port is None or translation.ports.get(one.port) == key), None)
                if why is not None:
                    statuses[key] = self._not_programmed(key, wanted, "Invalid", why.sentence)
            elif all_held and self._was_accepted(key):
                still_true.add(key)
            elif all_held:
                statuses[key] = held_back(wanted, refused[0].sentence)
        await self._statuses.write(statuses, leave=still_true)

    def _was_accepted(self, key: Key) -> bool:
        """Whether an object, as it is now, was accepted before: that still holds, for the last good one is in force."""
        one = self._store.get(key)
        if one is None:
            return True
        conditions = list((one.get("status") or {}).get("conditions") or ())
        for name in ("parents", "ancestors"):
            for entry in (one.get("status") or {}).get(name) or ():
                conditions += entry.get("conditions") or ()
        return any(
            said.get("type") == "Accepted"
            and said.get("status") == "True"
            and said.get("observedGeneration") == generation_of(one)
            for said in conditions
        )

    async def _say_down(self, translation: Translation, why: str) -> None:
        """While Envoy does not answer, only this is known: no Gateway of ours is served."""
        down = {
            key: self._not_programmed(key, wanted, "NoResources", f"Envoy replicas unavailable: {why}")
            for key, wanted in translation.statuses.items()
            if key.kind == "Gateway"
        }
        await self._statuses.write(down, leave={key for key, _ in self._store.items() if key not in down})

    def _not_programmed(self, key: Key, wanted: Status, reason: str, why: str) -> Status:
        one = self._store.get(key)
        said = condition("Programmed", False, reason, why, generation_of(one) if one else 0)

        def replaced(status: Status) -> Status:
            kept = [one for one in status["conditions"] if one["type"] != "Programmed"]
            was = [one for one in status["conditions"] if one["type"] == "Programmed" and one["status"] == "False"]
            return status | {"conditions": [*kept, *(was or [said])]}

        return replaced(wanted) | {"listeners": [replaced(listener) for listener in wanted["listeners"]]}


def _with_refusals(translation: Translation, refused: Mapping[Key, str], store: Store) -> Translation:
    """A translation in which routes whose objects the cluster would not take say so."""
    if not refused:
        return translation
    statuses = dict(translation.statuses)
    for key, why in refused.items():
        one = store.get(key)
        generation = generation_of(one) if one else 0
        said = condition("NotAccepted", False, "ReconciliationFailed", why, generation)
        statuses[key] = {"conditions": [said]}
    return replace(translation, statuses=statuses)


def _sentence(problem: BaseException) -> str:
    if isinstance(problem, BaseExceptionGroup):
        return _sentence(problem.exceptions[0])
    return str(problem) or type(problem).__name__
