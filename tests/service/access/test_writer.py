"""Our writes: atomic, attributed, and careful of other writers."""

from __future__ import annotations

import asyncio
import json

import pytest
from redis.asyncio import Redis

from console.access.types import KEY_PREFIX, Grant, digest_of
from console.access.writer import EPOCH_CHANNEL, WRITES_STREAM, AccessWriter
from console.guard import system_permit
from console.outcome import Refusal

PERMIT = system_permit("keys.rotate", target="k1").on_behalf_of("op@10.0.0.1")
OURS = Grant("ours", "m", "acme")


async def published(redis: Redis) -> dict[str, object]:
    return json.loads(await redis.get("published_model_info") or "{}")


async def test_a_write_carries_epoch_attribution_and_announcement(redis: Redis) -> None:
    pubsub = redis.pubsub()
    await pubsub.subscribe(EPOCH_CHANNEL)
    assert (await pubsub.get_message(timeout=2))["type"] == "subscribe"
    writer = AccessWriter(redis)
    digest = digest_of("k")
    first = await writer.put_key(PERMIT, digest, "{}", operation="op1")
    second = await writer.drop_key(PERMIT, digest)
    assert second.epoch > first.epoch
    assert (first.before, second.before) == (None, "{}")
    heard = [int((await pubsub.get_message(timeout=2))["data"]) for _ in range(2)]
    assert heard == [first.epoch, second.epoch]
    entries = await redis.xrange(WRITES_STREAM)
    assert [entry[b"actor"] for _, entry in entries] == [b"op@10.0.0.1"] * 2
    assert json.loads(entries[0][1][b"keys"]) == [KEY_PREFIX + digest]
    assert entries[0][1][b"operation"] == b"op1"
    await pubsub.aclose()


async def test_the_expiry_of_a_key_is_redis_expiry_too(redis: Redis) -> None:
    digest = digest_of("k")
    await AccessWriter(redis).put_key(PERMIT, digest, "{}", expires_at=4_000_000_000.5)
    assert await redis.pexpiretime(KEY_PREFIX + digest) == 4_000_000_000_500


async def test_only_our_entry_changes(redis: Redis) -> None:
    foreign = {"endpoint_id": "x", "extra": {"kept": [1, 2]}}
    await redis.set("published_model_info", json.dumps({"foreign": foreign}))
    writer = AccessWriter(redis)
    await writer.publish(PERMIT, "mine", OURS)
    assert await published(redis) == {"foreign": foreign, "mine": OURS.as_json()}
    assert (await writer.publish(PERMIT, "mine", OURS)).before == OURS.as_json()
    await writer.unpublish(PERMIT, "mine", "ours")
    assert await published(redis) == {"foreign": foreign}


async def test_a_name_that_another_writer_has_is_left_alone(redis: Redis) -> None:
    await redis.set("published_model_info", json.dumps({"name": {"endpoint_id": "theirs"}}))
    writer = AccessWriter(redis)
    with pytest.raises(Refusal, match="another writer") as refusal:
        await writer.publish(PERMIT, "name", OURS)
    assert refusal.value.status == 409
    assert (await writer.unpublish(PERMIT, "name", "ours")).before is None
    assert await published(redis) == {"name": {"endpoint_id": "theirs"}}


async def test_a_malformed_registry_is_not_overwritten(redis: Redis) -> None:
    await redis.set("published_model_info", "{not json")
    with pytest.raises(Refusal, match="cannot be changed safely"):
        await AccessWriter(redis).publish(PERMIT, "name", OURS)
    assert await redis.get("published_model_info") == b"{not json"


async def test_nothing_of_a_busy_foreign_writer_is_lost(redis: Redis) -> None:
    """The other side does the same compare-and-set, as budapp's successor would: both must keep all entries."""
    writer = AccessWriter(redis)

    async def other(number: int) -> None:
        async with redis.pipeline() as pipe:
            while True:
                await pipe.watch("published_model_info")
                document = json.loads(await pipe.get("published_model_info") or "{}")
                document[f"theirs-{number}"] = {"endpoint_id": f"t{number}"}
                pipe.multi()
                pipe.set("published_model_info", json.dumps(document))
                try:
                    await pipe.execute()
                except Exception:
                    continue
                return

    ours = (writer.publish(PERMIT, f"ours-{n}", Grant(f"o{n}")) for n in range(15))
    await asyncio.gather(*ours, *(other(n) for n in range(15)))
    assert set(await published(redis)) == {f"{who}-{n}" for who in ("ours", "theirs") for n in range(15)}
