"""The composition root: opens what a profile names when it is first needed, hands it out, closes it.

Everything is opened lazily: ``modeldeck keys list`` loads no Kubernetes client, ``modeldeck feed`` no database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from pydantic import SecretStr

from console.config import Profile, resolve_secret
from console.guard import Guard, Policy

if TYPE_CHECKING:
    import httpx
    from redis.asyncio import Redis

    from console.access.writer import AccessWriter
    from console.audit import Audit
    from console.k8s.cluster import Cluster
    from console.k8s.reviewing import ClusterReviewer
    from console.operations.journal import Journal
    from console.operations.runner import Runner
    from console.publishing.following import DriftBook
    from console.store.engine import Store

T = TypeVar("T")


class Services:
    """What actions work with, for one profile. Use it as an async context manager.

    Args:
        policy: what is allowed just now, where a session may do less than its profile (armed writes)
        prompt: asks at a terminal, without an echo, for a secret that the keyring does not give
    """

    def __init__(
        self,
        profile: Profile,
        *,
        policy: Callable[[], Policy] | None = None,
        prompt: Callable[[str], str] | None = None,
    ) -> None:
        self.profile = profile
        self._prompt = prompt
        self._policy = policy or (lambda: profile.policy)
        self._opened: dict[str, Any] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._reviewer: ClusterReviewer | None = None
        self.drift: DriftBook | None = None
        """What the watch of this process finds, where there is one (console/publishing/following.py)."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def store(self) -> Store:
        """The database, at this version's schema."""

        async def open_store() -> Store:
            from console.store.migrate import is_up_to_date, upgrade

            store = _store(self.profile)
            if not await is_up_to_date(store):
                await upgrade(store)
            return store

        return await self._once("store", open_store)

    async def redis(self) -> Redis:
        """Redis, with the profile's login."""

        async def open_client() -> Redis:
            from console.access.redis import check_redis, open_redis

            link = self.profile.redis
            password = await self.secret(link.password) if link.password else None
            client = open_redis(link, password)
            await check_redis(client, link)
            return client

        return await self._once("redis", open_client)

    async def cluster(self) -> Cluster:
        """The cluster, with the profile's kubeconfig."""

        async def connect() -> Cluster:
            from console.k8s.cluster import Cluster

            link = self.profile.kubernetes
            return await Cluster.connect(kubeconfig=link.kubeconfig, context=link.context)

        return await self._once("cluster", connect)

    async def writer(self) -> AccessWriter:
        from console.access.writer import AccessWriter

        return AccessWriter(await self.redis(), salt=self.profile.access.salt)

    async def journal(self) -> Journal:
        from console.operations.journal import Journal

        return Journal(await self.store())

    async def runner(self) -> Runner:
        """Takes operations, and takes them back; knows every kind of step."""
        from console.operations.runner import Runner
        from console.steps import StepKinds

        return Runner(await self.journal(), StepKinds(self), await self.audit())

    async def audit(self) -> Audit:
        from console.audit import Audit

        return Audit(await self.store())

    async def guard(self, *, records: bool) -> Guard:
        """The gate. ``records``: refused attempts are written to the audit, which takes the database."""
        if self._reviewer is None:
            from console.k8s.reviewing import ClusterReviewer

            self._reviewer = ClusterReviewer(self.cluster)
        return Guard(self._policy(), reviewer=self._reviewer, log=await self.audit() if records else None)

    async def http(self) -> httpx.AsyncClient:
        """For short questions to the gateway."""

        async def open_client() -> httpx.AsyncClient:
            import httpx

            from console.tls import trusted

            # In a thread, for it reads the certificates.
            verify = await asyncio.to_thread(trusted)
            return httpx.AsyncClient(timeout=5, trust_env=False, verify=verify)

        return await self._once("http", open_client)

    async def secret(self, reference: str) -> SecretStr:
        """What a reference of the profile names; a slow keyring blocks a thread, not the loop."""
        return await asyncio.to_thread(resolve_secret, reference, self._prompt)

    async def provider_credential(self, provider: str) -> SecretStr | None:
        """The credential for a provider: the profile's, else the provider's own variable; None where there is none."""
        link = self.profile.providers.get(provider)
        if link is not None and link.credential is not None:
            return await self.secret(link.credential)
        import os

        from console.sync.providers import find

        spec = find(provider)
        value = os.environ.get(spec.credential_env, "") if spec is not None and spec.credential_env else ""
        return SecretStr(value) if value else None

    async def close(self) -> None:
        """Close what was opened, the last first."""
        for name in reversed(list(self._opened)):
            part = self._opened.pop(name)
            await (part.aclose() if name in ("redis", "http") else part.close())

    async def _once(self, name: str, open_it: Callable[[], Awaitable[T]]) -> T:
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name not in self._opened:
                self._opened[name] = await open_it()
            return cast("T", self._opened[name])


def _store(profile: Profile) -> Store:
    from pathlib import Path

    from console.store.engine import Store
    from console.store.unusable import not_opened

    store = Store(profile.database_url)
    if store.dialect == "sqlite" and store.url.database:
        path = Path(store.url.database)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)  # SQLite gives its other files the mode of this one
        except OSError as problem:
            raise not_opened(store.url, problem) from problem
    return store
