"""What all parts of the server share, and the words in which a request reaches them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from console.local.kube.kinds import Registry, Resource, Version
from console.local.kube.metadata import Object
from console.local.kube.storage import Key, Record, Storage

Made = TypeVar("Made")
Validation = Literal["Strict", "Warn", "Ignore"]

HEAVY_BYTES = 48 * 1024
"""What has to do with a body of this size runs in a thread: it could hold the loop for some 20 ms."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about: a collection, or one object where ``name`` is set.

    ``namespace`` is empty for cluster-wide kinds, and for a list over all namespaces.
    """

    resource: Resource
    version: Version
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def group(self) -> str:
        return self.resource.group

    @property
    def plural(self) -> str:
        return self.resource.plural

    @property
    def kind(self) -> str:
        return self.resource.kind

    @property
    def api_version(self) -> str:
        return self.resource.api_version(self.version.name)

    @property
    def key(self) -> Key:
        return Key(self.resource.key, self.namespace, self.name)

    def object(self, record: Record) -> Object:
        return record.object(self.api_version, self.kind)

    def text(self, record: Record) -> str:
        return record.text(self.api_version, self.kind)


@dataclass(slots=True)
class Options:
    """How a write is to be done.

    ``warnings`` collects what the answer's Warning headers say; ``create_refusal`` is why an apply may not create.
    """

    manager: str = "unknown"
    dry_run: bool = False
    validation: Validation = "Warn"
    force: bool = False
    create_refusal: str = ""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed request body, its size, and the paths of fields that stand in it twice."""

    content: Any
    size: int = 0
    doubled: tuple[str, ...] = ()


@dataclass(slots=True)
class State:
    """The objects and the kinds."""

    storage: Storage
    registry: Registry


async def computed(size: int, work: Callable[[], Made]) -> Made:
    """The result of some work on a body of this size: at once, or in a thread where it would hold the loop."""
    if size < HEAVY_BYTES:
        return work()
    return await asyncio.to_thread(work)
