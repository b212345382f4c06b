"""Configuration by files: written in an order that never leaves a gap, and proven by what Envoy says it has taken.

Each file is a DiscoveryResponse (xDS, "filesystem subscriptions"), replaced in one move. What is referred to comes
first and goes last: secrets, clusters, limits, routes, listeners; clusters that nobody refers to any more stay for a
while, for a request that has chosen its route may still be on its way to one. A version that Envoy refuses is taken
back, so that an Envoy that is started anew comes up with the last good one.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.local.envoy import CLUSTERS_FILE, DRAIN_SECONDS, LISTENERS_FILE, Acknowledged, Envoy
from console.local.gateway.translate import Translation
from console.local.gateway.translate.chain import for_other_gates, gate_names, stat_prefix
from console.local.gateway.translate.limits import FILTER_NAME, Tier, limits_filter
from console.local.gateway.translate.settings import LIMITS_FILE, Settings
from console.local.layout import write_private

_POLL_SECONDS = 0.003
_ANSWER_SECONDS = 10.0
_WORDS_SECONDS = 1.0
"""How long after a refusal was counted Envoy's log may take to say why."""
_GRACE_SECONDS = 30.0
_LIMITS = f"extension_config_discovery.http_filter.{FILTER_NAME}"
_LOG_LINE = re.compile(r"^\[\d{4}-\d\d-\d\d [^\]]*\](?:\[[^\]]*\])* ", re.MULTILINE)
_REFUSAL = re.compile(r"Filesystem config update (?:rejected|failure): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Refused:
    """What Envoy did not take.

    what    ``listeners``, ``clusters``, ``routes``, ``limits``, ``secrets``
    reason  in Envoy's words
    port    whose listener or routes it is; None where it concerns all
    """

    what: str
    reason: str
    port: int | None = None

    @property
    def sentence(self) -> str:
        return f"Envoy refused the {self.what}: {self.reason}; the last good configuration stays in force"


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a translation: the revision that is in force, and what of it is not."""

    revision: int
    refused: tuple[Refused, ...] = ()


@dataclass(slots=True)
class _File:
    """A file as it is on disk: its version and its resources."""

    version: str
    resources: list[dict[str, Any]]


@dataclass(slots=True)
class _Retired:
    """Clusters that no route refers to any more, and when they may go."""

    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    until: dict[str, float] = field(default_factory=dict)


class Xds:
    """The configuration files of one Envoy, and what it says of them.

    Args:
        grace_seconds: how long a cluster stays after the last route has left it
    """

    def __init__(self, envoy: Envoy, settings: Settings, *, grace_seconds: float = _GRACE_SECONDS) -> None:
        self._envoy = envoy
        self._settings = settings
        self._grace = grace_seconds
        self._files: dict[str, _File] = {}
        self._retired = _Retired()
        self._tiers: frozenset[Tier] = frozenset()
        self._known = Acknowledged()
        self._draining: dict[str, tuple[frozenset[str], float]] = {}
        self._refused_ports: set[int] = set()
        self._unexplained = False
        self.revision = self._last_revision()

    async def apply(self, wanted: Translation) -> Applied:
        """Let Envoy have it, and wait until it says so. What it has already is only asked for.

        Raises:
            Unavailable: Envoy does not answer; the files may be anywhere on the way. Applying again goes on from there.
        """
        self.revision += 1
        self._unexplained = False
        self._known = await self._envoy.acknowledged()
        await self._lay_out_secrets(wanted)
        self._retire(wanted)
        refused = await self._clusters(wanted) or await self._secrets(wanted)
        refused += await self._limits(wanted)
        refused += await self._routes(wanted)
        refused += await self._listeners(wanted)
        refused += await self._first_routes(wanted)
        return Applied(self.revision, tuple(refused))

    async def prune(self, wanted: Translation) -> None:
        """Remove what its time of grace is over for.

        Raises:
            Unavailable: Envoy does not answer.
        """
        over = self._over()
        if not over:
            return
        self._known = await self._envoy.acknowledged()
        for name in over:
            del self._retired.until[name], self._retired.clusters[name]
        self.revision += 1
        await self._clusters(wanted)
        if not self._retired.until:
            self._remove_old_files(wanted)

    @property
    def has_leftovers(self) -> bool:
        """Whether there is something to prune."""
        return bool(self._over())

    def _over(self) -> list[str]:
        now = time.monotonic()
        return [name for name, until in self._retired.until.items() if until <= now]

    @property
    def is_worth_another_try(self) -> bool:
        """Whether the same may be taken later: what holds a port may go away, and an Envoy without words was late."""
        return bool(self._refused_ports) or self._unexplained

    async def _lay_out_secrets(self, wanted: Translation) -> None:
        """The keys for upstreams, where clusters will look for them."""
        for name, credential in wanted.credentials.items():
            await self._replace(self._settings.secret_file(name), [credential.secret()], f"sds.{name}", wait=False)

    async def _secrets(self, wanted: Translation) -> list[Refused]:
        """See to it that Envoy has them: a key that was replaced is in use then."""
        refused = []
        for name in wanted.credentials:
            reason = await self._confirm(f"sds.{name}", self._settings.secret_file(name))
            if reason:
                refused.append(Refused("secrets", reason))
        return refused

    def _retire(self, wanted: Translation) -> None:
        for one in self._resources(CLUSTERS_FILE):
            name = one["name"]
            if name not in wanted.clusters and name not in self._retired.until:
                self._retired.clusters[name] = one
                self._retired.until[name] = time.monotonic() + self._grace
        for name in wanted.clusters:
            self._retired.clusters.pop(name, None)
            self._retired.until.pop(name, None)

    async def _clusters(self, wanted: Translation) -> list[Refused]:
        everything = {**self._retired.clusters, **wanted.clusters}
        return await self._isolating(CLUSTERS_FILE, "cluster_manager.cds", "clusters", everything)

    async def _limits(self, wanted: Translation) -> list[Refused]:
        if self._settings.limiter is not None:
            return []  # it counts them, and no listener has this file
        # Tiers are only ever added: each change of this file makes Envoy forget what it has counted.
        self._tiers |= wanted.tiers
        subscribed = bool(self._resources(LISTENERS_FILE))
        reason = await self._replace(LIMITS_FILE, [limits_filter(self._tiers)], _LIMITS, wait=subscribed)
        return [Refused("limits", reason)] if reason else []

    async def _routes(self, wanted: Translation) -> list[Refused]:
        """Those that listeners in force refer to already; the files of the others are only laid out."""
        in_use = {_routes_name(one) for one in self._resources(LISTENERS_FILE)}
        refused = []
        for name, resource in {**self._for_old_listeners(wanted), **wanted.routes}.items():
            file = self._settings.routes_file(name)
            reason = await self._replace(file, [resource], _routes_subscription(name), wait=name in in_use)
            if reason:
                refused.append(Refused("routes", reason, _port_of(name)))
        return refused

    def _for_old_listeners(self, wanted: Translation) -> dict[str, dict[str, Any]]:
        """The routes for connections on listeners that are being replaced, or were a moment ago, and have other gates.

        They get every change as well, until they are gone.
        """
        now = time.monotonic()
        self._draining = {name: one for name, one in self._draining.items() if one[1] > now}
        old = {name: gates for name, (gates, _) in self._draining.items()}
        old |= {_routes_name(one): gate_names(one) for one in self._resources(LISTENERS_FILE)}
        by_port = {_port_of(name): resource for name, resource in wanted.routes.items()}
        return {
            name: for_other_gates(by_port[_port_of(name)], name, gates)
            for name, gates in old.items()
            if name not in wanted.routes and _port_of(name) in by_port
        }

    async def _listeners(self, wanted: Translation) -> list[Refused]:
        before = {_routes_name(one): gate_names(one) for one in self._resources(LISTENERS_FILE)}
        refused = await self._isolating(
            LISTENERS_FILE, "listener_manager.lds", "listeners", {one["name"]: one for one in wanted.listeners.values()}
        )
        until = time.monotonic() + DRAIN_SECONDS
        self._draining |= {name: (gates, until) for name, gates in before.items() if name not in wanted.routes}
        self._refused_ports = {one.port for one in refused if one.port is not None}
        return refused

    async def _first_routes(self, wanted: Translation) -> list[Refused]:
        """What listeners that are new subscribe to: they serve once they have their routes and limits."""
        refused = []
        listening = {_routes_name(one) for one in self._resources(LISTENERS_FILE)}
        for name in listening & set(wanted.routes):
            reason = await self._confirm(_routes_subscription(name), self._settings.routes_file(name))
            if reason:
                refused.append(Refused("routes", reason, _port_of(name)))
        if listening and self._settings.limiter is None:
            reason = await self._confirm(_LIMITS, LIMITS_FILE)
            if reason:
                refused.append(Refused("limits", reason))
        return refused

    async def _isolating(
        self, file: str, subscription: str, what: str, wanted: Mapping[str, dict[str, Any]]
    ) -> list[Refused]:
        """Replace a file that holds several resources; those that Envoy names as wrong are left out and reported."""
        remaining = dict(wanted)
        refused: list[Refused] = []
        while True:
            reason = await self._replace(file, list(remaining.values()), subscription)
            if not reason:
                return refused
            culprits = [name for name in remaining if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", reason)]
            if not culprits:
                return [*refused, Refused(what, reason)]
            for name in culprits:
                del remaining[name]
                port = int(name.removeprefix("port-")) if what == "listeners" else None
                refused.append(Refused(what, reason, port))

    async def _replace(
        self, file: str, resources: list[dict[str, Any]], subscription: str, *, wait: bool = True
    ) -> str:
        """Write a file where its resources have changed, and wait until Envoy has it in force.

        Returns:
            Why Envoy refused it; the file is as it was before, then. Nothing where it has it.

        Raises:
            Unavailable: Envoy does not answer.
        """
        good = self._files.get(file) or self._read(file)
        if good is not None and good.resources == resources:
            self._files[file] = good
            return await self._confirm(subscription, file) if wait else ""
        refusals = self._known.refusals(subscription)
        position = self._envoy.log_position()
        self._put(file, _File(f"rev-{self.revision}", resources))
        if not wait:
            return ""
        reason = await self._confirm(subscription, file, refusals=refusals, position=position)
        if reason and good is not None:
            self._put(file, good)
        return reason

    async def _confirm(self, subscription: str, file: str, *, refusals: int | None = None, position: int = 0) -> str:
        """Wait until Envoy has a file's version in force; what it says instead, or nothing.

        Args:
            refusals: how many there were before the file was written; None for one that is there since long
            position: of Envoy's log before the file was written
        """
        version = self._files[file].version
        deadline = time.monotonic() + _ANSWER_SECONDS
        while self._known.texts.get(subscription) != version:
            if refusals is not None and self._known.refusals(subscription) > refusals:
                return await self._last_refusal(position)
            if time.monotonic() > deadline:
                self._unexplained = True
                return f"it says nothing of version {version} within {_ANSWER_SECONDS:g} s"
            await asyncio.sleep(_POLL_SECONDS)
            self._known = await self._envoy.acknowledged()
        return ""

    async def _last_refusal(self, position: int) -> str:
        """Envoy's last words on a refused update, without the place in its source. It counts before it speaks."""
        deadline = time.monotonic() + _WORDS_SECONDS
        while True:
            lines = _LOG_LINE.split(self._envoy.log_since(position))
            found = [match[1].strip() for line in lines if (match := _REFUSAL.search(line))]
            if found:
                return " ".join(found[-1].split())
            if time.monotonic() > deadline:
                self._unexplained = True
                return "it does not say why"
            await asyncio.sleep(_POLL_SECONDS)

    def _resources(self, file: str) -> list[dict[str, Any]]:
        known = self._files.get(file) or self._read(file)
        return known.resources if known else []

    def _put(self, file: str, content: _File) -> None:
        document = {"version_info": content.version, "resources": content.resources}
        write_private(self._path(file), json.dumps(document))
        self._files[file] = content

    def _read(self, file: str) -> _File | None:
        """What an earlier run has left."""
        try:
            document = json.loads(self._path(file).read_text("utf-8"))
            return _File(document["version_info"], document["resources"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _path(self, file: str) -> Path:
        return self._envoy.configuration / file

    def _last_revision(self) -> int:
        """Where the files of an earlier run have left off: a version is never used twice."""
        found = [0]
        for path in self._envoy.configuration.glob("*.json"):
            file = self._read(path.name)
            number = file.version.removeprefix("rev-") if file else ""
            if number.isdecimal():
                found.append(int(number))
        return max(found)

    def _remove_old_files(self, wanted: Translation) -> None:
        """Route configurations and secrets that nothing refers to any more."""
        kept = {self._settings.routes_file(name) for name in {*wanted.routes, *self._draining}}
        kept |= {self._settings.secret_file(name) for name in wanted.credentials}
        for path in [*self._envoy.configuration.glob("rds-*.json"), *self._envoy.configuration.glob("sds-*.json")]:
            if path.name not in kept:
                path.unlink(missing_ok=True)
                self._files.pop(path.name, None)


def _routes_name(listener: dict[str, Any]) -> str:
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return str(manager["rds"]["route_config_name"])


def _port_of(routes_name: str) -> int:
    return int(routes_name.partition("-")[0])


def _routes_subscription(name: str) -> str:
    return f"http.{stat_prefix(_port_of(name))}.rds.{name}"
