"""The steps of publishing, as the journal takes and undoes them (console/operations/types.py)."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis

from console.access.types import Grant
from console.access.writer import AccessWriter
from console.config import Profile
from console.guard import Permit, system_permit
from console.k8s.cluster import Cluster
from console.k8s.types import Object, Ref, kind_of
from console.outcome import Failure, Refusal, TimedOut, conflict
from console.publishing import book
from console.publishing.diff import cleaned
from console.publishing.manifests import ANNOTATION_OPERATION
from console.publishing.probe import probe
from console.publishing.readiness import readiness
from console.publishing.types import Publication, PublicationState
from console.store.engine import Store

READY_SECONDS = 30.0
REFUSED_SECONDS = 3.0
"""How long a refusal is given to be taken back: a controller may see a route before what it refers to."""
_POLL_SECONDS = 0.1
_DELETE_SECONDS = 20.0

Credential = Callable[[str], Awaitable[SecretStr | None]]


def _permit(arguments: Mapping[str, Any], target: str) -> Permit:
    return system_permit(arguments["action"], target=target).on_behalf_of(arguments["actor"])


def _publication(arguments: Mapping[str, Any]) -> Publication:
    return Publication.of_spec(**arguments["publication"])


def as_arguments(publication: Publication) -> dict[str, Any]:
    """A publication in the arguments of a step."""
    return {
        "spec": publication.as_spec(),
        "identifier": publication.id,
        "name": publication.name,
        "tenant": publication.tenant,
        "kind": publication.kind.value,
        "source": publication.origin.source,
        "source_name": publication.origin.name,
    }


class ReserveName:
    """The publication's row: only one can have a public name. Undone by forgetting it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        publication = _publication(arguments)
        holder = await book.find(self._store, publication.name)
        if holder is not None and holder[0].id != publication.id:
            raise conflict(
                f"{publication.name} is published already, by tenant {holder[0].tenant}", code="ALREADY_PUBLISHED"
            )
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        publication = _publication(arguments)
        await book.reserve(self._store, publication, arguments["objects"], operation)
        return f"name {publication.name} reserved"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        await book.forget(self._store, arguments["publication"]["identifier"])
        return "name free again"


class SetPublicationState:
    """The publication's state in the database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        before = await book.state_of(self._store, arguments["id"])
        return {"state": before.value if before else None}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        state = PublicationState(arguments["state"])
        await book.set_state(self._store, arguments["id"], state)
        return state.value

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        if undo["state"] is not None:
            await book.set_state(self._store, arguments["id"], PublicationState(undo["state"]))
        return "as before"


class ApplyObject:
    """Server-side apply of one object.

    Undone by deleting what this operation created (its annotation says so), or by applying what was there before.
    The provider's credential is looked up when the Secret is applied: the journal never holds it.
    """

    def __init__(self, cluster: Cluster, credential: Credential) -> None:
        self._cluster = cluster
        self._credential = credential

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        manifest = arguments["manifest"]
        live = await self._cluster.get(_ref(manifest))
        if live is None:
            return {"before": None}
        owner = live["metadata"].get("labels", {}).get("modeldeck.dev/publication")
        if owner != manifest["metadata"]["labels"].get("modeldeck.dev/publication"):
            raise conflict(
                f"{_ref(manifest)} is there already and is not this publication's; it was left as it is",
                code="OBJECT_EXISTS",
            )
        # A Secret's values stay out of the journal: putting an older credential back is not possible, and not wanted.
        before = None if live.get("kind") == "Secret" else cleaned(live)
        return {"before": before, "existed": True}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        manifest = _marked(arguments["manifest"], operation)
        if manifest["kind"] == "Secret":
            manifest = await _with_credential(self._credential, manifest, arguments["credential"])
        # A repair takes over what other managers have changed; an update asks first, by failing.
        force = bool(arguments.get("force"))
        applied = await self._cluster.apply(_permit(arguments, str(_ref(manifest))), manifest, force=force)
        metadata = applied["metadata"]
        return f"{'changed' if undo.get('existed') else 'created'}, resourceVersion {metadata['resourceVersion']}"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        ref = _ref(arguments["manifest"])
        permit = system_permit("undo", target=str(ref))
        if undo.get("before") is not None:
            await self._cluster.apply(permit, undo["before"], force=True)
            return "as before"
        if undo.get("existed"):
            return "kept: it was there before, and only its credential was renewed"
        live = await self._cluster.get(ref)
        if live is None:
            return "was not there"
        if live["metadata"].get("annotations", {}).get(ANNOTATION_OPERATION) != operation:
            return "left: somebody else has taken it over since"
        await self._cluster.delete(permit, ref, uid=live["metadata"]["uid"], wait=_DELETE_SECONDS)
        return "deleted again"


class EnsureObject:
    """An object that several publications share: applied where it is missing, and never undone."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        manifest = arguments["manifest"]
        live = await self._cluster.get(_ref(manifest))
        if live is not None and live.get("spec") == manifest.get("spec"):
            return "is there"
        # Whoever has changed it: every publication of the tenant needs it as it is written here.
        await self._cluster.apply(_permit(arguments, str(_ref(manifest))), manifest, force=True)
        return "applied"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        return "kept: it is shared"


