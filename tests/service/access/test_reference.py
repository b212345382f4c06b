"""Random writers, deletes, expiries, renames, cut connections and restarts of a real Valkey, against a plain reference.

At every quiet point the mirror has to decide as somebody would who read all of Redis just then.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import suppress

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.decision import Allowed, Ask, decide
from console.access.mirror import Mirror
from console.access.types import METADATA, digest_of
from console.local.valkey import Valkey
from tests.service.access.test_mirror import following
from tests.support.waiting import until

KEYS = ["bud_client_one", "bud_client_two", "plain_one", "plain_two", "plain_three"]
MODELS = ["alpha", "beta", "gamma", "delta"]
SHARED = "api_key:client_keys"
PUBLISHED = "published_model_info"


def _models(chance: random.Random) -> dict[str, dict[str, str]]:
    names = chance.sample(MODELS, chance.randint(0, len(MODELS)))
    return {name: {"endpoint_id": f"{name}-{chance.randint(1, 9)}"} for name in names}


def _name(key: str) -> str:
    return "api_key:" + digest_of(key)


async def _change(redis: Redis, chance: random.Random) -> None:
    """One change of any kind that Redis knows."""
    key, other = chance.sample(KEYS, 2)
    entry = json.dumps(_models(chance) | {METADATA: {"api_key_id": key}})
    match chance.randint(0, 11):
        case 0 | 1 | 2:
            await redis.set(_name(key), entry)
        case 3:
            await redis.set(_name(key), entry, px=chance.randint(1, 60))
        case 4:
            await redis.delete(_name(key))
        case 5:
            await redis.unlink(_name(key))
        case 6:
            with suppress(RedisError):  # there is none of that name
                await redis.rename(_name(key), _name(other))
        case 7:
            await redis.copy(_name(key), _name(other), replace=True)
        case 8:
            await redis.set(SHARED, json.dumps({key: _models(chance)}))
        case 9:
            await redis.set(PUBLISHED, json.dumps(_models(chance)))
        case 10:
            await redis.delete(chance.choice([SHARED, PUBLISHED]))
        case _:
            await redis.getdel(_name(key))


async def _expected(redis: Redis) -> dict[tuple[str, str], str | None]:
    """Which endpoint each key reaches for each model, read from Redis in the plainest way; None: refused."""
    published = json.loads(await redis.get(PUBLISHED) or "{}")
    seed_form = json.loads(await redis.get(SHARED) or "{}")
    found: dict[tuple[str, str], str | None] = {}
    for key in KEYS:
        own = await redis.get(_name(key))
        held = json.loads(own) if own is not None else seed_form.get(key)
        for model in MODELS:
            grant = None
            if held is not None:
                grant = held.get(model)
                if grant is None and key.startswith("bud_client"):
                    grant = published.get(model)
            found[key, model] = grant["endpoint_id"] if grant is not None else None
    return found


def _decided(mirror: Mirror) -> dict[tuple[str, str], str | None]:
    found: dict[tuple[str, str], str | None] = {}
    for key in KEYS:
        for model in MODELS:
            answer = decide(mirror.snapshot, Ask((f"Bearer {key}",), model=model), now=time.time())
            found[key, model] = answer.headers["x-modeldeck-endpoint-id"] if isinstance(answer, Allowed) else None
    return found


async def _drive(valkey: Valkey, chance: random.Random, rounds: int) -> int:
    """Rounds of changes, some with a fault in between; after each the mirror must agree. How many rounds there were."""
    writer = valkey.client()
    try:
        async with following(valkey, full_load_seconds=1.0) as mirror:
            for number in range(rounds):
                changes = [_change(writer, chance) for _ in range(chance.randint(1, 40))]
                fault = chance.random()
                if fault < 0.2:
                    changes.insert(len(changes) // 2, writer.execute_command("CLIENT", "KILL", "TYPE", "pubsub"))
                await asyncio.gather(*changes)
                if fault > 0.97:
                    await writer.flushdb()
                elif fault > 0.94:
                    await valkey.stop()
                    await valkey.start()

                async def agrees() -> bool:
                    return _decided(mirror) == await _expected(writer)

                await until(agrees, within=20.0, what=f"round {number}, {mirror.status}")
            assert not mirror.status.faults
            return rounds
    finally:
        await writer.aclose()


async def test_the_mirror_decides_as_redis_stands_after_any_changes_and_faults(valkey: Valkey, redis: Redis) -> None:
    assert await _drive(valkey, random.Random(20), rounds=40) == 40


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
async def test_the_mirror_decides_as_redis_stands_for_a_long_time(valkey: Valkey, redis: Redis, seed: int) -> None:
    assert await _drive(valkey, random.Random(seed), rounds=600) == 600
