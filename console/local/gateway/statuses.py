"""Writing statuses: only what differs, with times that move when something became true or ceased to be.

What other controllers say of an object (their entries in ``parents`` and ``ancestors``) stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from typing import Any

from console.guard import Permit
from console.k8s.cluster import Cluster
from console.k8s.errors import Conflict, Missing
from console.local.gateway.snapshot import Key
from console.local.gateway.store import Store, ref_of

Status = dict[str, Any]
_SHARED_LISTS = {
    "HTTPRoute": "parents",
    "SecurityPolicy": "ancestors",
    "BackendTrafficPolicy": "ancestors",
    "ClientTrafficPolicy": "ancestors",
    "BackendTLSPolicy": "ancestors",
}
"""Kinds that several controllers may speak of: the list in which each has its own entries."""
_AT_ONCE = 8


def merged(kind: str, current: Mapping[str, Any] | None, wanted: Status | None, controller: str, now: str) -> Status:
    """The status to write: what we say, with the times that it has already, beside what others say.

    Args:
        wanted: None where there is nothing for us to say of the object
    """
    current = current or {}
    shared = _SHARED_LISTS.get(kind)
    if shared is None:
        return timed(wanted or {}, current, now)
    entries = [one for one in current.get(shared) or () if isinstance(one, Mapping)]
    others = [dict(one) for one in entries if one.get("controllerName") != controller]
    ours = [one for one in entries if one.get("controllerName") == controller]
    reference = "parentRef" if shared == "parents" else "ancestorRef"
    said = []
    for one in (wanted or {}).get(shared, ()):
        before = next((other for other in ours if other.get(reference) == one[reference]), {})
        said.append(timed(one, before, now))
    return {shared: [*others, *said]}


def timed(wanted: Status, current: Mapping[str, Any], now: str) -> Status:
    """A copy in which every condition has its time: the one that it had as long as its status is the same."""
    result: Status = {}
    for name, value in wanted.items():
        before = current.get(name)
        if name == "conditions":
            known = {one.get("type"): one for one in before or () if isinstance(one, Mapping)}
            result[name] = [_timed_condition(one, known.get(one["type"]), now) for one in value]
        elif name == "listeners":
            known = {one.get("name"): one for one in before or () if isinstance(one, Mapping)}
            result[name] = [timed(one, known.get(one["name"]) or {}, now) for one in value]
        else:
            result[name] = value
    return result


def _timed_condition(one: Status, before: Mapping[str, Any] | None, now: str) -> Status:
    same = before is not None and before.get("status") == one["status"] and before.get("lastTransitionTime")
    return one | {"lastTransitionTime": before["lastTransitionTime"] if same and before else now}


def differs(current: Mapping[str, Any] | None, written: Status) -> bool:
    """Whether writing would change anything; null removes a field."""
    current = current or {}
    return any((current.get(name) or None) != (_without_nulls(value) or None) for name, value in written.items())


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return value


def held_back(wanted: Status, why: str) -> Status:
    """The status of an object that would be accepted, if Envoy had taken it."""
    result: Status = {}
    for name, value in wanted.items():
        if name == "conditions":
            result[name] = [_held_back_condition(one, why) for one in value]
        elif name in ("parents", "ancestors", "listeners"):
            result[name] = [held_back(one, why) for one in value]
        else:
            result[name] = value
    return result


def _held_back_condition(one: Status, why: str) -> Status:
    if one["type"] not in ("Accepted", "Programmed") or one["status"] != "True":
        return one
    if one["reason"] == "ReconciliationSucceeded":  # the AI kinds have a condition of their own for it
        return one | {"type": "NotAccepted", "status": "False", "reason": "ReconciliationFailed", "message": why}
    return one | {"status": "False", "reason": "Pending", "message": why}


class StatusWriter:
    """Brings the statuses in the cluster in line with a translation."""

    def __init__(self, cluster: Cluster, store: Store, permit: Permit, controller: str) -> None:
        self._cluster = cluster
        self._store = store
        self._permit = permit
        self._controller = controller
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def write(self, wanted: Mapping[Key, Status], *, leave: Container[Key] = ()) -> int:
        """Write what differs; how many that were.

        Args:
            leave: of these objects, what has been said is still true

        Raises:
            Unavailable, TimedOut: the cluster does not answer; what was written is written.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        changes = {key: status for key in self._spoken_of(wanted) if (status := self._change(key, wanted, now))}
        changes = {key: status for key, status in changes.items() if key not in leave}
        async with asyncio.TaskGroup() as tasks:
            for key, status in changes.items():
                tasks.create_task(self._write_one(key, status))
        return len(changes)

    def _spoken_of(self, wanted: Mapping[Key, Status]) -> list[Key]:
        """What we have something to say of, and what we have said something of that is over."""
        over = [
            key
            for key, one in self._store.items()
            if key not in wanted
            and (shared := _SHARED_LISTS.get(key.kind))
            and any(
                entry.get("controllerName") == self._controller for entry in (one.get("status") or {}).get(shared) or ()
            )
        ]
        return [*wanted, *over]

    def _change(self, key: Key, wanted: Mapping[Key, Status], now: str) -> Status | None:
        one = self._store.get(key)
        if one is None:
            return None
        status = merged(key.kind, one.get("status"), wanted.get(key), self._controller, now)
        return status if differs(one.get("status"), status) else None

    async def _write_one(self, key: Key, status: Status) -> None:
        one = self._store.get(key)
        if one is None:
            return
        async with self._slots:
            try:
                uid = one["metadata"].get("uid")
                written = await self._cluster.patch_status(self._permit, ref_of(key), status, uid=uid)
            except (Missing, Conflict):
                return  # it is gone, or is another one now: its watch tells
        self._store.put(written)