class DeleteObject:
    """Delete one object, and wait until it is gone. Undone by applying it again (it gets a new uid)."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        live = await self._cluster.get(_ref(arguments["object"]))
        return {"uid": None if live is None else live["metadata"]["uid"]}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        ref = _ref(arguments["object"])
        if undo["uid"] is None:
            return "was not there"
        live = await self._cluster.get(ref)
        if live is None:
            return "is gone"
        owner = live["metadata"].get("labels", {}).get("modeldeck.dev/publication")
        if live["metadata"]["uid"] != undo["uid"] or owner != arguments["publication_id"]:
            return "left: it is not this publication's"
        mark = live["metadata"].get("annotations", {}).get(ANNOTATION_OPERATION, "")
        if "seen" in arguments and [undo["uid"], mark] != arguments["seen"]:
            return "left: it was written again since it was found"
        await self._cluster.delete(_permit(arguments, str(ref)), ref, uid=undo["uid"], wait=_DELETE_SECONDS)
        return "deleted"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        raise Failure(f"{_ref(arguments['object'])} is deleted and stays so", code="NOT_UNDOABLE")


class RemoveObject(DeleteObject):
    """Delete what nothing refers to any more. Undone by applying it again, a Secret with the credential of now."""

    def __init__(self, cluster: Cluster, credential: Credential) -> None:
        super().__init__(cluster)
        self._credential = credential

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        live = await self._cluster.get(_ref(arguments["object"]))
        if live is None:
            return {"uid": None, "before": None}
        return {"uid": live["metadata"]["uid"], "before": cleaned(live) if live.get("kind") != "Secret" else None}

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        manifest, ref = arguments["object"], _ref(arguments["object"])
        if undo["uid"] is None:
            return "was not there"
        if await self._cluster.get(ref) is not None:
            return "is there"
        if manifest["kind"] == "Secret":
            before = await _with_credential(self._credential, manifest, arguments["credential"])
        else:
            before = undo["before"]
        await self._cluster.apply(system_permit("undo", target=str(ref)), before, force=True)
        return "applied again"


class SetSpec:
    """The publication's spec in the database, after an update. Undone by the spec before."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        before, _, _ = await book.read(self._store, arguments["publication"]["name"])
        return {"spec": before.as_spec(), "origin": [before.origin.source, before.origin.name]}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        publication = arguments["publication"]
        origin = (publication["source"], publication["source_name"])
        await book.set_spec(self._store, publication["identifier"], publication["spec"], origin)
        return "written"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        publication = arguments["publication"]
        # An older Modeldeck did not write the origin down: it could not change then.
        source, name = undo.get("origin") or (publication["source"], publication["source_name"])
        await book.set_spec(self._store, publication["identifier"], undo["spec"], (source, name))
        return "as before"


