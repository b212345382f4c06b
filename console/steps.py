"""Every kind of step that the journal knows, by the name that it is written down under."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from console.keys import steps as keys
from console.keys.digests import KeepDigests
from console.operations.types import StepKind
from console.publishing import steps as publishing
from console.publishing.gateway_buffer import SetBuffer
from console.publishing.holders import ReleaseKey
from console.publishing.prune import PruneFields

if TYPE_CHECKING:
    from console.services import Services

Maker = Callable[["Services"], Awaitable[StepKind]]


class _Lazy:
    """A step kind whose services are opened when it is first used."""

    def __init__(self, services: Services, make: Maker) -> None:
        self._services = services
        self._make = make

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        return await (await self._make(self._services)).prepare(arguments, operation)

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        return await (await self._make(self._services)).take(arguments, undo, operation)

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        return await (await self._make(self._services)).undo(arguments, undo, operation)


async def _apply(services: Services) -> StepKind:
    return publishing.ApplyObject(await services.cluster(), services.provider_credential)


async def _remove(services: Services) -> StepKind:
    return publishing.RemoveObject(await services.cluster(), services.provider_credential)


async def _probe(services: Services) -> StepKind:
    return publishing.Probe(await services.redis(), await services.writer(), services.profile)


async def _put_entry(services: Services) -> StepKind:
    return keys.PutEntry(await services.store(), await services.redis(), await services.writer())


async def _drop_entry(services: Services) -> StepKind:
    return keys.DropEntry(await services.store(), await services.redis(), await services.writer())


async def _release(services: Services) -> StepKind:
    store = await services.store()
    digests = KeepDigests(store, services.cluster)
    return ReleaseKey(store, await services.redis(), await services.writer(), digests)


async def _keep_digests(services: Services) -> StepKind:
    return KeepDigests(await services.store(), services.cluster)


def _with_store(kind: Callable[[Any], StepKind]) -> Maker:
    async def make(services: Services) -> StepKind:
        return kind(await services.store())

    return make


def _with_cluster(kind: Callable[[Any], StepKind]) -> Maker:
    async def make(services: Services) -> StepKind:
        return kind(await services.cluster())

    return make


def _with_writer(kind: Callable[[Any], StepKind]) -> Maker:
    async def make(services: Services) -> StepKind:
        return kind(await services.writer())

    return make


async def _ready(services: Services) -> StepKind:
    return publishing.AwaitReady(await services.cluster(), services.profile)


_MAKERS: dict[str, Maker] = {
    "kube.apply": _apply,
    "kube.ensure": _with_cluster(publishing.EnsureObject),
    "kube.delete": _with_cluster(publishing.DeleteObject),
    "kube.remove": _remove,
    "kube.prune": _with_cluster(PruneFields),
    "redis.publish": _with_writer(publishing.PublishEntry),
    "redis.unpublish": _with_writer(publishing.UnpublishEntry),
    "publish.reserve": _with_store(publishing.ReserveName),
    "publish.state": _with_store(publishing.SetPublicationState),
    "publish.spec": _with_store(publishing.SetSpec),
    "publish.ready": _ready,
    "publish.probe": _probe,
    "publish.release": _release,
    "gateway.buffer": _with_cluster(SetBuffer),
    "keys.row": _with_store(keys.NewKeyRow),
    "keys.generation": _with_store(keys.NewGeneration),
    "keys.end": _with_store(keys.EndGeneration),
    "keys.set": _with_store(keys.SetFields),
    "keys.revoke": _with_store(keys.RevokeRow),
    "keys.entry": _put_entry,
    "keys.drop": _drop_entry,
    "keys.clear": _with_writer(keys.DropClear),
    "keys.secret": _keep_digests,
}


class StepKinds(Mapping[str, StepKind]):
    """The kinds, bound to the services of one profile."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __getitem__(self, name: str) -> StepKind:
        return _Lazy(self._services, _MAKERS[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_MAKERS)

    def __len__(self) -> int:
        return len(_MAKERS)
