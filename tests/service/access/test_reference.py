"""Random writes, deletes, expiries, renames, flushes, cut connections and restarts of a real Valkey, against a plain
reference: at every quiet point the mirror has to decide as somebody would who reads all of Redis just then.

A hypothesis state machine, so that what fails is told as the shortest way to it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.decision import Allowed, Ask, decide
from console.access.mirror import Mirror
from console.access.types import METADATA, digest_of
from tests.service.access.test_mirror import following
from tests.support.examples import examples
from tests.support.valkey import valkey_in
from tests.support.waiting import until

KEYS = ["bud_client_one", "bud_client_two", "plain_one", "plain_two", "plain_three"]
MODELS = ["alpha", "beta", "gamma", "delta"]
SHARED = "api_key:client_keys"
PUBLISHED = "published_model_info"
FULL_LOAD_SECONDS = 3600.0
"""Never within a test: what is missed must not be made good by the clock."""

T = TypeVar("T")
key_names = st.sampled_from(KEYS)
grants = st.dictionaries(st.sampled_from(MODELS), st.integers(1, 9), max_size=len(MODELS)).map(
    lambda chosen: {name: {"endpoint_id": f"{name}-{number}"} for name, number in chosen.items()}
)


def name_of(key: str) -> str:
    return "api_key:" + digest_of(key)


async def expected(redis: Redis) -> dict[tuple[str, str], str | None]:
    """Which endpoint each key reaches for each model, read from Redis in the plainest way; None: refused."""
    published = json.loads(await redis.get(PUBLISHED) or "{}")
    seed_form = json.loads(await redis.get(SHARED) or "{}")
    found: dict[tuple[str, str], str | None] = {}
    for key in KEYS:
        own = await redis.get(name_of(key))
        held = json.loads(own) if own is not None else seed_form.get(key)
        for model in MODELS:
            grant = None
            if held is not None:
                grant = held.get(model)
                if grant is None and key.startswith("bud_client"):
                    grant = published.get(model)
            found[key, model] = grant["endpoint_id"] if grant is not None else None
    return found


def decided(mirror: Mirror) -> dict[tuple[str, str], str | None]:
    found: dict[tuple[str, str], str | None] = {}
    for key in KEYS:
        for model in MODELS:
            answer = decide(mirror.snapshot, Ask((f"Bearer {key}",), model=model), now=time.time())
            found[key, model] = answer.headers["x-modeldeck-endpoint-id"] if isinstance(answer, Allowed) else None
    return found


class Gateway(RuleBasedStateMachine):
    """One Valkey, one mirror that follows it, and writers who know nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = TemporaryDirectory(prefix="modeldeck-machine-")
        self._loop = asyncio.Runner()
        self._open = AsyncExitStack()
        self._server = valkey_in(Path(self._directory.name))
        self._writer = self._server.client()
        self._mirror = self.run(self._begin())

    async def _begin(self) -> Mirror:
        await self._server.start()
        return await self._open.enter_async_context(following(self._server, full_load_seconds=FULL_LOAD_SECONDS))

    def run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self._loop.run(awaited())

    @rule(key=key_names, models=grants, milliseconds=st.none() | st.integers(1, 60))
    def write(self, key: str, models: dict[str, Any], milliseconds: int | None) -> None:
        entry = json.dumps(models | {METADATA: {"api_key_id": key}})
        self.run(self._writer.set(name_of(key), entry, px=milliseconds))

    @rule(key=key_names, way=st.sampled_from(["delete", "unlink", "getdel"]))
    def remove(self, key: str, way: str) -> None:
        self.run(getattr(self._writer, way)(name_of(key)))

    @rule(key=key_names, other=key_names)
    def rename(self, key: str, other: str) -> None:
        with suppress(RedisError):  # there is none of that name
            self.run(self._writer.rename(name_of(key), name_of(other)))

    @rule(key=key_names, other=key_names)
    def copy(self, key: str, other: str) -> None:
        with suppress(RedisError):  # to itself
            self.run(self._writer.copy(name_of(key), name_of(other), replace=True))

    @rule(key=key_names, milliseconds=st.integers(1, 40))
    def expire(self, key: str, milliseconds: int) -> None:
        self.run(self._writer.pexpire(name_of(key), milliseconds))

    @rule(key=key_names, models=grants)
    def write_the_seeds_form(self, key: str, models: dict[str, Any]) -> None:
        self.run(self._writer.set(SHARED, json.dumps({key: models})))

    @rule(models=grants)
    def publish(self, models: dict[str, Any]) -> None:
        self.run(self._writer.set(PUBLISHED, json.dumps(models)))

    @rule(name=st.sampled_from([SHARED, PUBLISHED]))
    def remove_shared(self, name: str) -> None:
        self.run(self._writer.delete(name))

    @rule(keys=st.lists(st.tuples(key_names, grants), min_size=5, max_size=40))
    def write_many_at_once(self, keys: list[tuple[str, dict[str, Any]]]) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(self._writer.set(name_of(key), json.dumps(models)) for key, models in keys))

        self.run(all_of_them())

    @rule()
    def flush(self) -> None:
        self.run(self._writer.flushdb())  # which tells nobody: the next full load finds it, here after a cut
        self.kill_clients("pubsub")

    @rule(kind=st.sampled_from(["pubsub", "normal"]))
    def kill_clients(self, kind: str) -> None:
        with suppress(RedisError):
            self.run(self._writer.client_kill_filter(_type=kind, skipme=True))

    @rule(seconds=st.sampled_from([0.0, 0.3]))
    def restart(self, seconds: float) -> None:
        async def stop_and_start() -> None:
            await self._server.stop()
            await asyncio.sleep(seconds)
            await self._server.start()

        self.run(stop_and_start())

    @invariant()
    def decides_as_redis_stands(self) -> None:
        async def agrees() -> bool:
            return decided(self._mirror) == await expected(self._writer)

        async def comes_to_agree() -> None:
            await until(agrees, within=10.0, what=str(self._mirror.status))

        self.run(comes_to_agree())
        assert not self._mirror.status.faults

    def teardown(self) -> None:
        async def end() -> None:
            await self._open.aclose()
            await self._writer.aclose()
            await self._server.stop()

        self.run(end())
        self._loop.close()
        self._directory.cleanup()


TestGateway = Gateway.TestCase
TestGateway.settings = settings(
    max_examples=examples(5), stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
