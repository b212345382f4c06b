"""Uses are counted by the gateway's workers and read by whoever lists keys, over a real Valkey."""

from __future__ import annotations

import time

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from console.access.decision import Allowed, Ask, Body, Denied
from console.access.server import Judge
from console.access.types import PROBE_PREFIX, digest_of
from console.access.used import COUNTS, KEYS, Tally, denials, requests_of, uses_of
from console.config import AccessRules
from console.local.valkey import Valkey
from tests.service.access.test_hostile import KEY, MODEL, Known

ONE, TWO = digest_of("one"), digest_of("two")


def allowed(digest: str, model: str | None = "llama") -> Allowed:
    return Allowed({}, "k1", digest, model)


async def test_what_was_let_through_is_counted_by_key_and_by_model(valkey: Valkey, redis: Redis) -> None:
    gateway = valkey.gateway_client()
    tally = Tally(gateway)
    now = time.time()
    for _ in range(3):
        tally.saw(allowed(ONE), "10.0.0.9", now - 5)
    tally.saw(allowed(TWO, "qwen"), None, now)
    tally.saw(allowed(TWO, None), None, now)  # a list of models names none
    tally.saw(Allowed({}, f"{PROBE_PREFIX}0a1b", digest_of("a probe"), "llama"), None, now)  # Modeldeck's own
    await tally.flush()
    tally.saw(allowed(ONE), "10.0.0.10", now)
    await tally.flush()
    uses = await uses_of(redis, [ONE, TWO, digest_of("three")])
    assert set(uses) == {ONE, TWO}
    assert (uses[ONE].count, uses[ONE].client) == (4, "10.0.0.10")
    assert abs(uses[ONE].at.timestamp() - now) <= 1
    assert (uses[TWO].count, uses[TWO].client) == (2, None)
    assert await requests_of(redis, ["llama", "qwen", "other"]) == {"llama": 4, "qwen": 1, "other": 0}
    assert await redis.hlen(KEYS) == 2
    await gateway.aclose()


async def test_looking_at_the_list_of_models_is_no_use(redis: Redis) -> None:
    """Or the proof after a rotation would look as if somebody still used the old text."""
    tally = Tally(redis)
    judge = Judge(Known(), AccessRules(), tally)
    for path, model in (("/v1/models?limit=5", None), ("/v1/models", None), ("/v1/files", None), ("/x", MODEL)):
        body = Body.NONE if model is None else Body.OK
        answer = judge.decide(Ask((f"Bearer {KEY}",), path=path, model=model, body=body), time.time())
        assert isinstance(answer, Allowed), path
    await tally.flush()
    assert (await uses_of(redis, [digest_of(KEY)]))[digest_of(KEY)].count == 2


async def test_refusals_are_counted_by_code_and_leave_no_trace_by_key(valkey: Valkey, redis: Redis) -> None:
    tally = Tally(valkey.client())
    for number in range(1000):
        tally.saw(Denied(401, "invalid_api_key", "no", "key is known", digest=digest_of(f"guess {number}")), None, 0.0)
    tally.saw(Denied(404, "model_not_found", "no", "model is in the key's list"), None, 0.0)
    await tally.flush()
    assert await denials(redis) == {"invalid_api_key": 1000, "model_not_found": 1}
    assert await redis.hlen(KEYS) == 0


async def test_what_could_not_be_written_is_kept(valkey: Valkey) -> None:
    client = valkey.client()
    tally = Tally(client)
    tally.saw(allowed(ONE), "a", 1000.0)
    await valkey.stop()
    with pytest.raises((RedisError, OSError)):
        await tally.flush()
    tally.saw(allowed(ONE), "b", 2000.0)
    await valkey.start()
    await tally.flush()
    use = (await uses_of(valkey.client(), [ONE]))[ONE]
    assert (use.count, use.client, use.at.timestamp()) == (2, "b", 2000.0)
    await tally.flush()  # nothing is left, and nothing is counted again
    assert (await uses_of(valkey.client(), [ONE]))[ONE].count == 2


async def test_nonsense_in_redis_is_no_use(redis: Redis) -> None:
    await redis.hset(KEYS, mapping={ONE: "soon", TWO: "1e400 x"})
    await redis.hset(COUNTS, ONE, "many")
    assert await uses_of(redis, [ONE, TWO]) == {}


async def test_a_client_address_cannot_be_anything(redis: Redis) -> None:
    tally = Tally(redis)
    tally.saw(allowed(ONE), "evil address " * 50, 1000.0)
    await tally.flush()
    use = (await uses_of(redis, [ONE]))[ONE]
    assert use.client is not None
    assert len(use.client) <= 64
    assert " " not in use.client


async def test_the_gateway_may_count_and_nothing_more(valkey: Valkey) -> None:
    gateway = valkey.gateway_client()
    with pytest.raises(NoPermissionError):
        await gateway.hset("api_key:" + ONE, "a", "b")
    await gateway.aclose()
