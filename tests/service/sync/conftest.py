"""A catalog on each of the two databases, sample providers over HTTP, and a clock that stands still."""

from __future__ import annotations

import asyncio
import functools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stamina
from pydantic import SecretStr

from console.guard import Permit, Principal, Role, system_permit
from console.local.samples.providers import BIG, SLUGS, SampleProviders
from console.store.engine import Store
from console.store.migrate import upgrade
from console.sync.engine import Syncer
from console.sync.providers import specs
from console.sync.providers.base import ProviderSpec
from console.sync.types import Limits, ProviderReport, ProviderTarget, SyncReport
from tests.support.postgres import Postgres, running_postgres
from tests.support.samples import samples_in_a_thread

TOKEN = "tok-4711-abcdef-secret"
BOTH = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
# The same with the three sample providers synced once: for tests that read.
BOTH_FILLED = pytest.mark.parametrize("store", ["sqlite filled", "postgresql filled"], indirect=True)


@pytest.fixture(autouse=True)
def _retries_without_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes a database of a kind to copy from, each kind once: empty, or with one sync done."""

    @functools.cache
    def make(kind: str) -> str:
        if kind.startswith("sqlite"):
            url = f"sqlite:///{tmp_path_factory.mktemp('template') / 'modeldeck.db'}"
        else:
            url = request.getfixturevalue("postgres").create()
        with ThreadPoolExecutor(1) as thread:  # the test that asks for it first has a loop running here
            thread.submit(asyncio.run, prepare(url, filled=kind.endswith(" filled"))).result()
        return url

    async def prepare(url: str, *, filled: bool) -> None:
        store = Store(url)
        await upgrade(store)
        if filled:
            servers = request.getfixturevalue("sample_server")
            _restore(servers)
            await Deck(store, servers, Clock(), system_permit("sync.run")).run()
        await store.close()

    return make


@pytest.fixture
async def store(request: pytest.FixtureRequest, tmp_path: Path, template: Callable[[str], str]) -> AsyncIterator[Store]:
    """SQLite, or what the test is parametrized with (`BOTH`, `BOTH_FILLED`)."""
    kind = getattr(request, "param", "sqlite")
    if kind.startswith("sqlite"):
        path = tmp_path / "modeldeck.db"
        shutil.copy(template(kind).removeprefix("sqlite:///"), path)
        opened = Store(f"sqlite:///{path}")
        yield opened
        await opened.close()
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create(template=template(kind).split("?", 1)[0].rpartition("/")[2])
    opened = Store(url)
    yield opened
    await opened.close()
    server.drop(url)


@pytest.fixture(scope="session")
def sample_server() -> Iterator[SampleProviders]:
    """One server for all tests, on a loop and a thread of its own."""
    with samples_in_a_thread(TOKEN) as servers:
        yield servers


@pytest.fixture
def samples(sample_server: SampleProviders) -> Iterator[SampleProviders]:
    """The sample providers as they are at first."""
    _restore(sample_server)
    yield sample_server
    sample_server.release()


def _restore(servers: SampleProviders) -> None:
    for slug in SLUGS:
        servers.restore(slug)
        servers.seen(slug).clear()


@dataclass
class Clock:
    """Goes on by a second each time it is read, and by more on demand."""

    now: datetime = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def permit() -> Permit:
    return system_permit("sync.run")


OPERATOR = Principal("alice", Role.ADMIN)


@dataclass
class Deck:
    """A syncer with its database and its sample providers."""

    store: Store
    samples: SampleProviders
    clock: Clock
    permit: Permit
    limits: Limits = field(default_factory=Limits)
    token: str | None = TOKEN
    offered_everywhere: bool = False  # also where the list is public

    def credential(self, spec: ProviderSpec) -> SecretStr | None:
        wanted = spec.auth.required or self.offered_everywhere
        return SecretStr(self.token) if self.token is not None and wanted else None

    def syncer(self) -> Syncer:
        return Syncer(self.store, credential=self.credential, clock=self.clock, limits=self.limits)

    def targets(self, *slugs: str) -> list[ProviderTarget]:
        """These providers, by default the three big ones."""
        return [ProviderTarget(spec, self.samples.base_url(spec.slug)) for spec in specs(slugs or BIG)]

    async def run(self, *slugs: str, dry_run: bool = False) -> SyncReport:
        return await self.syncer().run(self.permit, self.targets(*slugs), dry_run=dry_run)

    async def one(self, slug: str, *, dry_run: bool = False) -> ProviderReport:
        (report,) = (await self.run(slug, dry_run=dry_run)).providers
        return report


@pytest.fixture
def deck(store: Store, samples: SampleProviders, clock: Clock, permit: Permit) -> Deck:
    return Deck(store, samples, clock, permit)
