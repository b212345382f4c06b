"""The mirror against a real Valkey: complete after every start and reconnect, right after every kind of write."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from console.access.mirror import Mirror
from console.access.propagation import everywhere, instances
from console.access.types import Grant, digest_of
from console.access.writer import AccessWriter
from console.config import AccessRules
from console.guard import system_permit
from console.local.valkey import Valkey
from tests.support.waiting import until

PERMIT = system_permit("test")
GRANT = {"endpoint_id": "e1", "model_id": "m1", "project_id": "p1"}


@asynccontextmanager
async def following(valkey: Valkey, **options: object) -> AsyncIterator[Mirror]:
    client = valkey.gateway_client()
    mirror = Mirror(client, AccessRules(), **options)  # type: ignore[arg-type]
    task = asyncio.create_task(mirror.run())
    try:
        await until(lambda: mirror.status.state == "live", what=str(mirror.status))
        yield mirror
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()


def entry(mirror: Mirror, key: str) -> dict[str, Grant] | None:
    found = mirror.snapshot.keys.get(digest_of(key))
    return None if found is None else dict(found.models)


async def test_what_was_there_before_the_start_is_known(valkey: Valkey, redis: Redis) -> None:
    await redis.set("api_key:client_keys", json.dumps({"bud_client_test": {"base": GRANT}}))
    await redis.set("api_key:" + digest_of("k2"), json.dumps({"other": GRANT, "__metadata__": {"api_key_id": "id2"}}))
    await redis.set("published_model_info", json.dumps({"test-model": GRANT}))
    async with following(valkey) as mirror:
        assert entry(mirror, "bud_client_test") == {"base": Grant("e1", "m1", "p1")}
        assert entry(mirror, "k2") == {"other": Grant("e1", "m1", "p1")}
        assert set(mirror.snapshot.published) == {"test-model"}
        assert mirror.status.entries == 2
        assert not mirror.status.faults


async def test_every_kind_of_change_arrives(valkey: Valkey, redis: Redis) -> None:
    name = "api_key:" + digest_of("k")
    value = json.dumps({"a": GRANT})
    async with following(valkey) as mirror:
        await redis.set(name, value)
        await until(lambda: entry(mirror, "k"))
        await redis.rename(name, "elsewhere")
        await until(lambda: entry(mirror, "k") is None)
        await redis.copy("elsewhere", name)
        await until(lambda: entry(mirror, "k"))
        dumped = await redis.dump(name)
        await redis.getdel(name)
        await until(lambda: entry(mirror, "k") is None)
        await redis.restore(name, 0, dumped)
        await until(lambda: entry(mirror, "k"))
        await redis.unlink(name)
        await until(lambda: entry(mirror, "k") is None)
        await redis.set(name, value, px=30)
        await until(lambda: mirror.status.last_event is not None and entry(mirror, "k") is None)
        await redis.set("published_model_info", json.dumps({"x": GRANT}))
        await until(lambda: set(mirror.snapshot.published) == {"x"})
        await redis.delete("published_model_info")
        await until(lambda: not mirror.snapshot.published)


async def test_changes_made_while_the_connection_was_cut_are_not_missed(valkey: Valkey, redis: Redis) -> None:
    async with following(valkey) as mirror:
        for round_ in range(5):
            killing = redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            writing = redis.set("api_key:" + digest_of(f"k{round_}"), json.dumps({f"m{round_}": GRANT}))
            await asyncio.gather(killing, writing)
            await until(lambda n=round_: entry(mirror, f"k{n}"), what=f"round {round_}")  # type: ignore[misc]
        assert mirror.status.reconnects >= 1


async def test_a_restart_of_the_server_is_survived(valkey: Valkey) -> None:
    async with following(valkey) as mirror:
        await valkey.stop()
        await until(lambda: mirror.status.state == "lost")
        assert mirror.usable(time.time())
        assert not mirror.usable(time.time() + 301)
        await valkey.start()
        writer = valkey.client()
        await writer.set("api_key:" + digest_of("after"), json.dumps({"m": GRANT}))
        await until(lambda: entry(mirror, "after"))
        assert mirror.status.state == "live"
        await writer.aclose()


async def test_a_flush_which_emits_no_event_is_found_by_the_periodic_load(valkey: Valkey, redis: Redis) -> None:
    await redis.set("api_key:" + digest_of("k"), json.dumps({"m": GRANT}))
    async with following(valkey, full_load_seconds=0.2) as mirror:
        assert entry(mirror, "k")
        await redis.flushdb()
        await until(lambda: entry(mirror, "k") is None)


async def test_without_keyspace_events_it_polls_and_says_so(valkey: Valkey, redis: Redis) -> None:
    async with following(valkey, full_load_seconds=0.2) as mirror:
        await redis.config_set("notify-keyspace-events", "")
        await until(lambda: mirror.status.state == "polled")
        await redis.set("api_key:" + digest_of("k"), json.dumps({"m": GRANT}))
        await until(lambda: entry(mirror, "k"))


async def test_malformed_values_harm_nobody_else(valkey: Valkey, redis: Redis) -> None:
    await redis.set("published_model_info", json.dumps({"good": GRANT}))
    async with following(valkey) as mirror:
        await redis.set("published_model_info", '{"good": 1}')
        await redis.set("api_key:" + digest_of("bad"), "not json")
        await redis.set("api_key:shared", json.dumps({"ok": {"m": GRANT}, "broken": {"m": 3}}))
        await until(lambda: len(mirror.status.faults) == 3)
        assert set(mirror.snapshot.published) == {"good"}
        assert entry(mirror, "bad") is None
        assert entry(mirror, "ok")
        assert entry(mirror, "broken") is None
        assert not any("broken" in f.where + f.problem for f in mirror.status.faults), "a key in clear is not repeated"
        await redis.set("published_model_info", "{}")
        await until(lambda: len(mirror.status.faults) == 2 and not mirror.snapshot.published)


async def test_a_key_in_both_forms_goes_by_its_digest_form(valkey: Valkey, redis: Redis) -> None:
    await redis.set("api_key:list", json.dumps({"k": {"from-list": GRANT}}))
    async with following(valkey) as mirror:
        assert entry(mirror, "k") == {"from-list": Grant("e1", "m1", "p1")}
        await redis.set("api_key:" + digest_of("k"), json.dumps({"from-digest": GRANT}))
        await until(lambda: list(entry(mirror, "k") or {}) == ["from-digest"])
        await redis.delete("api_key:" + digest_of("k"))
        await until(lambda: list(entry(mirror, "k") or {}) == ["from-list"])


async def test_the_epoch_that_is_reported_is_never_ahead_of_the_view(valkey: Valkey, redis: Redis) -> None:
    writer = AccessWriter(redis)
    async with following(valkey, instance="w1") as mirror:
        for number in range(60):
            digest = digest_of(f"key {number}")
            written = await writer.put_key(PERMIT, digest, json.dumps({"m": GRANT}))
            await until(lambda e=written.epoch: mirror.snapshot.epoch >= e)  # type: ignore[misc]
            assert mirror.snapshot.keys.get(digest) is not None
        result = await everywhere(redis, written.epoch)
        assert result.complete
        assert result.reached == ("w1",)
        assert [worker.entries for worker in await instances(redis)] == [60]


async def test_waiting_for_nobody_is_said_not_claimed(redis: Redis) -> None:
    written = await AccessWriter(redis).put_key(PERMIT, digest_of("k"), "{}")
    result = await everywhere(redis, written.epoch, timeout=0.1)
    assert not result.complete
    assert "no gateway worker" in str(result)
