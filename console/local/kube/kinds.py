"""What is served: resources, their versions, and the registry of them all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from console.local.kube.schema import Schema

Origin = Literal["core", "known", "installed", "review"]
"""core: typed, built in. known: a kind we use whose CustomResourceDefinition is not installed: no validation.
installed: by a CustomResourceDefinition. review: create only, nothing is stored."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`: ``path`` is a JSON path; ``priority`` above 0 shows with ``-o wide`` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""


@dataclass(frozen=True)
class Version:
    """A served version of a kind. ``warning`` is what a deprecated one answers with.

    ``written`` is the schema, or its JSON text: that of a big definition is a hundred thousand values, which are made
    only for the kinds that are used (they would weigh on every garbage collection).
    """

    name: str
    written: Schema | str
    columns: tuple[Column, ...] = ()
    warning: str = ""
    status: bool = True
    selectable: tuple[str, ...] = ()

    @cached_property
    def schema(self) -> Schema:
        return self.written if isinstance(self.written, Schema) else Schema.of_object(json.loads(self.written))


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind with all its served versions. One object is stored once, whatever version it is read in."""

    group: str
    plural: str
    kind: str
    namespaced: bool
    versions: tuple[Version, ...]
    origin: Origin = "known"
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    uid: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """The name under which its objects are stored."""
        return f"{self.group}/{self.plural}" if self.group else self.plural

    @property
    def custom(self) -> bool:
        """Whether it behaves as a custom resource: no strategic merge patch, no replace without a version."""
        return self.origin in ("known", "installed")

    def version(self, name: str) -> Version | None:
        return next((one for one in self.versions if one.name == name), None)

    def api_version(self, version: str) -> str:
        return f"{self.group}/{version}" if self.group else version


_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def preference(version: str) -> tuple[int, int, int]:
    """Sorts versions as Kubernetes does, the preferred one first: v2, v1, v1beta1, v1alpha2, v1alpha1, others."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (3, 0, 0)
    major, stage, minor = found.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0))


class Registry:
    """The resources that are served now: the built-in ones, and over them those of installed definitions."""

    def __init__(self, builtin: Iterable[Resource]) -> None:
        self._builtin = {one.key: one for one in builtin}
        self._installed: dict[str, Resource] = {}
        self.generation = 0
        """Grows with every change, for caches of what is derived (discovery, OpenAPI)."""

    def install(self, resource: Resource) -> None:
        self._installed[resource.key] = resource
        self.generation += 1

    def uninstall(self, key: str) -> None:
        """Forget an installed resource; where a built-in one of that name exists, it is served again."""
        if self._installed.pop(key, None) is not None:
            self.generation += 1

    def __iter__(self) -> Iterator[Resource]:
        merged = {**self._builtin, **self._installed}
        return iter(sorted(merged.values(), key=lambda one: (one.group, one.plural)))

    def get(self, key: str) -> Resource | None:
        return self._installed.get(key) or self._builtin.get(key)

    def find(self, group: str, version: str, plural: str) -> tuple[Resource, Version] | None:
        resource = self.get(f"{group}/{plural}" if group else plural)
        found = resource.version(version) if resource else None
        return (resource, found) if resource and found else None

    def groups(self) -> Mapping[str, list[str]]:
        """Group to served versions, the preferred one first; the core group is ``""``."""
        found: dict[str, set[str]] = {}
        for resource in self:
            found.setdefault(resource.group, set()).update(one.name for one in resource.versions)
        return {group: sorted(versions, key=preference) for group, versions in sorted(found.items())}

    def served(self, group: str, version: str) -> list[tuple[Resource, Version]]:
        return [(one, found) for one in self if one.group == group and (found := one.version(version))]
