"""Drift as it happens: the objects of all publications are watched, and what was changed by hand is found in seconds.

A change that a watch tells is compared here, in memory, with what the publication asks for. Only where that differs is
the cluster asked, by the same server-side dry run as everywhere (console/publishing/drift.py). Nothing is polled.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.call import Call
from console.guard import system_permit
from console.k8s.errors import NotServed
from console.k8s.types import Kind, Object, ref_of
from console.outcome import ModeldeckError, Refusal
from console.publishing import book
from console.publishing.diff import leaves
from console.publishing.drift import Compared, Difference, compare, with_credential
from console.publishing.leftovers import KINDS
from console.publishing.managers import added_by_others
from console.publishing.manifests import LABEL_PUBLICATION, manifests
from console.publishing.types import Publication, PublicationState, operation_target

if TYPE_CHECKING:
    from console.services import Services

SETTLE_SECONDS = 0.3
"""A burst of changes is looked at once."""
_BUSY_SECONDS = 1.0
"""When a publication is looked at again that an operation is at work on."""
_FAILED_SECONDS = 10.0
_PAUSE_SECONDS = 2.0
_NOT_WATCHED_SECONDS = 60.0
_DUTY = "publications.drift"
log = logging.getLogger("modeldeck.drift")


class DriftBook:
    """What the watch of this process has found. Belongs to the loop that it is followed on."""

    def __init__(self) -> None:
        self.blind: set[str] = set()
        """The kinds that are not watched: of their objects nothing is said."""
        self._known: set[str] = set()
        self._found: dict[str, Compared] = {}
        self._look: set[str] = set()
        self._later: set[str] = set()
        self._wake = asyncio.Event()

    def of(self, publication: Publication) -> tuple[Difference, ...] | None:
        """Where the objects of a publication differ; None where that is not known."""
        found = self._found.get(publication.id)
        if found is not None and found.publication != publication:
            self.look(publication.id)  # it was changed to be what its objects are, which no watch tells
            return None
        if found is not None:
            return tuple(one for one in found.differences if one.target != found.entry)
        return () if publication.id in self._known and not self.blind else None

    def look(self, *identifiers: str) -> None:
        """Have these publications looked at soon."""
        self._look.update(identifiers)
        self._wake.set()

    def look_in(self, seconds: float, identifier: str) -> None:
        """Have a publication looked at in a while; however often that is asked for, once."""
        if identifier not in self._later:
            self._later.add(identifier)
            asyncio.get_running_loop().call_later(seconds, self._due, identifier)

    def _due(self, identifier: str) -> None:
        self._later.discard(identifier)
        self.look(identifier)

    async def wanted(self) -> set[str]:
        """The publications to look at next; waits until there are some, and until a burst of changes is over."""
        await self._wake.wait()
        await asyncio.sleep(SETTLE_SECONDS)
        self._wake.clear()
        wanted, self._look = self._look, set()
        return wanted

    def took(self, identifier: str, compared: Compared | None) -> bool:
        """Write down what was found, None for no difference; whether that is new."""
        self._known.add(identifier)
        before = self._found.pop(identifier, None)
        if compared is not None and any(one.target != compared.entry for one in compared.differences):
            self._found[identifier] = compared
        return before != self._found.get(identifier)

    def forget(self, identifier: str) -> bool:
        """It is published no more, or could not be compared: nothing is known of it. Whether something was."""
        known = identifier in self._known
        self._known.discard(identifier)
        return self._found.pop(identifier, None) is not None or known


class _Seen:
    """The objects as the watches have told them, without their status; a Secret's values only as a digest."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}

    def changed(self, kind: str, one: Object) -> str | None:
        """The publication that an object belongs to, where something that a person may change is otherwise."""
        kept = _judged(one)
        target = str(ref_of(one))
        before = self._objects.get(target)
        if kind == "deleted":
            self._objects.pop(target, None)
        else:
            self._objects[target] = kept
            if before is not None and _without_versions(before) == _without_versions(kept):
                return None
        owner: str = one["metadata"].get("labels", {}).get(LABEL_PUBLICATION, "")
        return owner

    def differs(self, wanted: Object) -> bool:
        """Whether an object is not what is asked for, as far as can be told from here."""
        live = self._objects.get(str(ref_of(wanted)))
        if live is None or any(True for _ in added_by_others(live, wanted)):
            return True
        found, asked = dict(leaves(live)), leaves(_judged(wanted))
        return any(found.get(path) != text for path, text in asked)


async def follow(services: Services, changed: Callable[[], None] = lambda: None) -> None:
    """Keep a `DriftBook` at ``services.drift`` for ever; ``changed`` is told whenever it says something new."""
    while True:
        try:
            await _follow(services, changed)
        except Exception:  # a mistake of ours: nothing is known of drift until it is begun again
            log.exception("the watch for drift broke, and is begun again")
        finally:
            services.drift = None
        changed()
        await asyncio.sleep(_PAUSE_SECONDS)


async def _follow(services: Services, changed: Callable[[], None]) -> None:
    found = services.drift = DriftBook()
    tenants = services.profile.tenants
    namespaces: list[str | None] = [None] if tenants is None else [*sorted(tenants)]
    seen, ready = _Seen(), asyncio.Barrier(len(KINDS) * len(namespaces) + 1)
    async with asyncio.TaskGroup() as tasks:
        for kind in KINDS:
            for namespace in namespaces:
                tasks.create_task(_watch(services, found, seen, kind, namespace, ready), name=f"watch {kind}")
        await ready.wait()
        found.look(*await _published(services))
        while True:
            await _look(services, found, seen, changed)