class PublishEntry:
    """Our entry in ``published_model_info``. Undone by the one ``before``, or by removing it."""

    def __init__(self, writer: AccessWriter) -> None:
        self._writer = writer

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {"was_there": await self._writer.is_published(arguments["name"], arguments["grant"]["endpoint_id"])}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        grant = Grant(**arguments["grant"])
        written = await self._writer.publish(
            _permit(arguments, arguments["name"]), arguments["name"], grant, operation=operation
        )
        return f"epoch {written.epoch}"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        permit = system_permit("undo", target=arguments["name"])
        before = arguments.get("before")
        if undo["was_there"] and before not in (None, arguments["grant"]):
            await self._writer.publish(permit, arguments["name"], Grant(**before), operation=operation)
            return "as before"
        if undo["was_there"]:
            return "kept: it was there before"
        endpoint = arguments["grant"]["endpoint_id"]
        await self._writer.unpublish(permit, arguments["name"], endpoint, operation=operation)
        return "removed again"


class UnpublishEntry:
    """Remove our entry from ``published_model_info``; another writer's stays."""

    def __init__(self, writer: AccessWriter) -> None:
        self._writer = writer

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        written = await self._writer.unpublish(
            _permit(arguments, arguments["name"]),
            arguments["name"],
            arguments["grant"]["endpoint_id"],
            operation=operation,
        )
        return f"epoch {written.epoch}" if written.before is not None else "was not there"

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        permit = system_permit("undo", target=arguments["name"])
        await self._writer.publish(permit, arguments["name"], Grant(**arguments["grant"]), operation=operation)
        return "as before"


class AwaitReady:
    """Wait until every object of the publication is accepted and programmed."""

    def __init__(self, cluster: Cluster, profile: Profile) -> None:
        self._cluster = cluster
        self._profile = profile

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        publication = _publication(arguments)
        started = time.monotonic()
        while True:
            verdict = await readiness(self._cluster, publication, self._profile.gateway)
            waited = time.monotonic() - started
            if verdict.ready:
                return f"{verdict.sentence} after {waited:.1f} s"
            if waited > (REFUSED_SECONDS if verdict.final else READY_SECONDS):
                raise TimedOut(f"not ready after {waited:.0f} s: {verdict.sentence}", code="GATEWAY_CONFIG_FAILED")
            await asyncio.sleep(_POLL_SECONDS)

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        return "nothing to undo"


class Probe:
    """A real request through the gateway, with a key of our own that lives for a minute at most."""

    def __init__(self, redis: Redis, writer: AccessWriter, profile: Profile) -> None:
        self._redis = redis
        self._writer = writer
        self._profile = profile

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return {}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        permit = _permit(arguments, arguments["publication"]["name"])
        result = await probe(self._redis, self._writer, permit, _publication(arguments), self._profile)
        if not result.good:
            raise Failure(f"the live probe was answered {result}", code="PROBE_FAILED")
        return str(result)

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        return "nothing to undo"


def _ref(manifest: Mapping[str, Any]) -> Ref:
    metadata = manifest["metadata"]
    return Ref(kind_of(dict(manifest)), metadata["name"], metadata.get("namespace"))


async def _with_credential(credential: Credential, manifest: Object, provider: str) -> Object:
    secret = await credential(provider)
    if secret is None:
        raise Refusal(
            f"there is no credential for {provider}",
            code="NO_CREDENTIALS",
            then=f"export the provider's key, or set providers.{provider}.credential in the profile",
        )
    return manifest | {"data": {"apiKey": base64.b64encode(secret.get_secret_value().encode()).decode()}}


def _marked(manifest: Mapping[str, Any], operation: str) -> Object:
    """The manifest with the operation's mark: what `undo` knows its own creations by."""
    metadata = dict(manifest["metadata"])
    metadata["annotations"] = {**metadata.get("annotations", {}), ANNOTATION_OPERATION: operation}
    return {**manifest, "metadata": metadata}
