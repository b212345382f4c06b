"""Our writes and a foreign writer's, in every order that chance brings: neither loses an entry of the other's.

The foreign writer comes between any two of our commands, as often as it likes: it writes what it read just then. `make
soak` tries twenty times as many; EXAMPLES=100 tries 10,000.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from console.access.types import PUBLISHED_KEY, Grant
from console.access.writer import AccessWriter
from console.guard import system_permit
from console.outcome import Refusal
from tests.support.examples import examples
from tests.support.valkey import valkey_in

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEPT = "theirs-0"
"""The one that the other writer never takes away, so that its name is never free."""
PERMIT = system_permit("keys.rotate", target="k1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Redis]:
    server = valkey_in(tmp_path_factory.mktemp("interleavings"))
    await server.start()
    redis = server.client("ours")
    yield redis
    await redis.aclose()
    await server.stop()


class Foreign:
    """Another writer, with the entries that it knows to be there and must find again."""

    def __init__(self, redis: Redis, chance: random.Random) -> None:
        self._redis = redis
        self._chance = chance
        self.entries: dict[str, Any] = {}
        self.writes = 0

    async def comes_between(self) -> None:
        while self._chance.random() < 0.25:
            await self.write()

    async def write(self) -> None:
        document = json.loads(await self._redis.get(PUBLISHED_KEY) or "{}")
        name = f"theirs-{self._chance.randrange(4)}"
        if name in self.entries and name != KEPT and self._chance.random() < 0.4:
            del self.entries[name]
            document.pop(name, None)
        else:
            self.writes += 1
            self.entries[name] = {"endpoint_id": f"t{self.writes}", "theirs alone": [self.writes]}
            document[name] = self.entries[name]
        await self._redis.set(PUBLISHED_KEY, json.dumps(document))


async def interleaved(client: Redis, seed: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """One history; how often the other writer came between our commands."""
    await client.flushall()
    chance = random.Random(seed)
    foreign, between = Foreign(client, chance), 0
    real = {name: getattr(Pipeline, name) for name in ("watch", "get", "execute")}

    def meeting(name: str) -> Any:
        async def command(self: Pipeline, *args: Any, **more: Any) -> Any:
            nonlocal between
            before = foreign.writes
            await foreign.comes_between()
            between += foreign.writes - before
            return await real[name](self, *args, **more)

        return command

    ours: dict[str, dict[str, str]] = {}
    writer = AccessWriter(client)
    with monkeypatch.context() as patched:
        for name in real:
            patched.setattr(Pipeline, name, meeting(name))
        for _ in range(chance.randrange(1, 5)):
            name = f"ours-{chance.randrange(3)}"
            if name in ours and chance.random() < 0.4:
                await writer.unpublish(PERMIT, name, ours.pop(name)["endpoint_id"])
            else:
                grant = Grant(name, f"m{chance.randrange(99)}", "acme")
                await writer.publish(PERMIT, name, grant)
                ours[name] = grant.as_json()
            if KEPT in foreign.entries and chance.random() < 0.2:
                with pytest.raises(Refusal, match="another writer"):
                    await writer.publish(PERMIT, KEPT, Grant("mine"))
    assert json.loads(await client.get(PUBLISHED_KEY) or "{}") == foreign.entries | ours, seed
    return between


async def test_neither_writer_loses_an_entry_of_the_others(
    client: Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = examples(100)
    between = 0
    for seed in range(count):
        between += await interleaved(client, seed, monkeypatch)
    assert between > count // 2, "they do meet"
    with capsys.disabled():
        print(f"\n{count} interleavings, a foreign writer {between} times between our commands: no entry lost")
