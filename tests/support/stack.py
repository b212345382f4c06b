"""The embedded stack inside the test's own process and loop, with the same parts as `modeldeck run`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from console import steps
from console.access.types import PUBLISHED_KEY
from console.actions import REGISTRY
from console.actions.perform import perform
from console.config import load_profile
from console.guard import Principal, Role
from console.k8s.cluster import Cluster
from console.k8s.types import Kind
from console.local.envoy import envoy_binary
from console.local.layout import Layout
from console.local.stack import Stack
from console.outcome import Ending, Outcome, Unavailable
from console.publishing.manifests import LABEL_PUBLICATION
from console.services import Services
from console.sync.providers import specs

ADMIN = Principal("op", Role.ADMIN, None, "cli", "10.0.0.1")
MODEL = "deepinfra/meta-llama/Llama-3.1-8B-Instruct"
TWO_PROVIDERS = ("deepinfra", "openrouter")


@dataclass
class Running:
    """A stack, and the services of a client of it."""

    stack: Stack
    layout: Layout
    services: Services
    client: httpx.AsyncClient

    async def do(
        self, action: str, confirmed: str = "yes", who: Principal = ADMIN, emit: Any = None, **values: Any
    ) -> Outcome:
        return await perform(self.services, REGISTRY[action], values, who, confirmed=confirmed, emit=emit)

    async def publish(self, name: str = "llama", model: str = MODEL, **values: Any) -> Outcome:
        return await self.do("publish", model=model, name=name, **({"tenant": "acme"} | values))

    async def key(self, name: str, **values: Any) -> str:
        outcome = await self.do("keys.create", name=name, **({"tenant": "acme"} | values))
        assert outcome.ending is Ending.DONE, outcome
        assert outcome.revealed is not None
        text = outcome.revealed.take()
        assert text
        return text

    async def chat(self, key: str, model: str, **more: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]} | more
        headers = {"authorization": f"Bearer {key}"}
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    async def cluster(self) -> Cluster:
        return await self.services.cluster()

    async def objects(self, *kinds: Kind) -> list[str]:
        """What of some kinds belongs to a publication, in every tenant."""
        found = []
        for kind in kinds:
            items, _ = await (await self.cluster()).list(kind, labels=LABEL_PUBLICATION)
            found += [f"{item['kind']} {item['metadata']['namespace']}/{item['metadata']['name']}" for item in items]
        return found

    async def entries(self) -> dict[str, Any]:
        import json

        return dict(json.loads(await (await self.services.redis()).get(PUBLISHED_KEY) or "{}"))


@contextlib.asynccontextmanager
async def running_stack(directory: Path, *, synced: Sequence[str] = ()) -> AsyncIterator[Running]:
    """Start a stack, sync the samples, hand it out, stop it. ``synced``: only these providers, once; none: all of them,
    on their schedule.
    """
    try:
        envoy_binary()
    except Unavailable as problem:
        pytest.skip(str(problem))
    layout = Layout(directory)
    layout.create()
    stack = Stack(layout, durable=False, gateway_port=None, models=None)
    try:
        await stack.start(lambda _: None)
        serving = asyncio.create_task(stack.serve())
        profile = load_profile(config=layout.profile, profile="local")
        async with (
            Services(profile) as services,
            httpx.AsyncClient(base_url=profile.gateway.url, trust_env=False, timeout=15) as client,
        ):
            running = Running(stack, layout, services, client)
            outcome = await running.do("sync.run", provider=synced)
            assert outcome.ending is Ending.DONE, outcome
            if synced:
                paused = await running.do("sync.pause", provider=[spec.slug for spec in specs()])
                assert paused.ending is Ending.DONE, paused
            yield running
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    finally:
        await stack.stop()


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@contextlib.contextmanager
def fault_at(
    number: int, moment: str, fault: BaseException | None, reached: asyncio.Event | None = None
) -> Iterator[list[str]]:
    """Make the step with this number go wrong: ``before`` it is taken, or ``after`` (it was done, and nobody was told).

    A fault of None waits there until it is cancelled. Yields the kinds of the steps that were begun.
    """
    begun: list[str] = []
    real = steps._Lazy.take

    async def take(self: Any, arguments: Any, undo: Any, operation: str) -> str:
        here = len(begun) == number
        begun.append(type(self).__name__)
        if here and moment == "before":
            await _go_wrong(fault, reached)
        detail = await real(self, arguments, undo, operation)
        if here:
            await _go_wrong(fault, reached)
        return detail

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(steps._Lazy, "take", take)
        yield begun


async def _go_wrong(fault: BaseException | None, reached: asyncio.Event | None) -> None:
    if reached is not None:
        reached.set()
    if fault is not None:
        raise fault
    await asyncio.Event().wait()
