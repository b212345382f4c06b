"""The console on the embedded stack, both in the test's own process, driven by keys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from textual import events
from textual.pilot import Pilot

from console.app import Console
from console.config import load_profile
from console.local.supervisor import Part
from console.outcome import Ending
from screens.frame import DeckScreen
from tests.support.console import TERMINAL, gone, picture_of, shows
from tests.support.idle import patient_by_the_loop
from tests.support.stack import Running, running_stack

__all__ = ["patient_by_the_loop"]

SMALL = (80, 24)


@dataclass
class Operator:
    """Somebody at the keyboard of one console."""

    app: Console
    pilot: Pilot[Any]
    reports: Path

    async def press(self, *keys: str) -> None:
        """Press keys, by name; what begins with a quote is pasted."""
        for key in keys:
            if key.startswith("'"):
                self.app.post_message(events.Paste(key[1:]))
                await self.pilot.pause()
            else:
                await self.pilot.press(key)

    async def sees(self, *texts: str, within: float = 15.0) -> str:
        return await shows(self.app, *texts, within=within)

    async def sees_no(self, text: str, within: float = 15.0) -> None:
        await gone(self.app, text, within=within)

    @property
    def screen(self) -> str:
        return picture_of(self.app)

    @property
    def view(self) -> DeckScreen:
        assert self.app.view is not None
        return self.app.view

    async def finds(self, query: str, count: str) -> None:
        """Look for models, and come to the list of them."""
        await self.press("2")
        await self.sees("models")
        await self.press("slash", f"'{query}", "enter")
        await self.sees(count)

    async def plans(self, model: str, name: str, tenant: str = "acme", *, at_publish: bool = False) -> None:
        """Fill in what is to be published; the plan is there."""
        if not at_publish:  # there a digit goes into the form
            await self.press("3")
        await self.sees("the plan follows")
        await self.press(f"'{model}", "tab", f"'{name}", "tab", f"'{tenant}", "enter")
        await self.sees("Plan: ")

    async def issues(self, name: str, tenant: str = "acme") -> str:
        """A key; its text, as it was shown."""
        await self.press("5", "n")
        await self.sees("Issue a key")
        await self.press(f"'{name}", "tab", f"'{tenant}", "enter", "ctrl+s")
        shown = await self.sees("Shown this once")
        await self.press("y")
        await self.sees_no("Shown this once")
        return next(word for word in shown.split() if word.startswith("bud_client_"))


Opens = Callable[..., AbstractAsyncContextManager[Operator]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def stack(whole: Running) -> AsyncIterator[Running]:
    """The module's stack; what a test leaves published or working is taken back."""
    yield whole
    for row in (await whole.do("published")).data:
        outcome = await whole.do("unpublish", name=row["name"])
        assert outcome.ending is Ending.DONE, outcome
    for row in (await whole.do("keys.list")).data:
        await whole.do("keys.revoke", key=row["id"])


@pytest.fixture
def opened(stack: Running, tmp_path: Path) -> Opens:
    """``async with opened(read_only=True) as operator``: a console on the stack, with changes to its profile."""

    @contextlib.asynccontextmanager
    async def open_it(size: tuple[int, int] = SMALL, **changes: Any) -> AsyncIterator[Operator]:
        def profile() -> Any:
            return load_profile(config=stack.layout.profile, profile="local").model_copy(update=changes)

        app = Console(profile, terminal=TERMINAL, reports=tmp_path / "reports")
        try:
            async with app.run_test(size=size) as pilot:
                operator = Operator(app, pilot, tmp_path / "reports")
                await operator.sees("redis ok", "envoy ok") if not changes.get("protected") else None
                yield operator
        finally:
            assert await asyncio.to_thread(app.bridge.close), "something in the console did not end"
        assert not (tmp_path / "reports").exists(), "something failed that should not"

    return open_it


@contextlib.asynccontextmanager
async def without(stack: Running, name: str) -> AsyncIterator[Part]:
    """Stop one part of the stack, and keep it stopped; it is started again at the end."""
    part = next(part for part in stack.stack._supervisor.parts if part.name == name)
    part._not_before = float("inf")
    await part.stop()
    try:
        yield part
    finally:
        # The stack's own supervisor keeps off until it runs.
        if part.ended():
            await part.start()
        part._not_before = 0.0