async def _published(services: Services) -> list[str]:
    while True:
        try:
            return [publication.id for publication, _, _ in await book.listing(await services.store())]
        except ModeldeckError as problem:
            log.warning("drift cannot be looked for: %s", problem)
            await asyncio.sleep(_PAUSE_SECONDS)


async def _watch(
    services: Services, found: DriftBook, seen: _Seen, kind: Kind, namespace: str | None, ready: asyncio.Barrier
) -> None:
    """Tell the book which publications have changed; a kind that cannot be watched is tried again every minute."""
    waited_for = True
    while True:
        try:
            cluster = await services.cluster()
            async for change in cluster.watch(kind, namespace=namespace, labels=LABEL_PUBLICATION):
                if change.type == "synced":
                    if waited_for:
                        waited_for = False
                        await ready.wait()
                    found.blind.discard(kind.kind)
                    continue
                # Items of a list come without their kind in some servers' events.
                one = {"apiVersion": kind.api_version, "kind": kind.kind, **change.object}
                if owner := seen.changed(change.type, one):
                    found.look(owner)
        except Refusal as problem:  # no such kind, or no right to it: the others are watched without it
            log.info("%s is not watched: %s", kind, problem)
            if not isinstance(problem, NotServed):  # of a kind that is not served there are no objects either
                found.blind.add(kind.kind)
            if waited_for:
                waited_for = False
                await ready.wait()
            await asyncio.sleep(_NOT_WATCHED_SECONDS)
        except ModeldeckError as problem:
            log.info("%s is not watched yet: %s", kind, problem)
            await asyncio.sleep(_PAUSE_SECONDS)


async def _look(services: Services, found: DriftBook, seen: _Seen, changed: Callable[[], None]) -> None:
    """Look at what has changed; at what could not be judged, again in a while."""
    identifiers = await found.wanted()
    news = False
    try:
        for identifier in sorted(identifiers):
            news |= await _look_at(services, found, seen, identifier)
    except ModeldeckError as problem:
        log.warning("drift cannot be looked for: %s", problem)
        for identifier in identifiers:
            found.look_in(_FAILED_SECONDS, identifier)
    if news:
        changed()


async def _look_at(services: Services, found: DriftBook, seen: _Seen, identifier: str) -> bool:
    """Compare one publication, where nobody is at work on it; whether that gave something new.

    Raises:
        ModeldeckError: the database cannot be asked.
    """
    standing = await _standing(services, identifier)
    if standing is None:
        return found.forget(identifier)
    if not standing.at_rest:
        found.look_in(_BUSY_SECONDS, identifier)  # what an operation is at work on is about to change
        return False
    try:
        compared = await _compared(services, found, seen, standing.publication)
    except ModeldeckError as problem:
        log.info("%s cannot be compared: %s", standing.publication.name, problem)
        found.look_in(_NOT_WATCHED_SECONDS if isinstance(problem, Refusal) else _FAILED_SECONDS, identifier)
        return found.forget(identifier)
    if await _standing(services, identifier) != standing:
        found.look(identifier)  # an operation was begun meanwhile: half of what was seen may be its work
        return False
    return found.took(identifier, compared)


@dataclass(frozen=True, slots=True)
class _Standing:
    """A publication, the newest operation on it, and whether nobody is at work on it."""

    publication: Publication
    newest: str
    at_rest: bool


async def _standing(services: Services, identifier: str) -> _Standing | None:
    """None for one that is gone."""
    there = await book.by_id(await services.store(), identifier)
    if there is None:
        return None
    publication, state = there
    newest = await (await services.journal()).about(operation_target(publication.name), 1)
    over = not newest or newest[0].state.over
    return _Standing(publication, newest[0].id if newest else "", over and state is PublicationState.READY)


async def _compared(services: Services, found: DriftBook, seen: _Seen, publication: Publication) -> Compared | None:
    """What differs, asked of the cluster only where something may; None where nothing does."""
    profile = services.profile
    wanted = manifests(publication, profile.gateway, header_prefix=profile.access.header_prefix)
    for manifest in wanted:
        if manifest["kind"] in found.blind:
            continue
        asked = manifest
        if manifest["kind"] == "Secret":
            asked = await with_credential(services, publication, manifest)
        if seen.differs(asked):
            permit = system_permit(_DUTY, target=publication.name)
            return await compare(Call(services, permit, {}), publication)
    return None


def _judged(one: Mapping[str, Any]) -> Object:
    """What a person may change of an object, and who wrote it; not in which version of its kind it was told."""
    apart = ("apiVersion", "kind", "status", "metadata", "data")
    kept: Object = {name: value for name, value in one.items() if name not in apart}
    metadata = one["metadata"]
    kept["metadata"] = {
        name: metadata[name]
        for name in ("name", "namespace", "labels", "annotations", "managedFields")
        if name in metadata
    }
    if "data" in one:
        kept["digest"] = hashlib.sha256(json.dumps(one["data"], sort_keys=True).encode()).hexdigest()
    return kept


def _without_versions(one: Mapping[str, Any]) -> Object:
    metadata = {name: value for name, value in one["metadata"].items() if name != "managedFields"}
    return {**one, "metadata": metadata}
