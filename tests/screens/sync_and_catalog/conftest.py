"""The console on services of its own, with a real Valkey, a database and sample providers over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from console.app import Console
from console.config import Profile, ProviderLink
from console.local.samples.providers import SLUGS, SampleProviders
from console.local.valkey import Valkey
from console.outcome import Outcome
from screens.frame import DeckScreen
from tests.support.console import TERMINAL, gone, picture_of, shows
from tests.support.profiles import profile_for
from tests.support.samples import samples_in_a_thread
from tests.support.waiting import until
from widgets.virtual_table import VirtualTable

SMALL, LARGE = (80, 24), (150, 40)
TOKEN = "tok-4711-abcdef-secret"
GPT = "openai/gpt-4o-mini"


@dataclass
class Operator:
    """Somebody at the keyboard of one console."""

    app: Console
    pilot: Pilot[Any]
    samples: SampleProviders

    async def press(self, *keys: str) -> None:
        """Press keys, by name; what begins with a quote is typed."""
        for key in keys:
            await self.pilot.press(*(key[1:] if key.startswith("'") else (key,)))

    async def sees(self, *texts: str, within: float = 15.0) -> str:
        return await shows(self.app, *texts, within=within)

    async def sees_no(self, text: str, within: float = 15.0) -> None:
        await gone(self.app, text, within=within)

    @property
    def screen(self) -> str:
        return picture_of(self.app)

    @property
    def table(self) -> VirtualTable:
        """The list of the view at the front, or of the window over it."""
        return self.app.screen.query_one("#main", VirtualTable)

    @property
    def view(self) -> DeckScreen:
        assert self.app.view is not None
        return self.app.view

    async def ask(self, action: str, **values: Any) -> Outcome:
        """What the same services answer to anybody."""
        return await self.app.bridge.ask(action, values)

    async def synced(self, *providers: str) -> None:
        """A sync that somebody else has done."""
        outcome = await self.app.bridge.begin("sync.run", {"provider": providers}).wait()
        assert outcome.data is not None, outcome

    async def at_provider(self, slug: str) -> None:
        """The Sync screen, with the cursor at this provider."""
        await self.press("7")
        await until(lambda: self.app.screen is self.view and self.view.VIEW == "sync")
        await until(lambda: self.table.move_to(slug), what=self.screen)
        await until(lambda: self.table.cursor_key == slug)
        await self.pilot.pause()

    async def finds(self, query: str, count: str) -> None:
        """The Catalog, filtered, with the list in focus."""
        await self.press("2")
        await self.sees("models")
        await self.press("slash", f"'{query}", "enter")
        await self.sees(count)


Opens = Callable[..., AbstractAsyncContextManager[Operator]]


@pytest.fixture(scope="session")
def sample_server() -> Iterator[SampleProviders]:
    """One server for all tests, on a loop and a thread of its own."""
    with samples_in_a_thread(TOKEN) as servers:
        yield servers


@pytest.fixture
def samples(sample_server: SampleProviders) -> Iterator[SampleProviders]:
    """The sample providers as they are at first."""
    for slug in SLUGS:
        sample_server.restore(slug)
    yield sample_server
    sample_server.release()


@pytest.fixture
def profile(valkey: Valkey, samples: SampleProviders, tmp_path: Path) -> Profile:
    secret = tmp_path / "credential"
    secret.write_text(TOKEN)
    links = {slug: ProviderLink(url=samples.base_url(slug), credential=f"file:{secret}") for slug in SLUGS}
    return profile_for(tmp_path, valkey, providers=links)


@pytest.fixture
def opened(profile: Profile, samples: SampleProviders, tmp_path: Path) -> Opens:
    """``async with opened(size, read_only=True) as operator``: a console, with changes to its profile."""

    @contextlib.asynccontextmanager
    async def open_it(size: tuple[int, int] = LARGE, **changes: Any) -> AsyncIterator[Operator]:
        reports = tmp_path / "reports"
        app = Console(lambda: profile.model_copy(update=changes), terminal=TERMINAL, reports=reports)
        try:
            async with app.run_test(size=size) as pilot:
                operator = Operator(app, pilot, samples)
                await operator.sees("redis ok", "db ok")
                yield operator
        finally:
            samples.release()
            assert await asyncio.to_thread(app.bridge.close), "something in the console did not end"
        assert not reports.exists(), next(reports.iterdir()).read_text()

    return open_it
